import PeerProtocol
import RaftMessages
import Testing
import WireFormat

private func append(
    term: UInt64 = 3, logTerm: UInt64 = 3, index: UInt64, entries: Int, commit: UInt64 = 1
) -> Message {
    Message(
        type: .append, to: 2, from: 1, term: term, logTerm: logTerm, index: index,
        entries: (0..<entries).map {
            Entry(term: term, index: index + 1 + UInt64($0), data: Array(repeating: UInt8($0), count: 1 + $0 % 300))
        }, commit: commit)
}

@Suite struct StreamTests {
    private func decode(_ bytes: [UInt8], _ kind: StreamKind, pieces: [Int] = []) throws -> [Message] {
        var decoder = StreamDecoder(kind, from: 1, to: 2)
        var messages: [Message] = []
        var position = 0
        for size in pieces where position < bytes.count {
            let end = min(bytes.count, position + size)
            try bytes[position..<end].withUnsafeBytes { try decoder.feed($0, into: &messages) }
            position = end
        }
        try bytes[position...].withUnsafeBytes { try decoder.feed($0, into: &messages) }
        #expect(decoder.isBetweenFrames)
        return messages
    }

    @Test("A message on a stream of messages is its length in eight bytes, then itself")
    func messageFrame() {
        var encoder = StreamEncoder(.messages)
        let message = Message(type: .heartbeat, to: 2, from: 1, term: 7, commit: 5)
        let body = message.encoded()
        #expect(encoder.encoded(message) == [0, 0, 0, 0, 0, 0, 0, UInt8(body.count)] + body)
    }

    @Test("An append that goes on where the last one ended is its entries and its commit index")
    func appendFrames() {
        var encoder = StreamEncoder(.appends)
        #expect(encoder.encoded(.linkHeartbeat) == [0])
        // The first one is whole, since the receiver knows nothing yet.
        let first = append(index: 10, entries: 1)
        let body = first.encoded()
        #expect(encoder.encoded(first) == [2, 0, 0, 0, 0, 0, 0, 0, UInt8(body.count)] + body)
        let next = Message(
            type: .append, to: 2, from: 1, term: 3, logTerm: 3, index: 11,
            entries: [Entry(term: 3, index: 12, data: [0xaa])], commit: 0x0102)
        let entry: [UInt8] = [0x08, 0, 0x10, 3, 0x18, 12, 0x22, 1, 0xaa]
        #expect(
            encoder.encoded(next)
                == [1, 0, 0, 0, 0, 0, 0, 0, 1] + [0, 0, 0, 0, 0, 0, 0, 9] + entry + [0, 0, 0, 0, 0, 0, 1, 2])
        // One without entries only moves the commit index.
        #expect(
            encoder.encoded(append(index: 12, entries: 0, commit: 12))
                == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12])
    }

    @Test("An append goes out whole when it begins elsewhere, or at an entry of an earlier term")
    func wholeAppends() {
        var encoder = StreamEncoder(.appends)
        for (message, isWhole) in [
            (append(index: 10, entries: 2), true), (append(index: 12, entries: 2), false),
            (append(index: 13, entries: 2), true), (append(index: 15, entries: 1), false),
            // A new leader's first append follows an entry of the term before.
            (append(term: 4, logTerm: 3, index: 16, entries: 1), true),
            (append(term: 4, logTerm: 4, index: 17, entries: 1), false),
        ] {
            #expect(encoder.encoded(message).first == (isWhole ? 2 : 1), "append at \(message.index)")
        }
    }

    @Test("What one end writes the other reads, however the bytes are cut", arguments: StreamKind.allCases)
    func roundTrip(_ kind: StreamKind) throws {
        var random = SplitMix64(kind == .appends ? 1 : 2)
        for _ in 0..<200 {
            var encoder = StreamEncoder(kind)
            var sent: [Message] = []
            var bytes: [UInt8] = []
            var index = UInt64.random(in: 0...50, using: &random)
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                switch Int.random(in: 0...9, using: &random) {
                case 0: bytes += encoder.encoded(.linkHeartbeat)
                case 1 where kind == .messages:
                    let message = Message(type: .voteResponse, to: 2, from: 1, term: 9, reject: true, context: [1, 2])
                    sent.append(message)
                    bytes += encoder.encoded(message)
                case 1: index = UInt64.random(in: 0...50, using: &random)
                default:
                    let term = UInt64.random(in: 3...4, using: &random)
                    let count = Int.random(in: 0...5, using: &random)
                    let message = append(
                        term: term, logTerm: .random(in: 3...term, using: &random), index: index, entries: count,
                        commit: .random(in: 0...index, using: &random))
                    index += UInt64(count)
                    sent.append(message)
                    bytes += encoder.encoded(message)
                }
            }
            var pieces: [Int] = []
            let most = Int.random(in: 1...200, using: &random)
            for _ in 0..<50 { pieces.append(Int.random(in: 0...most, using: &random)) }
            #expect(try decode(bytes, kind, pieces: pieces) == sent)
            #expect(try decode(bytes, kind) == sent)
            #expect(try decode(bytes, kind, pieces: Array(repeating: 1, count: bytes.count)) == sent)
        }
    }

    @Test("Damage is named")
    func damage() {
        func error(_ kind: StreamKind, _ bytes: [UInt8]) -> PeerProtocolError? {
            do {
                _ = try decode(bytes, kind)
                return nil
            } catch { return error as? PeerProtocolError }
        }
        func number(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) } }
        var encoder = StreamEncoder(.appends)
        let start = encoder.encoded(append(index: 10, entries: 1))
        #expect(error(.appends, [3]) == .unknownFrame(3))
        #expect(error(.appends, [1] + number(1)) == .entriesWithoutMessage)
        #expect(error(.appends, start + [1] + number(1 << 20 + 1)) == .tooManyEntries(1 << 20 + 1))
        #expect(error(.appends, start + [1] + number(1) + number(512 << 20 + 1)) == .tooLong(512 << 20 + 1))
        #expect(
            error(.appends, start + [1] + number(1) + number(6) + [8, 0, 16, 3, 24, 99])
                == .entryOutOfOrder(expected: 12, found: 99))
        #expect(
            error(.appends, start + [1] + number(1) + number(2) + [8, 9])
                == .entry(WireError(.badValue(field: 1), offset: 2)))
        #expect(error(.appends, [2] + number(.max)) == .tooLong(.max))
        #expect(error(.messages, number(512 << 20 + 1)) == .tooLong(512 << 20 + 1))
        #expect(error(.messages, number(1) + [8]) == .message(WireError(.truncated, offset: 1)))
    }

    @Test("The memory for a message follows what has arrived of it")
    func longPromise() throws {
        var decoder = StreamDecoder(.messages, from: 1, to: 2)
        var messages: [Message] = []
        // Announces half a gigabyte and sends a kilobyte.
        let bytes: [UInt8] = [0, 0, 0, 0, 0x20, 0, 0, 0] + Array(repeating: 0, count: 1024)
        try bytes.withUnsafeBytes { try decoder.feed($0, into: &messages) }
        #expect(messages.isEmpty)
        #expect(!decoder.isBetweenFrames)
    }

    @Test("Any bytes at all are decoded or refused", arguments: StreamKind.allCases)
    func fuzz(_ kind: StreamKind) {
        var random = SplitMix64(kind == .appends ? 77 : 78)
        var refused = 0
        for round in 0..<4000 {
            var encoder = StreamEncoder(kind)
            var bytes: [UInt8] = []
            for index in 0..<UInt64(4) { bytes += encoder.encoded(append(index: 10 + index, entries: 1)) }
            if round % 4 == 0 {
                bytes = (0..<64).map { _ in .random(in: 0...255, using: &random) }
            } else {
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
                }
            }
            var decoder = StreamDecoder(kind, from: 1, to: 2)
            var messages: [Message] = []
            do {
                var rest = bytes[...]
                while !rest.isEmpty {
                    let piece = rest.prefix(Int.random(in: 1...40, using: &random))
                    try piece.withUnsafeBytes { try decoder.feed($0, into: &messages) }
                    rest = rest.dropFirst(piece.count)
                }
            } catch {
                refused += 1
            }
            #expect(messages.count <= bytes.count)
        }
        #expect(refused > 1000)
    }
}
