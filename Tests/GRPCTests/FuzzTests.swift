import NIOCore
import NIOEmbedded
import Testing

@testable import GRPC

/// Hostile bytes on the server's side of a connection. Nothing may crash, and what the connection keeps stays within
/// its limits. Every run is made from a seed, so that a failure can be repeated.
@Suite struct FuzzTests {
    private static let queueLimit = 20_000
    private static let requestLimit = 40_000
    private static let messageLimit = 10_000

    private static let methods: [String: Method] = [
        "/t.T/Echo": .unary { call, message in call.respond(message) },
        "/t.T/Never": .unary { call, _ in call.onCancel { _ in } },
        "/t.T/Stream": .stream { Parrot(call: $0) },
    ]

    /// Answers every request with twice its bytes, and ends when the client does.
    private final class Parrot: StreamHandler {
        private let call: StreamCall
        init(call: StreamCall) { self.call = call }
        func received(_ message: [UInt8]) { call.send(parts: [message, message]) }
        func halfClosed() { call.finish() }
        func cancelled(_ reason: CancelReason) {}
        func writable() {}
    }

    private func makeClient() throws -> RawClient {
        let client = try RawClient(
            methods: Self.methods,
            { configuration in
                configuration.maximumMessageSize = Self.messageLimit
                configuration.maximumRequestBytes = Self.requestLimit
                configuration.maximumConcurrentStreams = 50
                configuration.pendingLimit = Self.queueLimit
                configuration.connectionPendingLimit = 10 * Self.queueLimit
                configuration.maximumHTTPBody = Self.messageLimit
                configuration.streamWindow = 20_000
            }, http: { call in call.respond(HTTPResponse(status: 200, body: call.request.body)) })
        return client
    }

    private func expectBounds(_ client: RawClient) {
        guard let session = client.connection?.sessionIfOpen else { return }
        #expect(session.streams.count <= 50)
        #expect(session.pendingBytes <= 10 * Self.queueLimit + 3 * Self.messageLimit)
        for stream in session.streams {
            #expect(
                stream.outbound.pendingBytes <= Self.queueLimit + 2 * Self.messageLimit + MessageReader.prefixLength)
        }
    }

    /// A session that a client might have: calls of every kind, in frames.
    private func plausibleFrames(_ random: inout SplitMix64) -> [Frame] {
        var frames = [Frame(.settings)]
        let paths = ["/t.T/Echo", "/t.T/Never", "/t.T/Stream", "/t.T/Nope", "/other"]
        let extras = [("grpc-timeout", "1S"), ("grpc-encoding", "gzip"), ("x-bin", "AAA"), ("token", "t")]
        for index in 0..<Int.random(in: 1...8, using: &random) {
            let stream = UInt32(2 * index + 1)
            let path = paths.randomElement(using: &random) ?? "/"
            let more = extras.filter { _ in Bool.random(using: &random) }
            frames.append(Frame.call(path, stream: stream, more))
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let count = Int.random(in: 0...2000, using: &random)
                let message = [UInt8](repeating: UInt8(index), count: count)
                let prefix = [UInt8(0), 0, 0, UInt8(count >> 8), UInt8(count & 255)]
                let flags = Bool.random(using: &random) ? 0 : Frame.endStream
                frames.append(Frame(.data, flags: flags, stream: stream, prefix + message))
            }
            switch Int.random(in: 0..<6, using: &random) {
            case 0: frames.append(Frame(.reset, stream: stream, Frame.word(8)))
            case 1: frames.append(Frame(.ping, Array(repeating: 1, count: 8)))
            case 2: frames.append(Frame(.windowUpdate, stream: stream, Frame.word(100_000)))
            case 3: frames.append(Frame(.goAway, Frame.word(stream) + Frame.word(0)))
            case 4: frames.append(Frame(.settings, [0, 4] + Frame.word(UInt32.random(in: 0...70_000, using: &random))))
            default: frames.append(Frame(.windowUpdate, Frame.word(100_000)))
            }
        }
        return frames
    }

    /// Changes the list of frames: drops, repeats, swaps, and spoils heads.
    private func mutate(_ frames: [Frame], _ random: inout SplitMix64) -> [Frame] {
        var frames = frames
        for _ in 0..<Int.random(in: 0...6, using: &random) where !frames.isEmpty {
            let index = Int.random(in: 0..<frames.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: frames.remove(at: index)
            case 1: frames.insert(frames[index], at: Int.random(in: 0...frames.count, using: &random))
            case 2: frames.swapAt(index, Int.random(in: 0..<frames.count, using: &random))
            case 3: frames[index].stream = UInt32.random(in: 0...20, using: &random)
            case 4: frames[index].flags = UInt8.random(in: 0...255, using: &random)
            case 5: frames[index].kind = UInt8.random(in: 0...12, using: &random)
            default:
                if let place = frames[index].payload.indices.randomElement(using: &random) {
                    frames[index].payload[place] = UInt8.random(in: 0...255, using: &random)
                }
            }
        }
        return frames
    }

    @Test(arguments: 0..<400) func mutatedFrames(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let client = try makeClient()
        try client.write(RawClient.preface)
        for frame in mutate(plausibleFrames(&random), &random) {
            try client.write(frame)
            expectBounds(client)
            if Int.random(in: 0..<4, using: &random) == 0 { _ = try client.readFrames() }
        }
        client.loop.advanceTime(by: .seconds(2))
        client.channel.close(promise: nil)
        client.loop.run()
        #expect(client.connection?.sessionIfOpen == nil)
    }

    @Test(arguments: 0..<400) func mutatedBytes(seed: UInt64) throws {
        var random = SplitMix64(seed: seed &+ 1_000_000)
        let client = try makeClient()
        var bytes = RawClient.preface + plausibleFrames(&random).flatMap(\.bytes)
        for _ in 0..<Int.random(in: 1...20, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: place)
            default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            }
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 1...3000, using: &random))
            try? client.write(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
            expectBounds(client)
        }
        client.channel.close(promise: nil)
        client.loop.run()
    }

    /// The client's side meets a server's bytes with the same care.
    @Test(arguments: 0..<200) func mutatedAnswers(seed: UInt64) throws {
        var random = SplitMix64(seed: seed &+ 2_000_000)
        let wire = try Wire(methods: Self.methods, client: { $0.maximumMessageSize = Self.messageLimit })
        let outcomes = Box(0)
        for index in 0..<5 {
            let message = [UInt8](repeating: 1, count: 100 * index)
            wire.client.unary(index == 3 ? "/t.T/Nope" : "/t.T/Echo", message) { _ in outcomes.value += 1 }
        }
        wire.loop.run()
        while let bytes = try wire.clientChannel.readOutbound(as: ByteBuffer.self) {
            try wire.serverChannel.writeInbound(bytes)
        }
        wire.loop.run()
        while var bytes = try wire.serverChannel.readOutbound(as: ByteBuffer.self) {
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                let place = bytes.readerIndex + Int.random(in: 0..<bytes.readableBytes, using: &random)
                bytes.setInteger(UInt8.random(in: 0...255, using: &random), at: place)
            }
            if wire.clientChannel.isActive { _ = try? wire.clientChannel.writeInbound(bytes) }
            wire.loop.run()
        }
        wire.clientChannel.close(promise: nil)
        wire.loop.run()
        #expect(outcomes.value == 5, "every call ends once, however its answer was spoiled")
    }

    @Test(arguments: 0..<300) func gzipOfAnything(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let message = (0..<Int.random(in: 0...5000, using: &random)).map { _ in UInt8.random(in: 0...3, using: &random)
        }
        var bytes = Gzip.compress(message)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        if let unpacked = try? Gzip.decompress(bytes, maximum: 2000) { #expect(unpacked.count <= 2000) }
    }
}
