import EtcdAPI
import GRPC
import Logging
import Metrics
import Tracing

/// Counts the calls of one method.
final class CallObservation: CallObserver {
    private let method: CallMetrics.Method
    private let network: NetworkMetrics
    private let versions: ClientVersions
    private let slow: SlowRequests
    /// Streams that ended for another reason than their clients' wish; only of the calls that etcd counts so.
    private let streamFailures: (receiving: Counter, sending: Counter)?
    private let path: String
    private let tracer: Tracer?
    /// A call that takes longer is told of, in nanoseconds; a stream may take as long as it likes.
    private let slowLimit: Int64
    private let audit: Audit?

    typealias Audit = (trail: AuditTrail, authority: Authority)

    init(_ path: String, _ observation: Observation, versions: ClientVersions, audit: Audit?) {
        self.audit = audit
        let type = Self.type(path)
        method = observation.metrics.calls.method(path, type: type, codes: Status.Code.allCases.map(\.name))
        network = observation.metrics.network
        slow = observation.slow
        self.path = path
        let failures = observation.metrics.server.streamFailures
        switch EtcdMethod(path: path) {
        case .watch: streamFailures = (failures["receive", "watch"], failures["send", "watch"])
        case .leaseKeepAlive:
            streamFailures = (failures["receive", "lease-keepalive"], failures["send", "lease-keepalive"])
        default: streamFailures = nil
        }
        tracer = observation.tracer
        slowLimit = type == "unary" ? observation.slow.callLimit : .max
        self.versions = versions
    }

    func started(_ metadata: Metadata, peer: String) -> (any CallTrace)? {
        method.started.add()
        versions.count(metadata)
        guard let tracer, let (context, parent) = tracer.begin(header: metadata.firstBytes("traceparent")) else {
            return nil
        }
        return CallSpan(tracer, context, parent: parent, path: path, peer: peer)
    }

    func received(bytes: Int) {
        method.received.add()
        network.clientBytesReceived.add(bytes)
    }

    func sent(bytes: Int) {
        method.sent.add()
        network.clientBytesSent.add(bytes)
    }

    func refused(_ call: UnaryCall, _ code: Status.Code) {
        if let audit { audit.trail.noteUnheard(call, path, code, audit.authority) }
    }

    func finished(_ call: CallSummary) {
        method.handled[call.code.rawValue].add()
        method.durations?.observe(nanoseconds: call.duration.nanoseconds)
        if call.duration.nanoseconds > slowLimit { slow.noteCall(call) }
        if let streamFailures { note(call.code, streamFailures) }
    }

    /// What cannot be understood is answered with "internal"; whatever else ends a stream keeps it from being sent.
    private func note(_ code: Status.Code, _ failures: (receiving: Counter, sending: Counter)) {
        switch code {
        case .ok, .cancelled: return
        case .internal: failures.receiving.add()
        default: failures.sending.add()
        }
    }

    /// The kind of a method as gRPC's metrics name it.
    private static func type(_ path: String) -> String {
        switch EtcdMethod(path: path)?.kind {
        case .serverStream: "server_stream"
        case .clientStream: "client_stream"
        case .bidirectional: "bidi_stream"
        case .unary: "unary"
        case nil:
            switch path.split(separator: "/").last {
            case "Watch": "server_stream"
            case "ServerReflectionInfo": "bidi_stream"
            default: "unary"
            }
        }
    }

    /// What a server of clients tells: calls go to the metrics, refused connections to the log.
    static func observer(_ observation: Observation, audit: Audit?, _ logger: Logger) -> ServerObserver {
        var observer = ServerObserver()
        observer.connectionRejected = { peer, reason in
            logger.warning(
                "rejected connection on client endpoint",
                metadata: ["remote-addr": .string(peer), "error": .string(reason)])
        }
        let unary = ClientVersions(observation.metrics.server.clientRequests, type: "unary")
        let streams = ClientVersions(observation.metrics.server.clientRequests, type: "stream")
        observer.calls = { path in
            CallObservation(path, observation, versions: type(path) == "unary" ? unary : streams, audit: audit)
        }
        return observer
    }
}
