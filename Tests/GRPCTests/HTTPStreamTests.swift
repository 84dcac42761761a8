import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import GRPC

/// Requests and answers that come and go in pieces, and listeners that are for one use only.
@Suite struct HTTPStreamTests {
    /// Keeps what it is told.
    private final class Recorder: HTTPStreamHandler {
        let call: HTTPCall
        var log: [String] = []

        init(_ call: HTTPCall) { self.call = call }

        func received(_ bytes: [UInt8]) { log.append(String(decoding: bytes, as: UTF8.self)) }
        func ended() { log.append("ended") }
        func writable() { log.append("writable") }
        func cancelled() { log.append("cancelled") }
    }

    private func makeClient(_ recorders: Box<[Recorder]>, grpc: Bool = true) throws -> RawClient {
        let handlers = HTTPHandlers(
            answer: { $0.respond(HTTPResponse(status: 200, text: "whole \($0.request.target)")) },
            stream: { call in
                guard call.request.path == "/stream" else { return nil }
                let recorder = Recorder(call)
                recorders.value.append(recorder)
                return recorder
            })
        return try RawClient(
            methods: ["/t.T/Echo": .unary { call, message in call.respond(message) }],
            endpoint: Server.Endpoint(servesGRPC: grpc, http: handlers))
    }

    private func read(_ client: RawClient) throws -> String {
        client.loop.run()
        return String(decoding: try client.readBytes(), as: UTF8.self)
    }

    @Test func piecesOverHTTP1() throws {
        let recorders = Box<[Recorder]>([])
        let client = try makeClient(recorders)
        try client.write(
            Array("POST /stream HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n".utf8))
        let recorder = try #require(recorders.value.first)
        #expect(recorder.log == ["ab"])
        recorder.call.begin(status: 200, headers: [("X-A", "b")])
        recorder.call.write([0x78])
        #expect(try read(client) == "HTTP/1.1 200 OK\r\nX-A: b\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        try client.write(Array("1\r\nc\r\n0\r\n\r\n".utf8))
        #expect(recorder.log == ["ab", "c", "ended"])
        recorder.call.write([0x79])
        recorder.call.end()
        recorder.call.write([0x7A])
        #expect(try read(client) == "1\r\ny\r\n0\r\n\r\n")
        // The connection goes on.
        try client.write(Array("GET /next HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        #expect(try read(client).hasSuffix("whole /next"))
        #expect(recorder.log == ["ab", "c", "ended"])
    }

    /// An answer that is whole before its request is: what follows cannot be told from the rest of the body.
    @Test func answersThatComeEarlyEndTheConnection() throws {
        let recorders = Box<[Recorder]>([])
        let client = try makeClient(recorders)
        try client.write(Array("POST /stream HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nab".utf8))
        recorders.value.first?.call.respond(HTTPResponse(status: 400, text: "no"))
        client.loop.run()
        #expect(!client.channel.isActive)
    }

    /// HTTP/1.0 knows no chunks.
    @Test func streamsOverHTTP10EndWithTheConnection() throws {
        let recorders = Box<[Recorder]>([])
        let client = try makeClient(recorders)
        try client.write(Array("POST /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n".utf8))
        let call = try #require(recorders.value.first?.call)
        call.begin(status: 200, headers: [])
        call.write([0x78])
        call.end()
        #expect(try read(client).hasSuffix("\r\n\r\nx"))
        #expect(!client.channel.isActive)
    }

    @Test func handlersHearOfClientsThatGo() throws {
        let recorders = Box<[Recorder]>([])
        let client = try makeClient(recorders)
        try client.write(Array("POST /stream HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n".utf8))
        client.channel.close(promise: nil)
        client.loop.run()
        #expect(recorders.value.first?.log == ["cancelled"])
        recorders.value.first?.call.write([1])
        recorders.value.first?.call.end()
    }

    @Test func piecesOverHTTP2() throws {
        let recorders = Box<[Recorder]>([])
        let client = try makeClient(recorders)
        try client.open()
        _ = try client.readFrames()
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/stream?x"), (":authority", "host.example")]
        try client.write(Frame.headers(fields, stream: 1))
        let recorder = try #require(recorders.value.first)
        #expect(recorder.call.request.header("host") == "host.example")
        try client.write(Frame(.data, stream: 1, [0x61]))
        #expect(recorder.log == ["a"])
        recorder.call.begin(status: 200, headers: [("X-A", "b")])
        recorder.call.write([0x78])
        client.loop.run()
        let frames = try client.readFrames()
        #expect(frames.contains { $0.kind == Frame.Kind.data.rawValue && $0.payload == [0x78] && $0.flags == 0 })
        try client.write(Frame(.data, flags: Frame.endStream, stream: 1, [0x62]))
        #expect(recorder.log == ["a", "b", "ended"])
        recorder.call.end()
        client.loop.run()
        #expect(try client.readFrames().contains { $0.stream == 1 && $0.flags & Frame.endStream != 0 })
        // The stream that the client resets.
        try client.write(Frame.headers(fields, stream: 3))
        try client.write(Frame(.reset, stream: 3, [0, 0, 0, 8]))
        #expect(recorders.value.last?.log == ["cancelled"])
    }

    @Test func endpointsWithoutGRPCTakeCallsForRequests() throws {
        let client = try makeClient(Box([]), grpc: false)
        try client.open()
        _ = try client.readFrames()
        try client.write(Frame.call("/t.T/Echo", stream: 1))
        try client.write(Frame(.data, flags: Frame.endStream, stream: 1, [0, 0, 0, 0, 0]))
        client.loop.run()
        let head = try #require(try client.frames(.headers).first)
        #expect(try HeaderDecoder.decode(head.payload)["content-type"] == "text/plain; charset=utf-8")
    }

    @Test func endpointsWithoutHTTPUnderstandNoHTTP1() throws {
        let client = try RawClient(endpoint: Server.Endpoint(http: nil))
        try client.write(Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        #expect(!client.channel.isActive)
    }

    /// What is never read is not kept for ever.
    @Test func answersThatNobodyReadsEndTheConnection() async throws {
        let rejected = NIOLockedValueBox<[String]>([])
        var observer = ServerObserver()
        observer.connectionRejected = { _, reason in rejected.withLockedValue { $0.append(reason) } }
        var configuration = Server.Configuration()
        configuration.idleTimeout = .seconds(2)
        let server = Server(
            group: MultiThreaded.group, configuration: configuration, methods: [:], observer: observer,
            http: HTTPHandlers { call in
                call.respond(HTTPResponse(status: 200, body: [UInt8](repeating: 0, count: 64 << 20)))
            })
        let port = try #require(try await server.bind(host: "127.0.0.1", port: 0).port)
        let client = try await ClientBootstrap(group: MultiThreaded.group)
            .channelOption(.autoRead, value: false).connect(host: "127.0.0.1", port: port).get()
        try await client.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
        while rejected.withLockedValue({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(10)) }
        #expect(rejected.withLockedValue { $0 } == ["client left its answer unread"])
        try? await client.close()
        try await server.shutdown()
    }
}
