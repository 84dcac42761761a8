import NIOCore
import NIOEmbedded

@testable import GRPC

/// A client and a server on one event loop whose clock stands still until a test moves it, with the bytes between them
/// carried by hand.
final class Wire {
    let loop: EmbeddedEventLoop
    let server: Server
    let serverChannel: EmbeddedChannel
    let clientChannel: EmbeddedChannel
    let connection: ClientHTTP2Connection
    let client: ClientConnection

    init(
        methods: [String: Method] = [:], server configure: (inout Server.Configuration) -> Void = { _ in },
        client configureClient: (inout ClientConnection.Configuration) -> Void = { _ in },
        observer: ServerObserver = ServerObserver(), readBatchEnded: (@Sendable (any EventLoop) -> Void)? = nil,
        http: (@Sendable (HTTPCall) -> Void)? = nil
    ) throws {
        loop = EmbeddedEventLoop()
        var configuration = Server.Configuration()
        configure(&configuration)
        server = Server(
            group: loop, configuration: configuration, methods: methods, observer: observer,
            readBatchEnded: readBatchEnded, http: http.map { HTTPHandlers(answer: $0) })
        serverChannel = EmbeddedChannel(loop: loop)
        try server.setUp(serverChannel)
        serverChannel.pipeline.fireChannelActive()
        var clientConfiguration = ClientConnection.Configuration()
        configureClient(&clientConfiguration)
        connection = ClientHTTP2Connection(
            loop: EventLoopContext(eventLoop: loop, readBatchEnded: nil), configuration: clientConfiguration)
        clientChannel = EmbeddedChannel(handler: connection, loop: loop)
        try clientChannel.connect(to: SocketAddress(unixDomainSocketPath: "/wire")).wait()
        client = ClientConnection(channel: clientChannel, connection: connection, authority: "wire")
        try serverChannel.connect(to: SocketAddress(unixDomainSocketPath: "/wire")).wait()
    }

    /// The server's side of the connection, once the client has spoken.
    var serverConnection: ServerConnection? {
        try? serverChannel.pipeline.syncOperations.handler(type: ServerConnection.self)
    }

    /// Carries bytes until neither side has any left.
    func run() throws {
        var moved = true
        while moved {
            loop.run()
            moved = try carry(from: clientChannel, to: serverChannel)
            loop.run()
            if try carry(from: serverChannel, to: clientChannel) { moved = true }
        }
    }

    private func carry(from: EmbeddedChannel, to: EmbeddedChannel) throws -> Bool {
        var moved = false
        while let bytes = try from.readOutbound(as: ByteBuffer.self) {
            moved = true
            if to.isActive { try to.writeInbound(bytes) }
        }
        return moved
    }
}

/// Collects what a streaming call is told on the server.
final class RecordingHandler: StreamHandler, @unchecked Sendable {
    enum Event: Equatable {
        case message([UInt8])
        case halfClosed
        case cancelled(CancelReason)
        case writable
    }

    let call: StreamCall
    var events: [Event] = []

    init(call: StreamCall) { self.call = call }

    func received(_ message: [UInt8]) { events.append(.message(message)) }
    func halfClosed() { events.append(.halfClosed) }
    func cancelled(_ reason: CancelReason) { events.append(.cancelled(reason)) }
    func writable() { events.append(.writable) }
}

/// Collects what a call is told on the client.
final class RecordingClientHandler: ClientStreamHandler, @unchecked Sendable {
    var headers: Metadata?
    var messages: [[UInt8]] = []
    var status: Status?
    var trailers: Metadata?
    var drains = 0

    func receivedHeaders(_ metadata: Metadata) { headers = metadata }
    func received(_ message: [UInt8]) { messages.append(message) }
    func writable() { drains += 1 }
    func finished(_ status: Status, trailers: Metadata) {
        self.status = status
        self.trailers = trailers
    }
}

/// Holds what a callback leaves; tests run on one thread.
final class Box<Value>: @unchecked Sendable {
    var value: Value
    init(_ value: Value) { self.value = value }
}

/// A small generator with a seed, so that a failing run can be repeated.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
