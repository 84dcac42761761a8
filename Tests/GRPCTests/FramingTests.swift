import NIOCore
import Testing

@testable import GRPC

@Suite struct FramingTests {
    private static func frame(_ message: [UInt8], flag: UInt8 = 0) -> [UInt8] {
        [flag, 0, 0, UInt8(message.count >> 8), UInt8(message.count & 0xFF)] + message
    }

    /// However the bytes are cut, the messages are the same.
    @Test func messagesDoNotDependOnHowBytesArrive() throws {
        let messages: [[UInt8]] = [[1, 2, 3], [], Array(repeating: 9, count: 1000), [4]]
        let bytes = messages.flatMap { Self.frame($0) }
        for size in [1, 2, 3, 5, 6, 7, 64, bytes.count] {
            var reader = MessageReader()
            var found: [[UInt8]] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                try bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { chunk in
                    var rest = chunk
                    while let message = try reader.next(&rest, maximum: 1000) { found.append(message.bytes) }
                    #expect(rest.isEmpty)
                }
            }
            #expect(found == messages)
            #expect(reader.isBetweenMessages)
        }
    }

    /// The length is checked when the prefix is there, before any of the message is.
    @Test func tooLongIsKnownFromThePrefix() {
        var reader = MessageReader()
        let prefix: [UInt8] = [0, 0, 0, 3, 233]
        #expect(throws: MessageReader.Failure.tooLarge(length: 1001, maximum: 1000)) {
            try prefix.withUnsafeBytes { chunk in
                var rest = chunk
                return try reader.next(&rest, maximum: 1000)?.bytes
            }
        }
    }

    @Test func flagsOtherThanZeroAndOneAreRefused() {
        var reader = MessageReader()
        #expect(throws: MessageReader.Failure.unknownFlag(2)) {
            try Self.frame([1], flag: 2).withUnsafeBytes { chunk in
                var rest = chunk
                return try reader.next(&rest, maximum: 10)?.bytes
            }
        }
    }

    /// A queue gives the same bytes as a plain array would, in whatever portions they are taken.
    @Test(arguments: 0..<50) func queueMatchesModel(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var queue = OutboundQueue()
        var model: [UInt8] = []
        for _ in 0..<200 {
            let message = (0..<Int.random(in: 0...20, using: &random)).map { UInt8($0) }
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                queue.append(message: message)
                model += Self.frame(message)
            case 1:
                queue.append(parts: [message, [], message])
                model += Self.frame(message + message)
            case 2:
                queue.append(raw: message)
                model += message
            default:
                let count = Int.random(in: 0...model.count, using: &random)
                let taken = [UInt8](unsafeUninitializedCapacity: max(count, 1)) { buffer, written in
                    if let base = buffer.baseAddress { queue.take(count, into: UnsafeMutableRawPointer(base)) }
                    written = count
                }
                #expect(taken == Array(model.prefix(count)))
                model.removeFirst(count)
            }
            #expect(queue.pendingBytes == model.count)
        }
    }
}

@Suite struct PolicyTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// grpc-go's rule: the third ping too many ends the connection.
    @Test func thirdStrikeEndsTheConnection() {
        var policy = PingPolicy(minimumInterval: .seconds(5), permitsWithoutStream: false)
        #expect(accept(&policy, start, true))
        #expect(accept(&policy, start + .seconds(1), true))
        #expect(accept(&policy, start + .seconds(2), true))
        #expect(!accept(&policy, start + .seconds(3), true))
    }

    @Test func pingsAtTheAllowedRateAreNoStrikes() {
        var policy = PingPolicy(minimumInterval: .seconds(5), permitsWithoutStream: false)
        for index in 0..<100 { #expect(accept(&policy, start + .seconds(Int64(index) * 5), true)) }
    }

    @Test func withoutStreamsTheAllowedRateIsTwoHours() {
        var policy = PingPolicy(minimumInterval: .seconds(5), permitsWithoutStream: false)
        for index in 0..<3 { #expect(accept(&policy, start + .seconds(Int64(index) * 10), false)) }
        #expect(!accept(&policy, start + .seconds(30), false))
        var permitting = PingPolicy(minimumInterval: .seconds(5), permitsWithoutStream: true)
        for index in 0..<10 { #expect(accept(&permitting, start + .seconds(Int64(index) * 10), false)) }
    }

    @Test func trafficTakesStrikesBack() {
        var policy = PingPolicy(minimumInterval: .seconds(5), permitsWithoutStream: false)
        for index in 0..<20 {
            #expect(accept(&policy, start + .seconds(Int64(index)), true))
            policy.sentHeadersOrData()
        }
    }

    @Test func bucketGivesABurstAndThenARate() {
        var bucket = TokenBucket(capacity: 3, perSecond: 2)
        #expect(taken(&bucket, start) == 3)
        #expect(taken(&bucket, start + .milliseconds(999)) == 0)
        #expect(taken(&bucket, start + .seconds(1)) == 2)
        #expect(taken(&bucket, start + .hours(1)) == 3)
    }

    private func accept(_ policy: inout PingPolicy, _ now: NIODeadline, _ hasStreams: Bool) -> Bool {
        policy.accept(at: now, hasStreams: hasStreams)
    }

    private func taken(_ bucket: inout TokenBucket, _ now: NIODeadline) -> Int {
        var count = 0
        for _ in 0..<5 where bucket.take(at: now) { count += 1 }
        return count
    }
}
