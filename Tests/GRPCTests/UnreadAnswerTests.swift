import NIOCore
import NIOEmbedded
import NIOWebSocket
import Testing

@testable import GRPC

/// What clients of HTTP/1.1 and WebSockets can make a server hold by reading nothing, or by sending half.
@Suite struct UnreadAnswerTests {
    /// A socket that takes nothing until it is told to.
    private final class FullSocket: ChannelOutboundHandler, @unchecked Sendable {
        typealias OutboundIn = NIOAny
        private(set) var waiting: [EventLoopPromise<Void>?] = []

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            waiting.append(promise)
        }

        func flush(context: ChannelHandlerContext) {}

        func take() {
            let taken = waiting
            waiting = []
            for promise in taken { promise?.succeed() }
        }
    }

    /// Takes a request and says nothing until the body is whole.
    private final class Patient: HTTPStreamHandler {
        private let call: HTTPCall
        private let answersAtOnce: Bool

        init(_ call: HTTPCall, answersAtOnce: Bool) {
            self.call = call
            self.answersAtOnce = answersAtOnce
        }

        func received(_ bytes: [UInt8]) { if answersAtOnce { call.begin(status: 200, headers: []) } }
        func ended() {}
        func writable() {}
        func cancelled() {}
    }

    private static func nothing(_ call: HTTPCall) {}

    @Test func answersOverHTTP1AreOnTheAccountOfReplies() throws {
        let memory = ResponseMemory(limit: .max)
        let client = try RawClient(
            { $0.responseMemory = memory },
            http: { $0.respond(HTTPResponse(status: 200, body: [UInt8](repeating: 1, count: 100_000))) })
        let socket = FullSocket()
        try client.channel.pipeline.syncOperations.addHandler(socket, position: .first)
        try client.write(Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        #expect(memory.used == 100_000)
        socket.take()
        client.loop.run()
        #expect(memory.used == 0)
    }

    /// Also when a stream takes the body: a request that never ends must not hold a connection for ever.
    @Test(arguments: [false, true]) func aRequestMustComeInTime(isAnswered: Bool) throws {
        let client = try RawClient(
            { $0.idleTimeout = .seconds(10) },
            endpoint: Server.Endpoint(
                http: HTTPHandlers(answer: Self.nothing, stream: { Patient($0, answersAtOnce: isAnswered) })))
        try client.write(Array("POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc".utf8))
        client.loop.advanceTime(by: .seconds(11))
        #expect(client.channel.isActive == isAnswered, "a stream that is answered may last")
    }

    private func makeWebSocket(
        _ memory: ResponseMemory = ResponseMemory(limit: .max)
    ) throws -> (EmbeddedChannel, WebSocketHandler, FullSocket) {
        let loop = EmbeddedEventLoop()
        var configuration = Server.Configuration()
        configuration.responseMemory = memory
        let server = Server(group: loop, configuration: configuration, methods: [:])
        let request = HTTPRequest(method: "POST", target: "/", headers: [], body: [], peer: "a")
        let handler = WebSocketHandler(
            server: server, request: request,
            handlers: HTTPHandlers(answer: Self.nothing, stream: { Patient($0, answersAtOnce: false) }))
        let channel = EmbeddedChannel(loop: loop)
        let socket = FullSocket()
        try channel.pipeline.syncOperations.addHandlers([socket, handler])
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/raw")).wait()
        return (channel, handler, socket)
    }

    @Test func pingsThatComeFasterThanAnswersGoOutFillNoMemory() throws {
        let (channel, _, socket) = try makeWebSocket()
        for number in 0..<1_000 {
            let data = ByteBuffer(string: String(number))
            try channel.writeInbound(WebSocketFrame(fin: true, opcode: .ping, data: data))
        }
        #expect(socket.waiting.count == 1)
        // The last is answered when the first answer is gone, and no more.
        socket.take()
        #expect(socket.waiting.count == 1)
        socket.take()
        #expect(socket.waiting.isEmpty)
        _ = try? channel.finish()
    }

    @Test func messagesOfAWebSocketAreOnTheAccountOfReplies() throws {
        let memory = ResponseMemory(limit: .max)
        let (channel, handler, socket) = try makeWebSocket(memory)
        handler.write([UInt8](repeating: 0x61, count: 50_000) + [0x0a])
        #expect(memory.used == 50_000)
        socket.take()
        #expect(memory.used == 0)
        _ = try? channel.finish()
    }
}
