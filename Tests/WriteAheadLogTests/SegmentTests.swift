import Disk
import RaftMessages
import Testing

@testable import WriteAheadLog

/// Segments: their names, locks, preparation and removal.
@Suite struct SegmentTests {
    private let disk = MemoryDisk()
    private var small: WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.segmentSize = 3000
        return options
    }

    private func fill(_ log: WriteAheadLog, _ indexes: ClosedRange<UInt64>) throws {
        for index in indexes {
            try log.save(
                [Entry(term: 2, index: index, data: [UInt8](repeating: 1, count: 1000))],
                hardState: HardState(term: 2, vote: 1, commit: index))
        }
    }

    private func segments() throws -> [String] {
        try disk.list("wal").filter { $0.hasSuffix(".wal") }
    }

    @Test(
        arguments: [
            ("0000000000000000-0000000000000000.wal", 0, 0),
            ("000000000000000a-00000000000abcde.wal", 10, 0xabcde),
        ] as [(String, UInt64, UInt64)])
    func namesCarrySequenceAndFirstIndex(text: String, sequence: UInt64, index: UInt64) {
        #expect(SegmentName(text) == SegmentName(sequence: sequence, firstIndex: index))
        #expect(SegmentName(sequence: sequence, firstIndex: index).text == text)
    }

    @Test(arguments: [
        "", ".wal", "0.tmp", "0000000000000000-0000000000000000.wal.broken", "0000000000000000.wal",
        "+000000000000000-0000000000000000.wal", "0000000000000000-000000000000000.wal",
        "000000000000000A-0000000000000000.wal", "ffffffffffffffff-0000000000000000.wal",
        "0000000000000000-0000000000000000-0000000000000000.wal",
    ])
    func otherFilesAreNotSegments(text: String) {
        #expect(SegmentName(text) == nil)
    }

    @Test func aSegmentBeginsWithTheChecksumTheMetadataAndTheState() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [7, 8], options: small)
        try fill(log, 1...4)
        #expect(
            try segments() == [
                "0000000000000000-0000000000000000.wal", "0000000000000001-0000000000000004.wal",
            ])
        #expect(log.tailPath == "wal/0000000000000001-0000000000000004.wal")
        // The first segment gave back what it did not use, and the second does not change its size when written to.
        #expect(try disk.open("wal/0000000000000000-0000000000000000.wal", .read).size() > 3000)
        #expect(try disk.open(log.tailPath, .read).size() == 3000)
        let reader = try LogDirectory(disk: disk, path: "wal").reader(
            [SegmentName(sequence: 1, firstIndex: 4)])
        let metadata = try #require(try reader.next())
        #expect(metadata.type == .metadata && [UInt8](metadata.data) == [7, 8])
        // The length, the checksum record, and nothing else stand before it.
        #expect(metadata.offset == 16)
        let state = try #require(try reader.next())
        #expect(state.type == .state)
        #expect(try HardState(decoding: state.data) == HardState(term: 2, vote: 1, commit: 3))
        #expect(try reader.next()?.type == .entry)
    }

    @Test func aPreparedSegmentIsUsedAndAnUnusedOneRemoved() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [], options: small)
        try log.prepareNextSegment()
        try log.prepareNextSegment()
        #expect(try disk.list("wal") == ["0.tmp", "0000000000000000-0000000000000000.wal"])
        let operations = disk.operations
        try fill(log, 1...4)
        #expect(try !disk.list("wal").contains("0.tmp"))
        try log.prepareNextSegment()
        #expect(try disk.list("wal").contains("1.tmp"))
        #expect(disk.operations > operations)
        try log.close()
        #expect(try disk.list("wal").count == 2)
        #expect(try WriteAheadLog.open(disk: disk, directory: "wal").contents.entries.count == 4)
    }

    @Test func aTemporaryFileThatACrashLeftBehindIsEmptiedBeforeUse() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [], options: small)
        try disk.open("wal/0.tmp", .create).write([UInt8](repeating: 0xff, count: 5000), at: 0)
        try fill(log, 1...4)
        try log.close()
        #expect(try WriteAheadLog.open(disk: disk, directory: "wal").contents.entries.count == 4)
    }

    @Test func aSecondOpeningIsRefusedButReadingIsNot() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [])
        try fill(log, 1...2)
        #expect(throws: WALError.locked(file: log.tailPath)) {
            try WriteAheadLog.open(disk: disk, directory: "wal")
        }
        #expect(try WriteAheadLog.read(disk: disk, directory: "wal").entries.count == 2)
        try log.close()
        _ = try WriteAheadLog.open(disk: disk, directory: "wal")
    }

    @Test func onlyReleasedSegmentsArePurgedOldestFirst() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [], options: small)
        try fill(log, 1...30)
        let all = try segments()
        #expect(all.count == 10)
        #expect(try WriteAheadLog.purge(disk: disk, directory: "wal") == [])
        // Index 12 is in the fourth segment (10 to 12), which must stay: the next begins above it.
        let snapshot = WALSnapshot(index: 12, term: 2)
        try log.saveSnapshot(snapshot)
        log.releaseLocks(below: 12)
        #expect(try WriteAheadLog.purge(disk: disk, directory: "wal") == all.prefix(3).map { "wal/\($0)" })
        #expect(try WriteAheadLog.purge(disk: disk, directory: "wal") == [])
        log.releaseLocks(below: 30)
        #expect(try WriteAheadLog.purge(disk: disk, directory: "wal", keeping: 6) == ["wal/\(all[3])"])
        #expect(try segments() == Array(all.suffix(6)))
        try log.close()
        #expect(throws: WALError.noSegment(directory: "wal", index: 0)) {
            try WriteAheadLog.read(disk: disk, directory: "wal")
        }
    }

    @Test func aLogStartsAtASnapshotWhoseEarlierSegmentsAreGone() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [3], options: small)
        try fill(log, 1...30)
        let snapshot = WALSnapshot(index: 20, term: 2)
        try log.saveSnapshot(snapshot)
        log.releaseLocks(below: 20)
        try WriteAheadLog.purge(disk: disk, directory: "wal", keeping: 1)
        try log.close()
        #expect(try WriteAheadLog.validSnapshotEntries(disk: disk, directory: "wal") == [snapshot])
        let (_, contents) = try WriteAheadLog.open(disk: disk, directory: "wal", at: snapshot, options: small)
        #expect(contents.metadata == [3])
        #expect(contents.entries.map(\.index) == Array(21...30))
    }

    @Test func snapshotsAboveTheCommitAreNotValid() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [3])
        try log.save([Entry(term: 1, index: 1), Entry(term: 1, index: 2)], hardState: HardState(term: 1, commit: 1))
        try log.saveSnapshot(WALSnapshot(index: 1, term: 1))
        try log.saveSnapshot(WALSnapshot(index: 2, term: 1))
        let valid = [WALSnapshot(), WALSnapshot(index: 1, term: 1)]
        #expect(try WriteAheadLog.validSnapshotEntries(disk: disk, directory: "wal") == valid)
        try log.save([], hardState: HardState(term: 1, commit: 2))
        #expect(try WriteAheadLog.validSnapshotEntries(disk: disk, directory: "wal").count == 3)
    }

    @Test func aSnapshotAheadOfTheLogNamesTheNextSegment() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [], options: small)
        try fill(log, 1...3)
        try log.saveSnapshot(WALSnapshot(index: 100, term: 2))
        try fill(log, 101...101)
        #expect(log.tailPath == "wal/0000000000000001-0000000000000065.wal")
        try log.close()
        let start = WALSnapshot(index: 100, term: 2)
        #expect(try WriteAheadLog.open(disk: disk, directory: "wal", at: start).contents.entries.map(\.index) == [101])
    }

    /// A follower whose log went another way, and went further, gets a leader's snapshot: what it had behind the snapshot's
    /// index must not come back to life, or it would vote by a log that no leader wrote.
    @Test(
        arguments: [
            // Entries of term 2 that the snapshot replaced.
            (2, [], []),
            // The snapshot is the member's own: the entries behind it are good.
            (3, [], [6, 7, 8] as [UInt64]),
            // As the first, and the leader of the snapshot went on.
            (2, [6] as [UInt64], [6]),
        ] as [(UInt64, [UInt64], [UInt64])])
    func entriesBeforeALeadersSnapshotStayDead(term: UInt64, later: [UInt64], expected: [UInt64]) throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [])
        try log.save((1...8).map { Entry(term: term, index: $0) }, hardState: HardState(term: 3, commit: 2))
        let snapshot = WALSnapshot(index: 5, term: 3)
        try log.saveSnapshot(snapshot)
        try log.save(later.map { Entry(term: 3, index: $0) }, hardState: HardState(term: 3, commit: 5))
        try log.close()
        let (_, contents) = try WriteAheadLog.open(disk: disk, directory: "wal", at: snapshot)
        #expect(contents.entries.map(\.index) == expected)
        #expect(later.isEmpty || contents.entries.map(\.term) == [3])
    }

    @Test func entriesOfAShorterLogBeforeALeadersSnapshotStayDead() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [])
        // Five was replaced by a shorter log before the snapshot came.
        try log.save((1...8).map { Entry(term: 1, index: $0) })
        try log.save([Entry(term: 2, index: 3)], hardState: HardState(term: 2, commit: 2))
        let snapshot = WALSnapshot(index: 5, term: 3)
        try log.saveSnapshot(snapshot)
        try log.save([], hardState: HardState(term: 3, commit: 5))
        try log.close()
        #expect(try WriteAheadLog.open(disk: disk, directory: "wal", at: snapshot).contents.entries == [])
    }

    @Test func aDirectoryThatHoldsSomethingElseIsNotReplaced() throws {
        try disk.createDirectory("wal")
        _ = try disk.open("wal/precious", .create)
        #expect(throws: WALError.self) { try WriteAheadLog.create(disk: disk, directory: "wal", metadata: []) }
        #expect(disk.exists("wal/precious"))
        try disk.remove("wal/precious")
        _ = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [])
    }

    @Test func aLogIsBornWithItsFirstEntries() throws {
        let entries = [Entry(term: 1, index: 1, type: .configurationChange, data: [1])]
        let state = HardState(term: 1, commit: 1)
        let log = try WriteAheadLog.create(
            disk: disk, directory: "wal", metadata: [3], entries: entries, hardState: state)
        #expect(log.lastIndex == 1 && log.hardState == state)
        #expect(
            try WriteAheadLog.read(disk: disk, directory: "wal")
                == LogContents(metadata: [3], hardState: state, entries: entries))
    }

    @Test(
        arguments: [
            (0, HardState(), false), (1, HardState(), true), (0, HardState(term: 2, vote: 1, commit: 9), false),
            (0, HardState(term: 3, vote: 1, commit: 0), true), (0, HardState(term: 2, vote: 2, commit: 0), true),
            (1, HardState(term: 2, vote: 1, commit: 1), true),
        ] as [(Int, HardState, Bool)])
    func onlyEntriesTermAndVoteMustBeSynchronised(entries: Int, state: HardState, expected: Bool) throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [])
        try log.save([], hardState: HardState(term: 2, vote: 1, commit: 0))
        let batch = (0..<entries).map { Entry(term: 2, index: UInt64($0 + 1)) }
        #expect(try log.append(batch, hardState: state) == expected)
    }

    @Test func appendingGoesOnWhileOtherThreadsSynchroniseAndPrepare() async throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [], options: small)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask { for _ in 0..<200 { try log.synchronize() } }
            }
            group.addTask { for _ in 0..<200 { try log.prepareNextSegment() } }
            group.addTask {
                for index: UInt64 in 1...200 {
                    try log.append([Entry(term: 1, index: index, data: [UInt8](repeating: 1, count: 500))])
                    if index % 50 == 0 { log.releaseLocks(below: index) }
                }
            }
            try await group.waitForAll()
        }
        try log.close()
        #expect(try WriteAheadLog.open(disk: disk, directory: "wal").contents.entries.count == 200)
    }
}
