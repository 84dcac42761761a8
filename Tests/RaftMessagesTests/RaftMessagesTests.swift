import RaftMessages
import Testing
import WireFormat

@Suite struct RaftMessagesTests {
    /// Go's etcd writes the fields that are set to zero too, and the leader's empty entry without data.
    @Test func entryBytesAreThoseOfEtcd() {
        #expect(Entry(term: 2, index: 3).encoded() == [0x08, 0x00, 0x10, 0x02, 0x18, 0x03])
        #expect(
            Entry(term: 2, index: 300, type: .configurationChange, data: [9]).encoded()
                == [0x08, 0x01, 0x10, 0x02, 0x18, 0xac, 0x02, 0x22, 0x01, 0x09])
        #expect(HardState(term: 1, vote: 2, commit: 3).encoded() == [0x08, 1, 0x10, 2, 0x18, 3])
    }

    private static let message = Message(
        type: .append, to: 1, from: 2, term: 3, logTerm: 4, index: 5,
        entries: [Entry(term: 3, index: 6, data: [1, 2, 3]), Entry(term: 3, index: 7)], commit: 5, vote: 2,
        snapshot: Snapshot(
            data: [1],
            metadata: SnapshotMetadata(
                confState: ConfState(
                    voters: [1, 2], learners: [3], votersOutgoing: [1], learnersNext: [2], autoLeave: true),
                index: 4, term: 2)),
        reject: true, rejectHint: 9, context: [5, 6], responses: [Message(type: .storageAppendResponse, to: 1)])

    @Test func messagesComeBackAsTheyWere() throws {
        let bytes = Self.message.encoded()
        #expect(bytes.count == Self.message.encodedSize)
        #expect(try Message(decoding: bytes) == Self.message)
        let change = ConfigurationChange(id: 1, type: .addLearnerNode, nodeID: 7, context: [1])
        #expect(try ConfigurationChange(decoding: change.encoded()) == change)
        let changes = ConfigurationChangeV2(
            transition: .jointExplicit, changes: [.init(type: .removeNode, nodeID: 4)], context: [2])
        #expect(try ConfigurationChangeV2(decoding: changes.encoded()) == changes)
        #expect(changes.encoded().count == changes.encodedSize)
    }

    @Test func everyCutAndEveryFlippedByteIsAnErrorOrAMessage() {
        let bytes = Self.message.encoded()
        for cut in 0..<bytes.count { _ = try? Message(decoding: Array(bytes[..<cut])) }
        var refused = 0
        for position in bytes.indices {
            for flip in [0x01, 0x80, 0xff] as [UInt8] {
                var damaged = bytes
                damaged[position] ^= flip
                do { _ = try Message(decoding: damaged) } catch { refused += 1 }
            }
        }
        #expect(refused > 0)
    }

    @Test func nestedResponsesAreRefused() {
        var message = Message(type: .hup)
        for _ in 0..<3 { message = Message(type: .hup, responses: [message]) }
        #expect(throws: WireError.self) { try Message(decoding: message.encoded()) }
    }
}
