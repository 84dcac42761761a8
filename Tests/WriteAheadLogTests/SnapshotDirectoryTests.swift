import Disk
import RaftMessages
import Testing
import WriteAheadLog

@Suite struct SnapshotDirectoryTests {
    private let disk = MemoryDisk()
    private let directory: SnapshotDirectory

    init() throws {
        try disk.createDirectory("snap")
        try disk.synchronizeDirectory("/")
        directory = SnapshotDirectory(disk: disk, path: "snap")
    }

    private func snapshot(_ index: UInt64, term: UInt64 = 1) -> Snapshot {
        Snapshot(
            data: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 100),
            metadata: SnapshotMetadata(confState: ConfState(voters: [1]), index: index, term: term))
    }

    @Test func theNewestIsLoaded() throws {
        #expect(try directory.loadNewest() == SnapshotDirectory.Found())
        for index: UInt64 in [5, 300, 20] { try directory.save(snapshot(index)) }
        try directory.save(snapshot(30, term: 2))
        #expect(try directory.loadNewest().snapshot == snapshot(30, term: 2))
        #expect(
            try disk.list("snap") == [
                "0000000000000001-0000000000000005.snap", "0000000000000001-0000000000000014.snap",
                "0000000000000001-000000000000012c.snap", "0000000000000002-000000000000001e.snap",
            ])
    }

    @Test func anEmptySnapshotIsNotWritten() throws {
        try directory.save(Snapshot())
        #expect(try disk.list("snap") == [])
    }

    @Test func onlySnapshotsThatTheLogKnowsAreLoaded() throws {
        for index: UInt64 in 1...4 { try directory.save(snapshot(index)) }
        let records = [WALSnapshot(), WALSnapshot(index: 2, term: 1), WALSnapshot(index: 4, term: 9)]
        #expect(try directory.loadNewest(among: records) == SnapshotDirectory.Found(snapshot: snapshot(2)))
        #expect(try directory.loadNewest(among: [WALSnapshot()]).snapshot == nil)
        #expect(try disk.list("snap").count == 4)
    }

    @Test func aDamagedOneIsSetAsideForTheNextNewest() throws {
        for index: UInt64 in 1...4 { try directory.save(snapshot(index)) }
        let fourth = "snap/0000000000000001-0000000000000004.snap"
        let third = "snap/0000000000000001-0000000000000003.snap"
        try disk.open(fourth, .write).write([0xff], at: 50)
        try disk.open(third, .write).truncate(to: 0)
        let found = try directory.loadNewest()
        #expect(found.snapshot == snapshot(2))
        #expect(found.damaged.count == 2)
        guard case .checksum(fourth, _, _) = found.damaged[0] else {
            Issue.record("the reason is not the checksum: \(found.damaged[0])")
            return
        }
        #expect(found.damaged[1] == .empty(file: third))
        #expect(disk.exists("\(fourth).broken") && disk.exists("\(third).broken"))
        #expect(try directory.loadNewest() == SnapshotDirectory.Found(snapshot: snapshot(2)))
    }

    @Test func aDiskThatFailsDoesNotCondemnAFile() throws {
        try directory.save(snapshot(1))
        disk.faults.failing = (4, 5)
        #expect(throws: SnapshotError.self) { try directory.loadNewest() }
        #expect(try directory.loadNewest().snapshot == snapshot(1))
    }

    @Test func theOldestArePurged() throws {
        for index: UInt64 in 1...8 { try directory.save(snapshot(index)) }
        for index: UInt64 in 1...3 { _ = try disk.open(directory.databasePath(index: index), .create) }
        _ = try disk.open("snap/db", .create)
        #expect(directory.databasePath(index: 10) == "snap/000000000000000a.snap.db")
        #expect(try directory.purge() == (1...3).map { "snap/0000000000000001-000000000000000\($0).snap" })
        #expect(try directory.purge() == [])
        #expect(try directory.removeDatabases(below: 3) == (1...2).map { "snap/000000000000000\($0).snap.db" })
        #expect(try directory.purge(keeping: 0).count == 6)
        #expect(try disk.list("snap") == ["db"])
    }

    @Test func whatAnEarlierRunHadNotFinishedIsRemoved() throws {
        try directory.save(snapshot(1))
        let unfinished = ["0000000000000001-0000000000000005.snap.tmp", "db.tmp", "db.tmp123", "tmp456"]
        for name in unfinished + ["db", "0000000000000005.snap.db"] { _ = try disk.open("snap/\(name)", .create) }
        #expect(try directory.removeUnfinished() == unfinished.map { "snap/\($0)" })
        #expect(try disk.list("snap").count == 3)
    }

    @Test func aSavedSnapshotSurvivesAnyPowerLossAndAHalfSavedOneIsNotSeen() throws {
        for seed: UInt64 in 0..<20 {
            for operation in 1...8 {
                var random = SplitMix64(seed: seed)
                let disk = MemoryDisk()
                try disk.createDirectory("snap")
                try disk.synchronizeDirectory("/")
                let directory = SnapshotDirectory(disk: disk, path: "snap")
                try directory.save(snapshot(1))
                disk.faults.powerLoss = operation
                let isSaved = (try? directory.save(snapshot(2))) != nil
                disk.crash(random: &random)
                let found = try directory.loadNewest()
                #expect(found.damaged.isEmpty)
                #expect(found.snapshot == snapshot(2) || (!isSaved && found.snapshot == snapshot(1)))
            }
        }
    }
}
