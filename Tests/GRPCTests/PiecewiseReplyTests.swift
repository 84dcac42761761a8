import NIOCore
import Testing

@testable import GRPC

/// Unary replies that are sent in pieces, and the account of the memory that replies take.
@Suite struct PiecewiseReplyTests {
    /// Gives the pieces of a reply while there is room.
    private final class Source: StreamHandler, @unchecked Sendable {
        let call: UnaryCall
        var pieces: ArraySlice<[UInt8]>
        var cancelled: CancelReason?
        var mostQueued = 0

        init(_ call: UnaryCall, _ pieces: [[UInt8]]) {
            self.call = call
            self.pieces = pieces[...]
        }

        func begin(length: Int? = nil) {
            call.beginReply(length: length ?? pieces.reduce(0) { $0 + $1.count }, source: self)
            writable()
        }

        func writable() {
            while call.isWritable, let piece = pieces.popFirst() {
                call.continueReply(piece)
                if case .stream(let stream) = call.carrier {
                    mostQueued = max(mostQueued, stream.outbound.pendingBytes)
                }
            }
        }

        func received(_ message: [UInt8]) {}
        func halfClosed() {}
        func cancelled(_ reason: CancelReason) { cancelled = reason }
    }

    private let sources = Box<[Source]>([])

    private func makeWire(
        _ pieces: [[UInt8]], length: Int? = nil, memory: ResponseMemory = ResponseMemory(limit: .max)
    ) throws -> Wire {
        let sources = self.sources
        return try Wire(
            methods: [
                "/t.T/Large": .unary { call, _ in
                    let source = Source(call, pieces)
                    sources.value.append(source)
                    source.begin(length: length)
                },
                "/t.T/Small": .unary { call, message in call.respond(message) },
                "/t.T/Whole": .unary { call, _ in call.respond(Array(pieces.joined())) },
            ],
            server: {
                $0.responseMemory = memory
                $0.overloadRefusal = Status(.resourceExhausted, "full")
                $0.highWaterMark = 60_000
                $0.lowWaterMark = 20_000
            })
    }

    private let large = (0..<100).map { [UInt8](repeating: UInt8($0), count: 10_000) }

    @Test func theClientSeesOneReply() throws {
        let wire = try makeWire(large)
        let reply = Box<Result<[UInt8], Status>?>(nil)
        wire.client.unary("/t.T/Large", [1]) { result in reply.value = result.map(\.message) }
        try wire.run()
        #expect(try reply.value?.get() == Array(large.joined()))
        let source = try #require(sources.value.first)
        #expect(source.mostQueued < 80_000, "no more is made than the client takes")
        #expect(source.cancelled == nil)
        #expect(wire.serverConnection?.sessionIfOpen?.streams.isEmpty == true)
    }

    @Test func anEmptyOneAndASinglePieceToo() throws {
        for pieces in [[[UInt8]()], [[1, 2, 3]]] {
            let wire = try makeWire(pieces)
            let reply = Box<Result<[UInt8], Status>?>(nil)
            wire.client.unary("/t.T/Large", [1]) { result in reply.value = result.map(\.message) }
            try wire.run()
            #expect(try reply.value?.get() == pieces[0])
        }
    }

    @Test func anErrorInTheMidstIsTheOutcome() throws {
        let wire = try makeWire([[1, 2]], length: 1000)
        let reply = Box<Result<[UInt8], Status>?>(nil)
        wire.client.unary("/t.T/Large", [1]) { result in reply.value = result.map(\.message) }
        try wire.run()
        #expect(reply.value == nil)
        sources.value.first?.call.respond([9])
        sources.value.first?.call.fail(Status(.dataLoss, "damaged"))
        try wire.run()
        #expect(throws: Status(.dataLoss, "damaged")) { try reply.value?.get() }
    }

    @Test func aReplyThatNoPrefixCanAnnounceIsRefused() throws {
        let wire = try makeWire([[1]], length: 3 << 30)
        let reply = Box<Result<[UInt8], Status>?>(nil)
        wire.client.unary("/t.T/Large", [1]) { result in reply.value = result.map(\.message) }
        try wire.run()
        let text = "grpc: trying to send message larger than max (3221225472 vs. 2147483647)"
        #expect(throws: Status(.resourceExhausted, text)) { try reply.value?.get() }
        // Who makes the reply need not go on.
        #expect(sources.value.first?.cancelled == .refused(Status(.resourceExhausted, text)))
    }

    /// What is made waits for the client, and is gone with the call.
    @Test func aClientThatIsGoneEndsIt() throws {
        let memory = ResponseMemory(limit: .max)
        let wire = try makeWire(large, memory: memory)
        let call = wire.client.unary("/t.T/Large", [1]) { _ in }
        wire.serverChannel.isWritable = false
        try wire.run()
        let source = try #require(sources.value.first)
        #expect(source.pieces.count > 90)
        #expect(memory.used > 50_000 && memory.used < 80_000)
        wire.loop.run()
        call.cancel()
        try wire.run()
        wire.serverChannel.isWritable = true
        wire.serverChannel.pipeline.fireChannelWritabilityChanged()
        try wire.run()
        #expect(source.cancelled == .reset(code: 8))
        #expect(memory.used == 0)
        #expect(source.pieces.count > 90)
    }

    /// Who has used the memory up gets nothing more; others notice nothing.
    @Test func whoDoesNotReadIsRefusedWhileTheMemoryIsUsedUp() throws {
        let memory = ResponseMemory(limit: 1_500_000)
        let slow = try makeWire(large, memory: memory)
        let reading = try makeWire(large, memory: memory)
        slow.serverChannel.isWritable = false
        for _ in 0..<2 { slow.client.unary("/t.T/Whole", [1]) { _ in } }
        try slow.run()
        #expect(memory.used >= 2_000_000)
        #expect(memory.isUsedUp)
        let refused = Box<Result<[UInt8], Status>?>(nil)
        slow.client.unary("/t.T/Whole", [1]) { result in refused.value = result.map(\.message) }
        let served = Box<Result<[UInt8], Status>?>(nil)
        reading.client.unary("/t.T/Small", [7]) { result in served.value = result.map(\.message) }
        try slow.run()
        try reading.run()
        #expect(try served.value?.get() == [7])
        #expect(memory.used < 2_100_000)
        slow.serverChannel.isWritable = true
        slow.serverChannel.pipeline.fireChannelWritabilityChanged()
        try slow.run()
        #expect(throws: Status(.resourceExhausted, "full")) { try refused.value?.get() }
        #expect(memory.used == 0)
    }

    /// Calls that came while there was memory are answered when there is none, all in one turn.
    @Test func repliesThatCameTogetherAreBoundedToo() throws {
        let memory = ResponseMemory(limit: 1_500_000)
        let waiting = Box<[UnaryCall]>([])
        let wire = try Wire(
            methods: ["/t.T/Later": .unary { call, _ in waiting.value.append(call) }],
            server: { $0.responseMemory = memory })
        wire.serverChannel.isWritable = false
        let ended = Box<[Result<[UInt8], Status>]>([])
        for _ in 0..<10 {
            wire.client.unary("/t.T/Later", [1]) { result in ended.value.append(result.map(\.message)) }
        }
        try wire.run()
        for call in waiting.value { call.respond([UInt8](repeating: 1, count: 1_000_000)) }
        #expect(waiting.value.count == 10)
        #expect(memory.used < 3_100_000)
        wire.serverChannel.isWritable = true
        wire.serverChannel.pipeline.fireChannelWritabilityChanged()
        try wire.run()
        let good = ended.value.filter { (try? $0.get()) != nil }
        #expect(good.count == 2 && ended.value.count == 10)
        #expect(memory.used == 0)
    }

    /// A connection that is being closed for what it left unread gets nothing more into its queue.
    @Test func nothingIsQueuedForAConnectionThatIsClosed() throws {
        let memory = ResponseMemory(limit: .max)
        let waiting = Box<[UnaryCall]>([])
        let wire = try Wire(
            methods: ["/t.T/Later": .unary { call, _ in waiting.value.append(call) }],
            server: {
                $0.responseMemory = memory
                $0.connectionPendingLimit = 2_500_000
            })
        wire.serverChannel.isWritable = false
        for _ in 0..<10 { wire.client.unary("/t.T/Later", [1]) { _ in } }
        try wire.run()
        for call in waiting.value { call.respond([UInt8](repeating: 1, count: 1_000_000)) }
        #expect(memory.used > 2_500_000 && memory.used < 3_100_000)
        try wire.run()
        #expect(memory.used == 0)
    }

    @Test func aReservationStaysWithinTheLimit() {
        let memory = ResponseMemory(limit: 1000)
        #expect(memory.reserve(600))
        #expect(!memory.reserve(401))
        #expect(memory.used == 600)
        #expect(memory.reserve(400))
        #expect(memory.isUsedUp)
        memory.release(1000)
        #expect(memory.used == 0)
    }

    @Test func aConnectionThatEndsLeavesNothingOnTheAccount() throws {
        let memory = ResponseMemory(limit: .max)
        let wire = try makeWire(large, memory: memory)
        wire.serverChannel.isWritable = false
        wire.client.unary("/t.T/Whole", [1]) { _ in }
        wire.client.unary("/t.T/Large", [1]) { _ in }
        try wire.run()
        #expect(memory.used > 1_000_000)
        wire.serverChannel.pipeline.fireChannelInactive()
        try wire.run()
        #expect(memory.used == 0)
        #expect(sources.value.first?.cancelled == .connectionClosed)
    }
}
