import CNGHTTP2
import NIOCore
import NIOPosix
import TLS

/// A client's connection to one gRPC server, over the same session as the server's side. It does not connect again
/// when it is lost: calls then fail with `unavailable`, and `closeFuture` tells.
///
/// Everything public may be called on any thread; what calls are told comes on `eventLoop`.
public final class ClientConnection: Sendable {
    /// The client's limits and intervals.
    public struct Configuration: Sendable {
        /// The largest reply, in bytes. etcd's clients take whatever the server sends.
        public var maximumMessageSize = Int(Int32.max)
        /// The queue of a call at which `ClientCall.isWritable` turns false, in bytes.
        public var highWaterMark = 256 * 1024
        /// The queue of a call at which a waiting producer is told to go on, in bytes.
        public var lowWaterMark = 64 * 1024
        /// How many bytes of replies a server may send on a call before the handler takes them.
        public var streamWindow: Int32 = 1024 * 1024
        /// How many bytes a server may have on the way.
        public var connectionWindow: Int32 = 4 * 1024 * 1024
        /// How long the connection may be silent before it is pinged.
        public var keepaliveInterval = TimeAmount.hours(2)
        /// How long the answer to that ping may take.
        public var keepaliveTimeout = TimeAmount.seconds(20)
        /// How long connecting may take.
        public var connectTimeout = TimeAmount.seconds(5)
        /// What the client calls itself.
        public var userAgent = "swift-etcd"

        /// The defaults.
        public init() {}
    }

    /// The reply to a unary call.
    public struct Reply: Sendable {
        public var message: [UInt8]
        public var headers: Metadata
        public var trailers: Metadata
    }

    private let channel: any Channel
    private let connection: ClientHTTP2Connection
    private let authority: String
    private let scheme: String

    init(channel: any Channel, connection: ClientHTTP2Connection, authority: String, scheme: String = "http") {
        self.channel = channel
        self.connection = connection
        self.authority = authority
        self.scheme = scheme
    }

    /// The event loop of the connection.
    public var eventLoop: any EventLoop { channel.eventLoop }
    /// Whether the connection is there, as far as is known.
    public var isActive: Bool { channel.isActive }
    /// Succeeds when the connection is gone.
    public var closeFuture: EventLoopFuture<Void> { channel.closeFuture }

    /// What is to be offered to a server over TLS, see `TLSDialler`.
    public static let applicationProtocols = ["h2"]

    /// Connects to a TCP address, over TLS when `tls` is given.
    public static func connect(
        host: String, port: Int, tls: TLSDialler? = nil, group: any EventLoopGroup,
        configuration: Configuration = Configuration()
    ) async throws -> ClientConnection {
        let name = host.contains(":") ? "[\(host)]" : host
        return try await connect(group, configuration, tls, host: host, authority: "\(name):\(port)") {
            $0.connect(host: host, port: port)
        }
    }

    /// Connects to a Unix domain socket.
    public static func connect(
        unixDomainSocketPath path: String, tls: TLSDialler? = nil, group: any EventLoopGroup,
        configuration: Configuration = Configuration()
    ) async throws -> ClientConnection {
        try await connect(group, configuration, tls, host: "localhost", authority: "localhost") {
            $0.connect(unixDomainSocketPath: path)
        }
    }

    private static func connect(
        _ group: any EventLoopGroup, _ configuration: Configuration, _ tls: TLSDialler?, host: String,
        authority: String, _ open: @escaping @Sendable (ClientBootstrap) -> EventLoopFuture<any Channel>
    ) async throws -> ClientConnection {
        let loop = group.next()
        let context = EventLoopContext(eventLoop: loop, readBatchEnded: nil)
        let connection = ClientHTTP2Connection(loop: context, configuration: configuration)
        let connect = { @Sendable in
            open(
                ClientBootstrap(group: loop)
                    .connectTimeout(configuration.connectTimeout)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try tls?.secure(channel, host: host, timeout: configuration.connectTimeout)
                            try channel.pipeline.syncOperations.addHandler(connection)
                        }
                    })
        }
        let opening = tls == nil ? connect() : TLSDialler.secured(on: loop, connect)
        let channel = try await opening.get()
        return ClientConnection(
            channel: channel, connection: connection, authority: authority, scheme: tls == nil ? "http" : "https")
    }

    /// Makes a call of any kind. `makeHandler` runs on the event loop before anything is sent.
    @discardableResult
    public func stream(
        _ path: String, metadata: Metadata = Metadata(), timeout: TimeAmount? = nil,
        handler makeHandler: @escaping @Sendable (ClientCall) -> any ClientStreamHandler
    ) -> ClientCall {
        let block = head(path, metadata, timeout, compressed: false)
        let stream = ClientStream(connection: connection)
        let call = ClientCall(stream: stream)
        call.onLoop { $0.start(block, handler: makeHandler(call), timeout: timeout) }
        return call
    }

    /// Makes a unary call and hands its outcome to `completion` on the event loop. With `compressed` the request goes
    /// as gzip. The call may be cancelled by what is returned.
    @discardableResult
    public func unary(
        _ path: String, _ message: [UInt8], metadata: Metadata = Metadata(), timeout: TimeAmount? = nil,
        compressed: Bool = false, completion: @escaping @Sendable (Result<Reply, Status>) -> Void
    ) -> ClientCall {
        let block = head(path, metadata, timeout, compressed: compressed)
        let stream = ClientStream(connection: connection)
        let call = ClientCall(stream: stream)
        call.onLoop { stream in
            stream.start(block, handler: UnaryCollector(completion), timeout: timeout)
            if compressed { stream.send(compressed: Gzip.compress(message)) } else { stream.send(message) }
            stream.halfClose()
        }
        return call
    }

    /// Makes a unary call. Throws a `Status`.
    public func unary(
        _ path: String, _ message: [UInt8], metadata: Metadata = Metadata(), timeout: TimeAmount? = nil,
        compressed: Bool = false
    ) async throws -> Reply {
        let promise = eventLoop.makePromise(of: Reply.self)
        let call = unary(path, message, metadata: metadata, timeout: timeout, compressed: compressed) { result in
            promise.completeWith(result.mapError { $0 as any Error })
        }
        return try await withTaskCancellationHandler {
            try await promise.futureResult.get()
        } onCancel: {
            call.cancel()
        }
    }

    /// Sends a ping; the answer keeps nobody waiting, but the server counts it.
    public func ping() {
        eventLoop.execute { [connection] in
            connection.sessionIfOpen?.submitPing(0)
            connection.setDirty()
        }
    }

    /// Makes no more calls, and closes the connection when those under way have ended.
    public func closeWhenIdle() {
        eventLoop.execute { [connection] in connection.closeWhenIdle() }
    }

    /// Closes the connection; calls under way fail with `unavailable`.
    public func close() async throws {
        try await channel.close()
    }

    private func head(_ path: String, _ metadata: Metadata, _ timeout: TimeAmount?, compressed: Bool) -> HeaderBlock {
        var block = HeaderBlock()
        block.add(":method", "POST")
        block.add(":scheme", scheme)
        block.add(":path", path)
        block.add(":authority", authority)
        block.add("te", "trailers")
        block.add("content-type", "application/grpc")
        block.add("user-agent", connection.configuration.userAgent)
        block.add("grpc-accept-encoding", "identity,gzip")
        if compressed { block.add("grpc-encoding", "gzip") }
        if let timeout { block.add("grpc-timeout", Timeout.encode(nanoseconds: timeout.nanoseconds)) }
        block.add(metadata)
        return block
    }
}

/// A call under way. `send`, `halfClose` and `cancel` may be called on any thread, in the order the server is to see;
/// the rest belongs to the connection's event loop.
public struct ClientCall: Sendable {
    let stream: ClientStream

    /// The event loop of the call's connection.
    public var eventLoop: any EventLoop { stream.connection.loop.eventLoop }
    /// How many bytes of requests are queued. Only on `eventLoop`.
    public var pendingBytes: Int { stream.outbound.pendingBytes }
    /// Whether the queue is under its high-water mark. Only on `eventLoop`.
    public var isWritable: Bool { pendingBytes < stream.connection.configuration.highWaterMark }

    /// Sends a request.
    public func send(_ message: [UInt8]) { onLoop { $0.send(message) } }
    /// Says that there are no more requests.
    public func halfClose() { onLoop { $0.halfClose() } }
    /// Gives up on the call: the server sees a reset, the handler a status of `cancelled`.
    public func cancel() { onLoop { $0.cancel(Status(.cancelled, "context canceled")) } }

    /// Stops the flow of replies to the handler; the server may send one more window of bytes, which is kept.
    public func pauseReading() { onLoop { $0.pauseReading() } }
    /// Lets replies flow again.
    public func resumeReading() { onLoop { $0.resumeReading() } }

    func onLoop(_ body: @escaping @Sendable (ClientStream) -> Void) {
        let stream = stream
        if eventLoop.inEventLoop {
            body(stream)
        } else {
            eventLoop.execute { body(stream) }
        }
    }
}

/// The client's side of one HTTP/2 connection.
final class ClientHTTP2Connection: HTTP2Connection, @unchecked Sendable {
    let configuration: ClientConnection.Configuration
    private(set) var isClosing = false

    init(loop: EventLoopContext, configuration: ClientConnection.Configuration) {
        self.configuration = configuration
        let keepalive = Keepalive(interval: configuration.keepaliveInterval, timeout: configuration.keepaliveTimeout)
        super.init(loop: loop, keepalive: keepalive) { connection in
            let settings = HTTP2Session.Settings(
                maximumStreams: 0, streamWindow: configuration.streamWindow,
                connectionWindow: configuration.connectionWindow, maximumHeaderList: 64 * 1024)
            return HTTP2Session(
                server: false, settings: settings, lowWaterMark: configuration.lowWaterMark, delegate: connection)
        }
    }

    override func receivedGoAway(code: UInt32, lastStream: Int32, debug: UnsafeRawBufferPointer) {
        closeWhenIdle()
    }

    override func becameIdle() {
        if isClosing { closeAfterFlush() }
    }

    func closeWhenIdle() {
        isClosing = true
        if sessionIfOpen?.streams.isEmpty ?? true { closeAfterFlush() }
    }
}

/// Makes the one reply of a unary call out of what a stream is told.
private final class UnaryCollector: ClientStreamHandler {
    private let completion: (Result<ClientConnection.Reply, Status>) -> Void
    private var headers = Metadata()
    private var message: [UInt8]?

    init(_ completion: @escaping (Result<ClientConnection.Reply, Status>) -> Void) {
        self.completion = completion
    }

    func receivedHeaders(_ metadata: Metadata) { headers = metadata }
    func received(_ message: [UInt8]) { self.message = message }
    func writable() {}

    func finished(_ status: Status, trailers: Metadata) {
        guard status.code == .ok else { return completion(.failure(status)) }
        guard let message else { return completion(.failure(Status(.internal, "the call ended without a reply"))) }
        completion(.success(.init(message: message, headers: headers, trailers: trailers)))
    }
}
