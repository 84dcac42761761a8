import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Sockets
import TLS

/// A gRPC server over HTTP/2, with plain HTTP/1.1 and HTTP/2 on the same port.
///
/// How it is put together:
///
/// - A connection is told to be HTTP/2 or HTTP/1.1 by its first bytes (`ProtocolSniffer`). HTTP/1.1 goes through
///   swift-nio's handlers to `HTTP1Handler`.
/// - An HTTP/2 connection has one channel handler (`ServerConnection`), which owns a libnghttp2 session
///   (`HTTP2Session`). There is no channel and no task per stream: a call is one object (`ServerStream`) that callbacks
///   of the session find by a pointer. Everything of a connection happens on its event loop.
/// - A method is a closure or a factory (`Method`), found in a table by the bytes of `:path`. Unary handlers get the
///   call and the request's bytes; they answer at once or later, from any thread, best in one hop for a whole batch:
///   `call.eventLoop.execute { for (call, reply) in batch { call.respond(reply) } }`. Connections that were touched
///   during one turn of an event loop are written to once, at its end.
/// - Requests that are not gRPC (another content type and a path that no method has) go to the `http` handlers, which
///   may call the methods in turn (`HTTPCall.call`).
///
/// What bounds it: connections, messages, header lists, unfinished requests per connection and of all, unread replies per
/// stream, per connection and of all, resets and pings; each has its constant in `Configuration`. Windows open only as
/// handlers take bytes, and the session is pulled only while the socket takes bytes.
///
/// Everything public may be called on any thread.
public final class Server: Sendable {
    /// The server's limits and intervals. The defaults are etcd's where etcd has one.
    public struct Configuration: Sendable {
        /// The largest request, in bytes: etcd's 1.5 MiB of request and 512 KiB for what gRPC adds.
        public var maximumMessageSize = 1536 * 1024 + 512 * 1024
        /// How many calls a client may have open on one connection. etcd sets no limit unless its flag
        /// `max-concurrent-streams` does; the default here leaves room for thousands of watches while one connection stays
        /// within some tens of MiB.
        public var maximumConcurrentStreams: UInt32 = 16_384
        /// The most bytes of unfinished requests on one connection: 32 of the largest.
        public var maximumRequestBytes = 64 * 1024 * 1024
        /// The largest list of header fields, in HTTP/2's count. nghttp2 itself takes 64 KiB.
        public var maximumHeaderList: UInt32 = 64 * 1024
        /// The queue of a stream at which `StreamCall.isWritable` turns false, in bytes.
        public var highWaterMark = 256 * 1024
        /// The queue of a stream at which a waiting producer is told to go on, in bytes.
        public var lowWaterMark = 64 * 1024
        /// The queue beyond which a stream is ended with RESOURCE_EXHAUSTED when it is sent another reply.
        public var pendingLimit = 8 * 1024 * 1024
        /// The queues of all streams beyond which the connection is ended, when several streams wait.
        public var connectionPendingLimit = 256 * 1024 * 1024
        /// The account of what unfinished requests take; one for all servers that share it.
        public var requestMemory = RequestMemory(limit: 256 * 1024 * 1024)
        /// How many connections there may be; more are closed as they come.
        public var maximumConnections = Int.max
        /// The account of what replies take; one for all servers that share it.
        public var responseMemory = ResponseMemory(limit: .max)
        /// What a client is told that is part of why one of these accounts is used up.
        public var overloadRefusal = Status(
            .resourceExhausted, "grpc: too many requests are unfinished or replies unread")
        /// How many bytes of requests a client may send on a stream before the handler takes them.
        public var streamWindow: Int32 = 256 * 1024
        /// How many bytes a client may have on the way on one connection.
        public var connectionWindow: Int32 = 1024 * 1024
        /// How long a connection may be silent before it is pinged (etcd: `grpc-keepalive-interval`).
        public var keepaliveInterval = TimeAmount.hours(2)
        /// How long the answer to that ping may take (etcd: `grpc-keepalive-timeout`).
        public var keepaliveTimeout = TimeAmount.seconds(20)
        /// The least time between a client's pings (etcd: `grpc-keepalive-min-time`).
        public var minimumPingInterval = TimeAmount.seconds(5)
        /// Whether a client without calls may ping that often. etcd says no.
        public var permitsPingWithoutStream = false
        /// How many streams a client may reset at once. A client whose thousands of calls time out together is
        /// honest; one that opens streams only to reset them soon gets here.
        public var resetBurst = 10_000
        /// How many streams a client may reset per second after that.
        public var resetsPerSecond = 1_000
        /// The largest body of a request that is not gRPC.
        public var maximumHTTPBody = 1024 * 1024
        /// How long a connection may take to say which protocol it speaks, and an HTTP/1.1 connection may stay idle.
        public var idleTimeout = TimeAmount.seconds(120)
        /// How many connections the kernel may hold before they are accepted.
        public var backlog: Int32 = 4096

        /// The defaults.
        public init() {}

        var keepalive: HTTP2Connection.Keepalive {
            HTTP2Connection.Keepalive(interval: keepaliveInterval, timeout: keepaliveTimeout)
        }

        var sessionSettings: HTTP2Session.Settings {
            HTTP2Session.Settings(
                maximumStreams: maximumConcurrentStreams, streamWindow: streamWindow,
                connectionWindow: connectionWindow, maximumHeaderList: maximumHeaderList)
        }
    }

    /// What connections of one listener may be used for.
    public struct Endpoint: Sendable {
        /// Whether gRPC is spoken there. When not, calls are requests like others; when nothing but gRPC is, HTTP/1.1 is
        /// not understood.
        public var servesGRPC: Bool
        /// How requests that are not gRPC are answered there; nil when they are not.
        public var http: HTTPHandlers?

        /// An endpoint for these uses.
        public init(servesGRPC: Bool = true, http: HTTPHandlers?) {
            self.servesGRPC = servesGRPC
            self.http = http
        }
    }

    let configuration: Configuration
    let methods: MethodTable
    let observer: ServerObserver
    /// What listeners are for that say nothing else.
    private let endpoint: Endpoint

    private struct State {
        var listeners: [any Channel] = []
        var connections: [ObjectIdentifier: any Channel] = [:]
        /// The connections that turned out to be HTTP/2, by channel.
        var sessions: [ObjectIdentifier: ServerConnection] = [:]
        var isShuttingDown = false
        var drained: EventLoopPromise<Void>?
    }

    private let group: any EventLoopGroup
    private let loops: [ObjectIdentifier: EventLoopContext]
    private let state = NIOLockedValueBox(State())

    /// A server that listens nowhere yet.
    ///
    /// - Parameters:
    ///   - group: the event loops that connections are spread over. All that they will ever have must exist.
    ///   - methods: what is served, by path (`/etcdserverpb.KV/Put`).
    ///   - observer: hooks for metrics and logs.
    ///   - readBatchEnded: called on an event loop at the end of a turn in which requests went to handlers, before
    ///     replies are written. Handlers may collect requests and hand them on here, once for many.
    ///   - http: answers what is not gRPC; without it such requests get status 415, and HTTP/1.1 gets no answer.
    public init(
        group: any EventLoopGroup, configuration: Configuration = Configuration(), methods: [String: Method],
        observer: ServerObserver = ServerObserver(), readBatchEnded: (@Sendable (any EventLoop) -> Void)? = nil,
        http: HTTPHandlers? = nil
    ) {
        self.group = group
        self.configuration = configuration
        self.methods = MethodTable(methods, observer: observer)
        self.observer = observer
        endpoint = Endpoint(http: http)
        var loops: [ObjectIdentifier: EventLoopContext] = [:]
        for loop in group.makeIterator() {
            loops[ObjectIdentifier(loop)] = EventLoopContext(eventLoop: loop, readBatchEnded: readBatchEnded)
        }
        self.loops = loops
    }

    // MARK: Listening

    /// Listens on a TCP address; port 0 picks a free one. Gives the address that is listened on.
    @discardableResult
    public func bind(host: String, port: Int, tls: TLSListener? = nil) async throws -> SocketAddress {
        try await listen(tls, endpoint) { try await $0.bind(host: host, port: port).get() }
    }

    /// Listens on a Unix domain socket, taking the place of a file that is left over there.
    @discardableResult
    public func bind(unixDomainSocketPath path: String, tls: TLSListener? = nil) async throws -> SocketAddress {
        try await listen(tls, endpoint) {
            try await $0.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        }
    }

    /// Takes connections from a socket that is bound and listens already. The server closes it from now on.
    /// - Parameters:
    ///   - tls: what the connections must pass before anything is read from them; nil when they are plain.
    ///   - endpoint: what they may be used for; nil for gRPC and the server's own HTTP.
    @discardableResult
    public func accept(
        from descriptor: CInt, tls: TLSListener? = nil, for endpoint: Endpoint? = nil
    ) async throws -> SocketAddress {
        try await listen(tls, endpoint ?? self.endpoint) { try await $0.withBoundSocket(descriptor).get() }
    }

    private func listen(
        _ tls: TLSListener?, _ endpoint: Endpoint, _ bind: (ServerBootstrap) async throws -> any Channel
    ) async throws -> SocketAddress {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: configuration.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // Setting up a connection takes longer than most requests: in a flood of them, each waits for its turn.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .pausingWhenExhausted()
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try setUp(channel, tls: tls, for: endpoint) }
            }
            // The selector reports what is left after one read, so asking again at once is a system call for nothing.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            // The kernel notices hosts that went away without a word, as Go's listeners have it do.
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.recvAllocator, value: ReadSize.usual)
            .childChannelOption(
                .writeBufferWaterMark, value: .init(low: 64 * 1024, high: 2 * EventLoopContext.writeSize))
        let channel = try await bind(bootstrap)
        state.withLockedValue { $0.listeners.append(channel) }
        guard let address = channel.localAddress else { throw Status(.internal, "the listener has no address") }
        return address
    }

    /// Puts the handlers on an accepted connection.
    func setUp(_ channel: any Channel, tls: TLSListener? = nil, for endpoint: Endpoint? = nil) throws {
        guard let loop = loops[ObjectIdentifier(channel.eventLoop)] else {
            throw Status(.internal, "the event loop is not one of the server's")
        }
        let peer = Self.describe(channel.remoteAddress)
        let isWelcome = state.withLockedValue { state in
            if state.isShuttingDown || state.connections.count >= configuration.maximumConnections { return false }
            state.connections[ObjectIdentifier(channel)] = channel
            return true
        }
        guard isWelcome else { throw Status(.unavailable, "the server is shutting down, or has too many connections") }
        observer.connectionOpened?(peer)
        channel.closeFuture.whenComplete { [self] _ in
            observer.connectionClosed?(peer)
            forget(ObjectIdentifier(channel))
        }
        let endpoint = endpoint ?? self.endpoint
        let isSecure = tls != nil
        let welcome = { [self] (identity: String?) in
            try channel.pipeline.syncOperations.addHandler(
                ProtocolSniffer(
                    server: self, endpoint: endpoint, loop: loop,
                    peer: Peer(address: peer, identity: identity, isSecure: isSecure)))
        }
        guard let tls else { return try welcome(nil) }
        try tls.secure(
            channel, secured: { try welcome($0.commonName) },
            refused: { [self] reason in observer.connectionRejected?(peer, reason) })
    }

    /// Who made a connection.
    struct Peer {
        /// As `host:port`.
        var address: String
        /// The common name in a certificate that was verified.
        var identity: String?
        var isSecure = false
    }

    /// Begins a call of the method at `path`; nil when there is none. Only on `eventLoop`, one of the server's.
    func makeCall(
        _ path: String, metadata: Metadata, peer: String, peerIdentity: String? = nil, shownIdentity: String? = nil,
        isPart: Bool = false, eventLoop: any EventLoop, timeout: TimeAmount?, receiver: any LocalCallReceiver
    ) -> LocalCall? {
        eventLoop.preconditionInEventLoop()
        guard let loop = loops[ObjectIdentifier(eventLoop)],
            let entry = Array(path.utf8).withUnsafeBytes({ methods.find($0) })
        else { return nil }
        return LocalCall(
            server: self, loop: loop, entry: entry, metadata: metadata, peer: peer, peerIdentity: peerIdentity,
            shownIdentity: shownIdentity, isPart: isPart, timeout: timeout, receiver: receiver)
    }

    private static func describe(_ address: SocketAddress?) -> String {
        guard let address else { return "" }
        guard let host = address.ipAddress, let port = address.port else { return address.pathname ?? "@" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    private func forget(_ id: ObjectIdentifier) {
        let drained = state.withLockedValue { state -> EventLoopPromise<Void>? in
            state.connections[id] = nil
            state.sessions[id] = nil
            guard state.connections.isEmpty else { return nil }
            defer { state.drained = nil }
            return state.drained
        }
        drained?.succeed()
    }

    func register(_ connection: ServerConnection, on channel: any Channel) {
        let drains = state.withLockedValue { state in
            state.sessions[ObjectIdentifier(channel)] = connection
            return state.isShuttingDown
        }
        if drains { connection.drain() }
    }

    // MARK: Ending

    /// Stops listening, tells clients by GOAWAY, and waits for running calls. What runs longer than `limit` is cut off;
    /// a limit of zero cuts off everything.
    public func shutdown(limit: TimeAmount = .zero) async throws {
        let loop = group.next()
        let promise = loop.makePromise(of: Void.self)
        let (listeners, sessions, others) = state.withLockedValue { state in
            state.isShuttingDown = true
            state.drained = state.connections.isEmpty ? nil : promise
            if state.connections.isEmpty { promise.succeed() }
            let listeners = state.listeners
            state.listeners = []
            let others = state.connections.filter { state.sessions[$0.key] == nil }
            return (listeners, Array(state.sessions.values), Array(others.values))
        }
        for listener in listeners { try? await listener.close() }
        // Connections that are no sessions have no way to say goodbye.
        for channel in others { channel.close(promise: nil) }
        for session in sessions { session.loop.eventLoop.execute { session.drain() } }
        let timer = loop.scheduleTask(in: limit) { [state] in
            let left = state.withLockedValue { Array($0.connections.values) }
            for channel in left { channel.close(promise: nil) }
        }
        try await promise.futureResult.get()
        timer.cancel()
    }
}
