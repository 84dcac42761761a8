import GRPC
import NIOCore
import Synchronization

/// Sends a tracer's spans to a collector, by OTLP over gRPC.
///
/// It connects when there is something to send, and again when the connection is lost. A collector that is away costs the
/// spans that do not fit into the queue meanwhile, and nothing else.
public final class SpanExporter: Sendable {
    /// OpenTelemetry's usual times: between two batches, and for one.
    private static let interval = Duration.seconds(5)
    private static let timeout = TimeAmount.seconds(10)
    /// What waits when the process ends is not waited for as long.
    private static let lastTimeout = TimeAmount.seconds(2)
    private static let scope = "swift-etcd"
    private static let client: ClientConnection.Configuration = {
        var configuration = ClientConnection.Configuration()
        configuration.connectTimeout = .seconds(2)
        return configuration
    }()

    private let tracer: Tracer
    private let host: String
    private let port: Int
    private let resource: [(key: String, value: Span.Value)]
    private let group: any EventLoopGroup
    private let failed: @Sendable (String) -> Void
    private let sent = Atomic<UInt64>(0)
    private let task = Mutex<Task<ClientConnection?, Never>?>(nil)

    /// - Parameters:
    ///   - address: the collector's `host:port`.
    ///   - serviceName, instanceID: how the process is called there; no instance when it is empty.
    ///   - failed: told, in words, when spans could not be sent; once until it works again.
    /// - Returns: nil when `address` is none.
    public init?(
        _ tracer: Tracer, address: String, serviceName: String, instanceID: String, group: any EventLoopGroup,
        failed: @escaping @Sendable (String) -> Void
    ) {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]),
            (1...65535).contains(port)
        else { return nil }
        var host = String(address[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self.tracer = tracer
        self.host = host.isEmpty ? "localhost" : host
        self.port = port
        var resource: [(key: String, value: Span.Value)] = [("service.name", .text(serviceName))]
        if !instanceID.isEmpty { resource.append(("service.instance.id", .text(instanceID))) }
        self.resource = resource
        self.group = group
        self.failed = failed
    }

    /// Spans that the collector took.
    public var sentCount: UInt64 { sent.load(ordering: .relaxed) }

    /// Begins to send.
    public func start() {
        task.withLock { task in
            precondition(task == nil, "an exporter is started once")
            task = Task { await run() }
        }
    }

    /// Sends what waits, as far as the collector takes it now, and ends.
    public func stop() async {
        guard let running = task.withLock({ $0 }) else { return }
        running.cancel()
        var connection = await running.value
        try? await sendAll(&connection, timeout: Self.lastTimeout)
        try? await connection?.close()
    }

    /// Sends until it is cancelled, and leaves the connection behind.
    private func run() async -> ClientConnection? {
        var connection: ClientConnection?
        var isFailing = false
        while !Task.isCancelled {
            do {
                try await sendAll(&connection, timeout: Self.timeout)
                isFailing = false
            } catch {
                if !isFailing { failed("\(error)") }
                isFailing = true
                try? await connection?.close()
                connection = nil
            }
            try? await Task.sleep(for: Self.interval)
        }
        return connection
    }

    func sendAll(_ connection: inout ClientConnection?, timeout: TimeAmount) async throws {
        while tracer.waitingCount > 0 {
            let open: ClientConnection
            // One that a collector closed meanwhile, as it does when it starts anew, would cost a batch to find out.
            if let connection, connection.isActive {
                open = connection
            } else {
                open = try await ClientConnection.connect(
                    host: host, port: port, group: group, configuration: Self.client)
                connection = open
            }
            let batch = tracer.takeBatch()
            do {
                _ = try await open.unary(
                    ExportRequest.path,
                    ExportRequest.encode(batch, resource: resource, scope: Self.scope), timeout: timeout)
                sent.add(UInt64(batch.count), ordering: .relaxed)
            } catch {
                tracer.lose(batch.count)
                throw error
            }
        }
    }
}
