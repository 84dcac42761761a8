import NIOCore
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
        // Answers tell the time.
        return String(decoding: try client.readBytes(), as: UTF8.self).replacing(/date: [^\r]* GMT\r\n/, with: "")
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

    /// Go's servers take a path for what its escapes stand for, and a target with a host for its path.
    @Test(arguments: [
        ("/%76ersion", "/version"), ("/a%2Fb%20c?x=%20", "/a/b c"), ("http://b:1/version?x", "/version"),
        ("http://b", "/"),
        ("HTTPS://b?x", "/"), ("*", "*"), ("/%c3%a9", "/é"),
    ])
    func pathsAreUnescaped(target: String, path: String) throws {
        let request = HTTPRequest(method: "GET", target: target, headers: [("host", "a")], body: [], peer: "")
        #expect(request.path == path)
        #expect(request.fault == nil)
        #expect(request.header("host") == (target.contains("//") ? (target.contains("b:1") ? "b:1" : "b") : "a"))
    }

    @Test(arguments: [
        "GET /%zz HTTP/1.1\r\nhost: a\r\n\r\n", "GET /%2 HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\nexpect: miracles\r\n\r\n",
    ])
    func requestsThatBreakTheRulesAreRefused(request: String) throws {
        let client = try makeClient(Box([]))
        try client.write(Array(request.utf8))
        let answer = try read(client)
        #expect(answer.hasPrefix("HTTP/1.1 4"))
        #expect(answer.contains("connection: close\r\n"))
    }

    /// Of HTTP/1.0 a client must be told that it may go on, and is not told that it may send its body.
    @Test func oldClientsMayKeepTheirConnections() throws {
        let client = try makeClient(Box([]))
        for _ in 0..<2 {
            try client.write(
                Array(
                    "POST /a HTTP/1.0\r\nconnection: keep-alive\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx"
                        .utf8))
            let answer = try read(client)
            #expect(answer.hasPrefix("HTTP/1.0 200 OK\r\n"))
            #expect(answer.contains("connection: keep-alive\r\n"))
        }
    }

    @Test func theTimeIsTold() {
        #expect(HTTPDate.text(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
    }

    /// `printf … | nc` says at once that nothing follows. A client that is gone looks the same, so calls end with it.
    @Test(arguments: [false, true]) func whoSendsNoMoreGetsTheAnswer(isCall: Bool) throws {
        let recorders = Box<[Recorder]>([])
        let held = Box<HTTPCall?>(nil)
        let client = try RawClient(
            endpoint: Server.Endpoint(
                http: HTTPHandlers(
                    answer: { held.value = $0 },
                    stream: { call in
                        guard isCall else { return nil }
                        let recorder = Recorder(call)
                        recorders.value.append(recorder)
                        return recorder
                    })))
        try client.write(Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        client.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        client.loop.run()
        #expect(client.channel.isActive == !isCall)
        if isCall { #expect(recorders.value.first?.log == ["ended", "cancelled"]) }
        held.value?.respond(HTTPResponse(status: 200, text: "late"))
        #expect(try isCall || read(client).hasSuffix("late"))
        #expect(!client.channel.isActive)
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

    /// Whoever took a request may keep it for longer than its connection lasts.
    @Test(arguments: [false, true]) func requestsMayOutliveTheirConnections(isAnswered: Bool) throws {
        let recorders = Box<[Recorder]>([])
        var client: RawClient? = try makeClient(recorders)
        try client?.write(Array("POST /stream HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n".utf8))
        let call = try #require(recorders.value.first?.call)
        if isAnswered { call.respond(HTTPResponse(status: 200, text: "early")) }
        client?.channel.close(promise: nil)
        client?.loop.run()
        let loop = client?.loop
        client = nil
        #expect(call.pendingBytes == 0 && call.isWritable)
        call.pauseReading()
        call.resumeReading()
        call.begin(status: 200, headers: [])
        call.write([1])
        call.end()
        call.abort()
        loop?.run()
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
}
