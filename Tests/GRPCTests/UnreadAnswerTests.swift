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

    /// A socket that takes one write whenever it is told to.
    private final class SlowSocket: ChannelOutboundHandler, @unchecked Sendable {
        typealias OutboundIn = ByteBuffer
        private var waiting: [(count: Int, promise: EventLoopPromise<Void>?)] = []
        private(set) var taken = 0
        /// The first that was written.
        private(set) var first = ""

        /// The bytes it was given and has not taken.
        var held: Int { waiting.reduce(0) { $0 + $1.count } }

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            let buffer = unwrapOutboundIn(data)
            if first.isEmpty { first = String(buffer: buffer) }
            waiting.append((buffer.readableBytes, promise))
        }

        func flush(context: ChannelHandlerContext) {}

        func takeOne() {
            guard !waiting.isEmpty else { return }
            let (count, promise) = waiting.removeFirst()
            taken += count
            promise?.succeed()
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

    private func makeSlowClient(
        answer: Int, _ configure: (inout Server.Configuration) -> Void = { _ in }
    ) throws -> (RawClient, SlowSocket, Box<Int>) {
        let requests = Box(0)
        let client = try RawClient(
            {
                $0.idleTimeout = .seconds(10)
                configure(&$0)
            },
            http: {
                requests.value += 1
                $0.respond(HTTPResponse(status: 200, body: [UInt8](repeating: 1, count: answer)))
            })
        let socket = SlowSocket()
        try client.channel.pipeline.syncOperations.addHandler(socket, position: .first)
        return (client, socket, requests)
    }

    /// Whoever reads is there, however long a large body takes. And what waits has no copy at the socket.
    @Test func aClientThatReadsSlowlyGetsItsWholeAnswer() throws {
        let memory = ResponseMemory(limit: .max)
        let (client, socket, _) = try makeSlowClient(answer: 2 << 20) { $0.responseMemory = memory }
        try client.write(Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        #expect(memory.used == 2 << 20)
        while memory.used > 0, client.channel.isActive {
            #expect(socket.held <= HTTP1Handler.window + 1_000)
            socket.takeOne()
            client.loop.advanceTime(by: .seconds(9))
        }
        #expect(client.channel.isActive)
        #expect(socket.taken > 2 << 20)
        // Once all is taken the connection is idle, and not kept for ever.
        while socket.held > 0 { socket.takeOne() }
        client.loop.advanceTime(by: .seconds(21))
        #expect(!client.channel.isActive)
    }

    @Test func aClientThatStopsReadingIsCutOff() throws {
        let memory = ResponseMemory(limit: .max)
        let (client, socket, _) = try makeSlowClient(answer: 2 << 20) { $0.responseMemory = memory }
        try client.write(Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        for _ in 0..<5 { socket.takeOne() }
        client.loop.advanceTime(by: .seconds(11))
        #expect(!client.channel.isActive)
        while socket.held > 0 { socket.takeOne() }
        #expect(memory.used == 0, "what was never given to the socket is off the account too")
    }

    /// The end of an answer lets the next request in. It waits, or a client that asks and reads nothing fills the memory.
    @Test func requestsThatAreAskedAheadWaitForTheirAnswersToBeRead() throws {
        let (client, socket, requests) = try makeSlowClient(answer: 100_000)
        try client.write(Array(String(repeating: "GET / HTTP/1.1\r\nhost: a\r\n\r\n", count: 500).utf8))
        #expect((1...4).contains(requests.value))
        while requests.value < 500, client.channel.isActive {
            let before = requests.value
            for _ in 0..<20 { socket.takeOne() }
            client.loop.run()
            guard requests.value > before else { break }
        }
        #expect(requests.value == 500)
    }

    /// Likewise for answers without a body, of which the channel tells.
    @Test func answersWithoutABodyDoNotPileUp() throws {
        let (client, _, requests) = try makeSlowClient(answer: 0)
        client.channel.isWritable = false
        try client.write(Array(String(repeating: "GET / HTTP/1.1\r\nhost: a\r\n\r\n", count: 500).utf8))
        #expect(requests.value == 1)
        client.channel.isWritable = true
        client.channel.pipeline.fireChannelWritabilityChanged()
        client.loop.run()
        #expect(requests.value == 500)
    }

    /// Small answers go out nevertheless: of a health check, for one.
    @Test(arguments: [(100_000, 503), (1_000, 200)]) func largeAnswersAreRefusedWhileTheMemoryIsUsedUp(
        size: Int, status: Int
    ) throws {
        let memory = ResponseMemory(limit: 10)
        memory.note(10)
        let (client, socket, _) = try makeSlowClient(answer: size) { $0.responseMemory = memory }
        try client.write(Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        #expect(socket.held < 10_000)
        while socket.held > 0 { socket.takeOne() }
        #expect(memory.used == 10)
        #expect(socket.first.hasPrefix("HTTP/1.1 \(status) "))
    }

    /// The time for a request begins with it, not with the end of the one before.
    @Test func anIdleConnectionGivesItsNextRequestTheWholeTime() throws {
        let (client, _, requests) = try makeSlowClient(answer: 1)
        client.loop.advanceTime(by: .seconds(9))
        try client.write(Array("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na".utf8))
        client.loop.advanceTime(by: .seconds(9))
        try client.write([0x62])
        #expect(requests.value == 1)
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
            handlers: HTTPHandlers(answer: Self.nothing, stream: { Patient($0, answersAtOnce: false) }),
            intake: HTTP1Intake(server: server, peer: "a"))
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
            try channel.writeInbound(WebSocketFrame(fin: true, opcode: .ping, maskKey: [1, 2, 3, 4], data: data))
        }
        #expect(socket.waiting.count == 1)
        // The last is answered when the first answer is gone, and no more.
        socket.take()
        #expect(socket.waiting.count == 1)
        socket.take()
        #expect(socket.waiting.isEmpty)
        _ = try? channel.finish()
    }

    /// Long messages go out in fragments, one at a time, and the socket is not closed before the last of them.
    @Test func whatAWebSocketWasToldComesBeforeItsEnd() throws {
        let memory = ResponseMemory(limit: .max)
        let (channel, handler, socket) = try makeWebSocket(memory)
        handler.respond(HTTPResponse(status: 200, body: [UInt8](repeating: 0x61, count: 2_500_000) + [0x0a]))
        for _ in 0..<3 {
            #expect(channel.isActive)
            #expect(socket.waiting.count == 1)
            socket.take()
            channel.embeddedEventLoop.run()
        }
        #expect(!channel.isActive)
        #expect(memory.used == 0)
    }

    @Test func whatAWebSocketNeverSentIsOffTheAccount() throws {
        let memory = ResponseMemory(limit: .max)
        let (channel, handler, socket) = try makeWebSocket(memory)
        handler.write([UInt8](repeating: 0x61, count: 5_000_000) + [0x0a])
        channel.close(promise: nil)
        channel.embeddedEventLoop.run()
        socket.take()
        #expect(memory.used == 0)
    }

    /// A slow client's answer to a ping waits behind the message that it reads; that it reads is answer enough.
    @Test func aWebSocketThatReadsSlowlyIsKept() throws {
        let (channel, handler, socket) = try makeWebSocket()
        handler.write([UInt8](repeating: 0x61, count: 8 << 20) + [0x0a])
        for _ in 0..<8 {
            channel.embeddedEventLoop.advanceTime(by: .seconds(119))
            socket.take()
            channel.embeddedEventLoop.run()
        }
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .seconds(481))
        #expect(!channel.isActive, "then it says nothing any more")
    }

    /// RFC 6455 has a server close the connection: what a page can make a browser send is never plain text.
    @Test(arguments: [false, true]) func framesMustBeMasked(isMasked: Bool) throws {
        let (channel, _, _) = try makeWebSocket()
        let key = isMasked ? WebSocketMaskingKey([1, 2, 3, 4]) : nil
        try channel.writeInbound(WebSocketFrame(fin: true, opcode: .text, maskKey: key, data: ByteBuffer(string: "a")))
        #expect(channel.isActive == isMasked)
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
