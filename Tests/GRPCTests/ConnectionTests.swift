import NIOCore
import Testing

@testable import GRPC

/// What a connection does about clients that are silent, hurried, hostile or asked to leave.
@Suite struct ConnectionTests {
    private static let methods: [String: Method] = [
        "/t.T/Echo": .unary { call, message in call.respond(message) },
        "/t.T/Never": .unary { _, _ in },
        "/t.T/Stream": .stream { RecordingHandler(call: $0) },
    ]
    private static let enhanceYourCalm: UInt32 = 11

    private func ping(_ client: RawClient) throws { try client.write(Frame(.ping, Array(repeating: 0, count: 8))) }

    // MARK: Pings

    @Test func tooManyPingsEndTheConnectionWithGoWords() throws {
        let rejected = Box<[String]>([])
        var observer = ServerObserver()
        observer.connectionRejected = { _, reason in rejected.value.append(reason) }
        let client = try RawClient(methods: Self.methods, observer: observer)
        try client.open()
        for _ in 0..<3 { try ping(client) }
        #expect(try client.frames(.ping).count == 3)
        #expect(client.channel.isActive)
        try ping(client)
        let farewell = try #require(try client.frames(.goAway).first)
        #expect(farewell.code == Self.enhanceYourCalm)
        #expect(String(decoding: farewell.payload.dropFirst(8), as: UTF8.self) == "too_many_pings")
        #expect(!client.channel.isActive)
        #expect(rejected.value == ["client sent pings too often"])
    }

    @Test func pingsBetweenCallsAreForgiven() throws {
        let wire = try Wire(methods: Self.methods)
        for _ in 0..<20 {
            wire.client.ping()
            wire.client.unary("/t.T/Echo", [1]) { _ in }
            try wire.run()
        }
        #expect(wire.serverChannel.isActive)
    }

    @Test func silentPeerIsPingedAndThenDropped() throws {
        let client = try RawClient(methods: Self.methods) {
            $0.keepaliveInterval = .seconds(10)
            $0.keepaliveTimeout = .seconds(3)
        }
        try client.open()
        _ = try client.readFrames()
        client.loop.advanceTime(by: .seconds(9))
        #expect(try client.frames(.ping).isEmpty)
        client.loop.advanceTime(by: .seconds(1))
        let ping = try #require(try client.frames(.ping).first)
        try client.write(Frame(.ping, flags: Frame.acknowledgement, ping.payload))
        client.loop.advanceTime(by: .seconds(9))
        #expect(client.channel.isActive)
        client.loop.advanceTime(by: .seconds(2))
        #expect(try client.frames(.ping).count == 1)
        client.loop.advanceTime(by: .seconds(3))
        #expect(!client.channel.isActive)
    }

    // MARK: Floods

    @Test func rapidResetsEndTheConnection() throws {
        let client = try RawClient(methods: Self.methods) {
            $0.resetBurst = 10
            $0.resetsPerSecond = 1
        }
        try client.open()
        for index in 0..<11 {
            #expect(client.channel.isActive)
            let stream = UInt32(2 * index + 1)
            try client.write(Frame.call("/t.T/Never", stream: stream))
            try client.write(Frame(.reset, stream: stream, Frame.word(8)))
        }
        #expect(try client.frames(.goAway).first?.code == Self.enhanceYourCalm)
        #expect(!client.channel.isActive)
    }

    @Test func oversizedHeaderListsAreReset() throws {
        let client = try RawClient(methods: Self.methods) { $0.maximumHeaderList = 4096 }
        try client.open()
        _ = try client.readFrames()
        try client.write(Frame.call("/t.T/Echo", stream: 1, [("x-long", String(repeating: "a", count: 5000))]))
        #expect(try client.frames(.reset).first?.code == Self.enhanceYourCalm)
        #expect(client.channel.isActive)
        try client.write(Frame.call("/t.T/Echo", stream: 3))
        try client.write(Frame(.data, flags: Frame.endStream, stream: 3, [0, 0, 0, 0, 0]))
        #expect(try client.frames(.headers).count == 2, "the connection's compression state is still in step")
    }

    @Test func unfinishedRequestsAreBoundedPerConnection() throws {
        let client = try RawClient(methods: Self.methods) { $0.maximumRequestBytes = 50_000 }
        try client.open()
        _ = try client.readFrames()
        for index in 0..<4 {
            let stream = UInt32(2 * index + 1)
            try client.write(Frame.call("/t.T/Echo", stream: stream))
            try client.write(Frame(.data, stream: stream, [0, 0, 1, 0, 0] + Array(repeating: 1, count: 15_000)))
        }
        let answered = try client.frames(.headers).map(\.stream)
        #expect(answered == [7], "the fourth is over the limit; the others may go on")
    }

    @Test func streamsBeyondTheLimitAreRefused() throws {
        let client = try RawClient(methods: Self.methods) { $0.maximumConcurrentStreams = 2 }
        try client.open()
        for index in 0..<3 { try client.write(Frame.call("/t.T/Never", stream: UInt32(2 * index + 1))) }
        let resets = try client.frames(.reset)
        #expect(resets.map(\.stream) == [5])
        #expect(resets.first?.code == 7, "REFUSED_STREAM")
    }

    @Test func connectionWithManyUnreadAnswersIsEnded() throws {
        let client = try RawClient(methods: [
            "/t.T/Big": .unary { call, _ in call.respond(Array(repeating: 1, count: 100_000)) }
        ]) { $0.connectionPendingLimit = 1_000_000 }
        try client.open()
        _ = try client.readFrames()
        for index in 0..<20 where client.channel.isActive {
            let stream = UInt32(2 * index + 1)
            try client.write(Frame.call("/t.T/Big", stream: stream))
            try client.write(Frame(.data, flags: Frame.endStream, stream: stream, [0, 0, 0, 0, 0]))
            #expect(client.connection?.sessionIfOpen?.pendingBytes ?? 0 <= 1_200_000)
        }
        #expect(!client.channel.isActive)
    }

    @Test func garbageAfterThePrefaceEndsTheConnection() throws {
        let rejected = Box<[String]>([])
        var observer = ServerObserver()
        observer.connectionRejected = { _, reason in rejected.value.append(reason) }
        let client = try RawClient(methods: Self.methods, observer: observer)
        try client.write(RawClient.preface + Array(repeating: 0xFF, count: 100))
        #expect(!client.channel.isActive)
        #expect(rejected.value.count == 1)
    }

    @Test func whatIsNoHTTPIsRefusedAndReported() throws {
        let rejected = Box<[String]>([])
        var observer = ServerObserver()
        observer.connectionRejected = { _, reason in rejected.value.append(reason) }
        let client = try RawClient(methods: Self.methods, observer: observer, http: { _ in })
        // The beginning of a TLS handshake, from a client that was told `https`.
        try client.write([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03])
        #expect(!client.channel.isActive)
        #expect(rejected.value.count == 1)
        #expect(rejected.value.first?.hasPrefix("not HTTP: ") == true)
    }

    // MARK: Heads that are not gRPC's

    @Test(arguments: [
        ([(":method", "GET"), ("content-type", "application/grpc")], "405", "13"),
        ([(":method", "POST"), ("content-type", "application/json")], "415", "3"),
        ([(":method", "POST"), ("content-type", "application/grpcx")], "415", "3"),
        ([(":method", "POST")], "415", "3"),
        ([(":method", "POST"), ("content-type", "application/grpc"), ("grpc-timeout", "1x")], "400", "13"),
        ([(":method", "POST"), ("content-type", "application/grpc+proto"), ("grpc-encoding", "br")], "200", "12"),
    ])
    func headsThatAreRefused(fields: [(String, String)], httpStatus: String, code: String) throws {
        let client = try RawClient(methods: Self.methods)
        try client.open()
        _ = try client.readFrames()
        let known = [(":scheme", "http"), (":path", "/t.T/Echo"), (":authority", "raw")]
        let pseudo = fields.filter { $0.0.hasPrefix(":") }
        try client.write(Frame.headers(pseudo + known + fields.dropFirst(pseudo.count), stream: 1, endStream: true))
        let head = try #require(try client.frames(.headers).first)
        #expect(head.flags & Frame.endStream != 0, "trailers only")
        let text = String(decoding: head.payload.filter { $0 >= 0x20 && $0 < 0x7F }, as: UTF8.self)
        let decoded = try HeaderDecoder.decode(head.payload)
        #expect(decoded[":status"] == httpStatus, "\(text)")
        #expect(decoded["grpc-status"] == code)
        if code == "12" { #expect(decoded["grpc-accept-encoding"] == "identity,gzip") }
    }

    /// etcdctl 3.4 names a whole URL as the authority when its endpoint has a scheme.
    @Test func anAuthorityMayBeAURL() throws {
        let client = try RawClient(methods: Self.methods)
        try client.open()
        _ = try client.readFrames()
        try client.write(
            Frame.headers(
                [
                    (":method", "POST"), (":scheme", "http"), (":path", "/nope/Nope"),
                    (":authority", "http://127.0.0.1:2379"), ("content-type", "application/grpc"),
                ], stream: 1, endStream: true))
        let head = try #require(try client.frames(.headers).first)
        #expect(try HeaderDecoder.decode(head.payload)["grpc-status"] == "12")
    }

    @Test(arguments: [("X-Upper", "a"), ("a b", "c"), ("", "x"), ("x-a", "b\u{0}"), ("x-a", "b\r\nc: d")])
    func aMalformedFieldEndsItsCall(name: String, value: String) throws {
        let client = try RawClient(methods: Self.methods)
        try client.open()
        _ = try client.readFrames()
        try client.write(Frame.call("/nope/Nope", stream: 1, [(name, value)]))
        let reset = try #require(try client.frames(.reset).first)
        #expect(reset.payload == [0, 0, 0, 1], "PROTOCOL_ERROR")
        try client.write(Frame.call("/nope/Nope", stream: 3))
        #expect(try client.frames(.headers).isEmpty == false, "the connection goes on")
    }

    // MARK: Farewell

    @Test func gracefulShutdownLetsCallsEnd() async throws {
        let group = MultiThreaded.group
        let held = Held()
        let server = Server(group: group, methods: ["/t.T/Later": .unary { call, _ in held.put(call) }])
        let path = temporarySocket()
        try await server.bind(unixDomainSocketPath: path)
        let client = try await ClientConnection.connect(unixDomainSocketPath: path, group: group)
        async let reply = client.unary("/t.T/Later", [1])
        let call = await held.take()
        async let ended: Void = server.shutdown(limit: .seconds(60))
        call.respond([9])
        #expect(try await reply.message == [9])
        try await ended
        try await client.closeFuture.get()
        await #expect(throws: (any Error).self) {
            _ = try await ClientConnection.connect(unixDomainSocketPath: path, group: group)
        }
    }

    @Test func shutdownWithoutPatienceCutsCallsOff() async throws {
        let group = MultiThreaded.group
        let held = Held()
        let server = Server(group: group, methods: ["/t.T/Later": .unary { call, _ in held.put(call) }])
        let path = temporarySocket()
        try await server.bind(unixDomainSocketPath: path)
        let client = try await ClientConnection.connect(unixDomainSocketPath: path, group: group)
        let reply = Task { try await client.unary("/t.T/Later", [1]) }
        _ = await held.take()
        try await server.shutdown()
        await #expect(throws: Status.self) { _ = try await reply.value }
    }
}
