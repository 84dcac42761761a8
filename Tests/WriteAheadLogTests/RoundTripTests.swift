import Disk
import RaftMessages
import Testing
import WriteAheadLog

@Suite struct RoundTripTests {
    private let disk = MemoryDisk()
    private var small: WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.segmentSize = 4096
        return options
    }

    private func entry(_ index: UInt64, term: UInt64 = 1, size: Int = 100) -> Entry {
        Entry(term: term, index: index, data: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: size))
    }

    @Test func aNewLogHoldsItsMetadataAlone() throws {
        #expect(!WriteAheadLog.exists(disk: disk, directory: "wal"))
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [1, 2, 3])
        #expect(WriteAheadLog.exists(disk: disk, directory: "wal"))
        try log.close()
        #expect(try disk.list("/") == ["wal"])
        #expect(try disk.open("wal/0000000000000000-0000000000000000.wal", .read).size() == 64_000_000)
        let (_, contents) = try WriteAheadLog.open(disk: disk, directory: "wal")
        #expect(contents == LogContents(metadata: [1, 2, 3]))
        #expect(throws: WALError.alreadyExists(directory: "wal")) {
            try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [])
        }
    }

    @Test func whatIsSavedIsReadBackAcrossSegments() throws {
        var log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [9], options: small)
        var expected: [Entry] = []
        for round: UInt64 in 0..<50 {
            let batch = (1...5).map { entry(round * 5 + $0, size: Int(round * 7)) }
            let state = HardState(term: 1, vote: 2, commit: round * 5)
            try log.save(batch, hardState: state)
            expected += batch
            if round % 10 == 9 {
                try log.close()
                let opened = try WriteAheadLog.open(disk: disk, directory: "wal", options: small)
                #expect(opened.contents == LogContents(metadata: [9], hardState: state, entries: expected))
                log = opened.log
            }
            if round % 7 == 0 { try log.prepareNextSegment() }
        }
        #expect(try disk.list("wal").count > 5)
    }
}
