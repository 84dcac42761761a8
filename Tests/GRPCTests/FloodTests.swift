import Testing

@testable import GRPC

/// Clients together that send more than a server wants to keep: each is within its own limits.
@Suite struct FloodTests {
    private static let enhanceYourCalm: UInt32 = 0xB
    private static let methods: [String: Method] = ["/t.T/Echo": .unary { call, message in call.respond(message) }]

    private static func request(_ stream: UInt32, announced: UInt32, _ count: Int) -> Frame {
        Frame(.data, stream: stream, [0] + Frame.word(announced) + Array(repeating: 1, count: count))
    }

    @Test func unfinishedRequestsOfAllConnectionsAreBounded() throws {
        let memory = RequestMemory(limit: 40_000)
        let clients = try (0..<3).map { _ in try RawClient(methods: Self.methods) { $0.requestMemory = memory } }
        for client in clients {
            try client.open()
            _ = try client.readFrames()
            try client.write(Frame.call("/t.T/Echo", stream: 1))
            for _ in 0..<2 { try client.write(Self.request(1, announced: 100_000, 9_000)) }
        }
        #expect(memory.used == 36_010, "the third is over the limit, and what it had sent is forgotten")
        #expect(try clients[0].frames(.headers).isEmpty)
        let refused = try clients[2].frames(.headers)
        #expect(refused.map(\.stream) == [1])
        // Small requests find room still, and the memory comes back with the connections.
        try clients[2].write(Frame.call("/t.T/Echo", stream: 3))
        try clients[2].write(Frame(.data, flags: Frame.endStream, stream: 3, [0, 0, 0, 0, 1, 7]))
        #expect(try clients[2].frames(.data).first?.payload == [0, 0, 0, 0, 1, 7])
        for client in clients { client.channel.close(promise: nil) }
        for client in clients { client.loop.run() }
        #expect(memory.used == 0)
    }

    @Test func largeHeadsOfOpenCallsCount() throws {
        let memory = RequestMemory(limit: 100_000)
        let client = try RawClient(methods: Self.methods) { $0.requestMemory = memory }
        try client.open()
        _ = try client.readFrames()
        for index in 0..<10 {
            let value = String(repeating: "a", count: 15_000) + "\(index)"
            try client.write(Frame.call("/t.T/Echo", stream: UInt32(2 * index + 1), [("x-long", value)]))
        }
        let refused = try client.frames(.headers).map(\.stream)
        #expect(!refused.isEmpty && refused.count < 10)
        #expect(memory.used < 150_000)
    }

    @Test func unfinishedBodiesOverHTTP1AreBounded() throws {
        let memory = RequestMemory(limit: 40_000)
        let clients = try (0..<3).map { _ in
            try RawClient(
                { $0.requestMemory = memory },
                http: { $0.respond(HTTPResponse(status: 200, text: "\($0.request.body.count)")) })
        }
        let half = [UInt8](repeating: 1, count: 18_000)
        for client in clients {
            try client.write(Array("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 36000\r\n\r\n".utf8))
            try client.write(half)
        }
        #expect(memory.used <= 40_000 + RequestMemory.dueOfConnection)
        for client in clients { try client.write(half) }
        #expect(String(decoding: try clients[2].readBytes(), as: UTF8.self).hasPrefix("HTTP/1.1 503 "))
        for client in clients { client.channel.close(promise: nil) }
        for client in clients { client.loop.run() }
        #expect(memory.used == 0)
    }

    @Test func headsOverHTTP1ThatNeverEndAreBounded() throws {
        let memory = RequestMemory(limit: 40_000)
        let clients = try (0..<4).map { _ in
            try RawClient(
                { $0.requestMemory = memory }, http: { $0.respond(HTTPResponse(status: 200, text: "")) })
        }
        for client in clients {
            try client.write(Array("GET /a HTTP/1.1\r\nhost: a\r\n".utf8))
            for index in 0..<18 {
                try client.write(Array("x-\(index): \(String(repeating: "a", count: 1_000))\r\n".utf8))
            }
        }
        #expect(clients.filter(\.channel.isActive).count == 2, "two have more than their due when there is no room")
        #expect(memory.used <= 40_000)
    }

    @Test func manyOversizedHeadsEndTheConnection() throws {
        let client = try RawClient(methods: Self.methods) { $0.maximumHeaderList = 4096 }
        try client.open()
        _ = try client.readFrames()
        var sent = 0
        while client.channel.isActive, sent < 100 {
            let long = [("x-long", String(repeating: "a", count: 5000))]
            try client.write(Frame.call("/t.T/Echo", stream: UInt32(2 * sent + 1), long))
            sent += 1
        }
        #expect(sent < 100 && sent > 4)
        #expect(try client.frames(.goAway).first?.code == Self.enhanceYourCalm)
    }

    /// Wrong requests that the server resets cost what resets of the client's own do.
    @Test func makingTheServerResetEndsTheConnection() throws {
        let client = try RawClient(methods: Self.methods) {
            $0.resetBurst = 10
            $0.resetsPerSecond = 1
        }
        try client.open()
        for index in 0..<11 {
            #expect(client.channel.isActive)
            try client.write(Frame.headers([(":method", "POST")], stream: UInt32(2 * index + 1)))
        }
        #expect(try client.frames(.goAway).first?.code == Self.enhanceYourCalm)
        #expect(!client.channel.isActive)
    }

    @Test func largeHeadsAreReadInSmallPieces() throws {
        let client = try RawClient(methods: Self.methods)
        try client.open()
        let connection = try #require(client.connection)
        try client.write(Frame.call("/t.T/Echo", stream: 1))
        #expect(!connection.readsLittle)
        try client.write(Frame.call("/t.T/Echo", stream: 3, [("x-long", String(repeating: "a", count: 2_000))]))
        #expect(connection.readsLittle)
        try client.write(Frame.call("/t.T/Echo", stream: 5))
        #expect(!connection.readsLittle)
    }

    @Test func manyCallsAtATimeAreReadInSmallPieces() throws {
        let client = try RawClient(methods: Self.methods)
        try client.open()
        let connection = try #require(client.connection)
        var stream: UInt32 = 1
        func write(_ calls: Int, resets: Bool = false) throws {
            var bytes: [UInt8] = []
            for _ in 0..<calls {
                bytes += Frame.call("/t.T/Echo", stream: stream).bytes
                if resets { bytes += Frame(.reset, stream: stream, [0, 0, 0, 8]).bytes }
                stream += 2
            }
            try client.write(bytes)
        }
        try write(ReadSize.manyCalls)
        #expect(!connection.readsLittle)
        try write(ReadSize.manyCalls + 1)
        #expect(connection.readsLittle)
        try write(ReadSize.someCalls + 1)
        #expect(connection.readsLittle, "more are waiting")
        try write(ReadSize.someCalls)
        #expect(!connection.readsLittle)
        try write(ReadSize.manyCalls / 2 + 1, resets: true)
        #expect(connection.readsLittle, "a reset is work too")
    }

    @Test func connectionsBeyondTheLimitAreClosed() throws {
        #expect(throws: Status.self) { _ = try RawClient(methods: Self.methods) { $0.maximumConnections = 0 } }
    }
}
