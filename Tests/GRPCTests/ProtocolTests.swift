import NIOCore
import NIOPosix
import Testing

@testable import GRPC

/// HTTP/1.1, HTTP/2 and gRPC on one port, and the health service.
@Suite struct ProtocolTests {
    private static let echo: [String: Method] = ["/t.T/Echo": .unary { call, message in call.respond(message) }]
    private static let http: @Sendable (HTTPCall) -> Void = { call in
        let body = "\(call.request.method) \(call.request.path) \(call.request.body.count)"
        call.respond(HTTPResponse(status: 200, headers: [("X-Kind", "test")], body: Array(body.utf8)))
    }

    private func exchange(_ client: RawClient, _ text: String) throws -> String {
        try client.write(Array(text.utf8))
        // Answers tell the time.
        return String(decoding: try client.readBytes(), as: UTF8.self).replacing(/date: [^\r]* GMT\r\n/, with: "")
    }

    @Test func http1RequestsShareTheConnection() throws {
        let client = try RawClient(http: Self.http)
        let first = try exchange(client, "GET /version?x=1 HTTP/1.1\r\nhost: a\r\n\r\n")
        #expect(first == "HTTP/1.1 200 OK\r\nX-Kind: test\r\ncontent-length: 14\r\n\r\nGET /version 0")
        let second = try exchange(client, "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        #expect(second.hasSuffix("\r\n\r\nPOST /p 3"))
        let head = try exchange(client, "HEAD /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        #expect(head.hasSuffix("content-length: 9\r\nconnection: close\r\n\r\n"))
        #expect(!client.channel.isActive)
    }

    /// The first bytes decide, however they are cut.
    @Test func prefaceMayArriveByteByByte() throws {
        let client = try RawClient(methods: Self.echo, http: Self.http)
        for byte in RawClient.preface { try client.write([byte]) }
        try client.write(Frame(.settings))
        #expect(try client.frames(.settings).count == 2)
        let other = try RawClient(http: Self.http)
        var answer = ""
        for byte in "PRI * HTTP/1.1\r\nhost: a\r\n\r\n".utf8 {
            answer += try exchange(other, String(decoding: [byte], as: UTF8.self))
        }
        #expect(answer.hasPrefix("HTTP/1.1 "))
    }

    @Test func http2WithoutGRPCGoesToTheHandler() throws {
        let client = try RawClient(methods: Self.echo, http: Self.http)
        try client.open()
        _ = try client.readFrames()
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/v3/kv/range"), (":authority", "a")]
        try client.write(Frame.headers(fields, stream: 1))
        try client.write(Frame(.data, flags: Frame.endStream, stream: 1, [1, 2, 3]))
        let frames = try client.readFrames().filter { $0.stream == 1 }
        #expect(try HeaderDecoder.decode(frames[0].payload)["x-kind"] == "test")
        #expect(frames.last?.payload == Array("POST /v3/kv/range 3".utf8))
        #expect(frames.last.map { $0.flags & Frame.endStream } == Frame.endStream)
    }

    /// Which request heads are served, and which end in a reset of their stream (RFC 9113, section 8).
    @Test(arguments: [
        // etcdctl dials endpoints that are written as URLs under the URL's own text.
        ("authority that is a URL", [(":path", "/p"), (":authority", "http://127.0.0.1:2379")], true),
        ("no authority", [(":path", "/p")], true),
        ("control character in a value", [(":path", "/p"), ("x", "a\u{1}")], false),
        ("te of trailers", [(":path", "/p"), ("te", "trailers")], true),
        ("no path", [("x", "y")], false),
        ("empty path", [(":path", "")], false),
        ("path twice", [(":path", "/p"), (":path", "/q")], false),
        ("pseudo-header behind a field", [("x", "y"), (":path", "/p")], false),
        ("unknown pseudo-header", [(":path", "/p"), (":nope", "y")], false),
        ("upper case", [(":path", "/p"), ("X", "y")], false),
        ("field of an HTTP/1.1 connection", [(":path", "/p"), ("connection", "close")], false),
        ("te of something else", [(":path", "/p"), ("te", "gzip")], false),
        ("control character in the path", [(":path", "/p\u{1}")], false),
    ])
    func headsAreChecked(what: String, fields: [(String, String)], isServed: Bool) throws {
        let client = try RawClient(methods: Self.echo, http: Self.http)
        try client.open()
        _ = try client.readFrames()
        let fields = [(":method", "GET"), (":scheme", "http")] + fields
        try client.write(Frame.headers(fields, stream: 1, endStream: true))
        let frames = try client.readFrames().filter { $0.stream == 1 }
        if isServed {
            #expect(try HeaderDecoder.decode(try #require(frames.first).payload)[":status"] == "200", "\(what)")
        } else {
            #expect(frames.map(\.kind) == [Frame.Kind.reset.rawValue], "\(what)")
            #expect(frames.first?.code == 1, "\(what)")
        }
        // The connection goes on.
        try client.write(
            Frame.headers([(":method", "GET"), (":scheme", "http"), (":path", "/p")], stream: 3, endStream: true))
        #expect(try client.readFrames().contains { $0.stream == 3 && $0.kind == Frame.Kind.headers.rawValue })
    }

    /// Trailers end a request and have no pseudo-headers.
    @Test(arguments: [([("x", "y")], true, true), ([("x", "y")], false, false), ([(":path", "/q")], true, false)])
    func trailersAreChecked(fields: [(String, String)], ends: Bool, isServed: Bool) throws {
        let client = try RawClient(methods: Self.echo, http: Self.http)
        try client.open()
        _ = try client.readFrames()
        try client.write(Frame.headers([(":method", "POST"), (":scheme", "http"), (":path", "/p")], stream: 1))
        try client.write(Frame.headers(fields, stream: 1, endStream: ends))
        let kinds = try client.readFrames().filter { $0.stream == 1 }.map(\.kind)
        #expect(kinds.contains(Frame.Kind.headers.rawValue) == isServed)
        #expect(kinds.contains(Frame.Kind.reset.rawValue) != isServed)
    }

    @Test func bodiesAreBoundedInBothVersions() throws {
        let limit: (inout Server.Configuration) -> Void = { $0.maximumHTTPBody = 100 }
        let body = String(repeating: "x", count: 101)
        let client = try RawClient(limit, http: Self.http)
        let answer = try exchange(client, "POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 101\r\n\r\n\(body)")
        #expect(answer.hasPrefix("HTTP/1.1 413 "))
        let second = try RawClient(limit, http: Self.http)
        try second.open()
        _ = try second.readFrames()
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/p"), (":authority", "a")]
        try second.write(Frame.headers(fields, stream: 1))
        try second.write(Frame(.data, flags: Frame.endStream, stream: 1, Array(body.utf8)))
        let head = try #require(try second.frames(.headers).first)
        #expect(try HeaderDecoder.decode(head.payload)[":status"] == "413")
    }

    /// An answer that comes late must not be taken for that of the next request.
    @Test func secondAnswerToARequestGoesNowhere() throws {
        let calls = Box<[HTTPCall]>([])
        let client = try RawClient(http: { calls.value.append($0) })
        #expect(try exchange(client, "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n") == "")
        #expect(calls.value.map(\.request.target) == ["/1"], "requests are given one at a time")
        calls.value[0].respond(HTTPResponse(status: 200, body: [0x61]))
        client.loop.run()
        calls.value[0].respond(HTTPResponse(status: 500))
        calls.value[1].respond(HTTPResponse(status: 200, body: [0x62]))
        let text = String(decoding: try client.readBytes(), as: UTF8.self)
        #expect(text.filter { $0 == "a" || $0 == "b" }.hasPrefix("a") && text.hasSuffix("b"))
        #expect(!text.contains("500"))
    }

    @Test func connectionsThatSayNothingAreClosed() throws {
        let client = try RawClient({ $0.idleTimeout = .seconds(10) })
        try client.write(Array("PRI".utf8))
        client.loop.advanceTime(by: .seconds(10))
        #expect(!client.channel.isActive)
        let idle = try RawClient({ $0.idleTimeout = .seconds(10) }, http: Self.http)
        _ = try exchange(idle, "GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        client.loop.advanceTime(by: .seconds(9))
        #expect(idle.channel.isActive)
        idle.loop.advanceTime(by: .seconds(10))
        #expect(!idle.channel.isActive)
    }

    @Test func everythingOverOneTCPPort() async throws {
        let server = Server(group: MultiThreaded.group, methods: Self.echo, http: HTTPHandlers(answer: Self.http))
        let address = try await server.bind(host: "127.0.0.1", port: 0)
        let port = try #require(address.port)
        let client = try await ClientConnection.connect(host: "127.0.0.1", port: port, group: MultiThreaded.group)
        let message = Array(repeating: UInt8(3), count: 1_500_000)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 { group.addTask { try await client.unary("/t.T/Echo", message).message.count } }
            for try await count in group { #expect(count == message.count) }
        }
        let socket = try await ClientBootstrap(group: MultiThreaded.group).connect(host: "127.0.0.1", port: port) {
            channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        let text = try await socket.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: "GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
            var text = ""
            for try await buffer in inbound { text += String(buffer: buffer) }
            return text
        }
        #expect(text.hasSuffix("GET /health 0"))
        try await client.close()
        try await server.shutdown()
    }

    // MARK: Health

    @Test func healthOfTheServerAndOfUnknownServices() throws {
        let health = HealthService()
        let wire = try Wire(methods: health.methods)
        let check = { (request: [UInt8]) throws -> [UInt8] in
            let result = Box<Result<ClientConnection.Reply, Status>?>(nil)
            wire.client.unary("/grpc.health.v1.Health/Check", request) { result.value = $0 }
            try wire.run()
            return try #require(result.value).get().message
        }
        #expect(try check([]) == [8, 1])
        #expect(throws: Status(.notFound, "unknown service")) { try check([0x0A, 1, 0x61]) }
        #expect(throws: Status.self) { try check([0x0A, 9]) }
    }

    @Test func healthOfAllServices() throws {
        let health = HealthService()
        let wire = try Wire(methods: health.methods)
        let list = { (request: [UInt8]) throws -> [UInt8] in
            let result = Box<Result<ClientConnection.Reply, Status>?>(nil)
            wire.client.unary("/grpc.health.v1.Health/List", request) { result.value = $0 }
            try wire.run()
            return try #require(result.value).get().message
        }
        // Both parts of an entry are there, also when they are empty.
        #expect(try list([]) == [0x0A, 6, 0x0A, 0, 0x12, 2, 8, 1])
        health.set("", .notServing)
        health.set("a", .unknown)
        #expect(try list([]) == [0x0A, 6, 0x0A, 0, 0x12, 2, 8, 2, 0x0A, 5, 0x0A, 1, 0x61, 0x12, 0])
        #expect(throws: Status.self) { try list([0x0A, 9]) }
    }

    @Test func healthWatchersSeeChanges() throws {
        let health = HealthService()
        let wire = try Wire(methods: health.methods)
        let seen = RecordingClientHandler()
        let call = wire.client.stream("/grpc.health.v1.Health/Watch") { _ in seen }
        call.send([0x0A, 1, 0x61])
        try wire.run()
        health.set("a", .serving)
        try wire.run()
        health.set("b", .notServing)
        health.set("a", .notServing)
        try wire.run()
        // What was said is not said again.
        health.set("a", .notServing)
        try wire.run()
        #expect(seen.messages == [[8, 3], [8, 1], [8, 2]])
        call.cancel()
        try wire.run()
        health.set("a", .serving)
        try wire.run()
        #expect(seen.messages.count == 3)
    }
}
