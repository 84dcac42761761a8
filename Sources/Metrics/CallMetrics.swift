/// The gRPC calls of clients, under the names of Go's gRPC middleware: `grpc_server_…`.
///
/// Every method has its row of numbers from the start, which the server finds once; counting is a relaxed addition.
public final class CallMetrics: Sendable {
    private let started: Family<Counter>
    private let received: Family<Counter>
    private let sent: Family<Counter>
    private let handled: Family<Counter>
    private let durations: Family<Histogram>?

    init(_ registry: Registry, extensive: Bool) {
        /// Methods of etcd, of health and of reflection, and as many again for what comes.
        let methods = 128
        let labels = ["grpc_type", "grpc_service", "grpc_method"]
        started = registry.counters(
            "grpc_server_started_total", "Total number of RPCs started on the server.", labels: labels, limit: methods)
        received = registry.counters(
            "grpc_server_msg_received_total", "Total number of RPC stream messages received on the server.",
            labels: labels, limit: methods)
        sent = registry.counters(
            "grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server.", labels: labels,
            limit: methods)
        handled = registry.counters(
            "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            labels: labels + ["grpc_code"], limit: methods * 17)
        durations =
            extensive
            ? registry.histograms(
                "grpc_server_handling_seconds",
                "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
                labels: labels, bounds: Buckets.usual, limit: methods) : nil
    }

    /// The numbers of one method.
    public final class Method: Sendable {
        public let started: Counter
        public let received: Counter
        public let sent: Counter
        /// By the number of gRPC's code.
        public let handled: [Counter]
        /// Only with extensive metrics.
        public let durations: Histogram?

        init(started: Counter, received: Counter, sent: Counter, handled: [Counter], durations: Histogram?) {
            self.started = started
            self.received = received
            self.sent = sent
            self.handled = handled
            self.durations = durations
        }
    }

    /// - Parameters:
    ///   - path: as `/package.Service/Method`.
    ///   - type: `unary`, `client_stream`, `server_stream` or `bidi_stream`.
    ///   - codes: the names of gRPC's codes, by their numbers.
    public func method(_ path: String, type: String, codes: [String]) -> Method {
        let parts = path.split(separator: "/").map(String.init)
        precondition(parts.count == 2, "a method's path has two parts: \(path)")
        let (service, name) = (parts[0], parts[1])
        return Method(
            started: started[type, service, name], received: received[type, service, name],
            sent: sent[type, service, name], handled: codes.map { handled[type, service, name, $0] },
            durations: durations?[type, service, name])
    }
}
