import Disk
import RaftMessages
import Testing

@testable import WriteAheadLog

/// What a log says of each kind of damage, and what it makes of a torn tail.
@Suite struct DamageTests {
    private let disk = MemoryDisk()
    private let first = "wal/0000000000000000-0000000000000000.wal"
    private var small: WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.segmentSize = 3000
        return options
    }

    private var large: WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.segmentSize = 20000
        return options
    }

    private func entry(_ index: UInt64, size: Int = 1000) -> Entry {
        Entry(term: 1, index: index, data: [UInt8](repeating: UInt8(index), count: size))
    }

    /// A log of `count` entries of 1000 bytes, and the byte at which each begins, in a log of one segment.
    @discardableResult
    private func makeLog(entries count: UInt64, options: WriteAheadLog.Options? = nil) throws -> [Int] {
        let log = try WriteAheadLog.create(
            disk: disk, directory: "wal", metadata: [1], options: options ?? large)
        var offsets: [Int] = []
        for index in 1...count {
            if options == nil { offsets.append(try endOfLog().offset) }
            try log.save([entry(index)])
        }
        try log.close()
        return offsets
    }

    /// Where the records of the first segment end, and the checksum there.
    private func endOfLog() throws -> (offset: Int, crc: UInt32) {
        let reader = try LogDirectory(disk: disk, path: "wal").reader([SegmentName(sequence: 0, firstIndex: 0)])
        while try reader.next() != nil {}
        return (reader.offset, reader.crc)
    }

    private func overwrite(_ path: String, at offset: Int, _ bytes: [UInt8]) throws {
        try disk.open(path, .write).write(bytes, at: offset)
    }

    private func open(at start: WALSnapshot = WALSnapshot()) throws -> LogContents {
        let opened = try WriteAheadLog.open(disk: disk, directory: "wal", at: start, options: large)
        defer { try? opened.log.close() }
        return opened.contents
    }

    private func error(_ body: () throws -> Void) -> WALError? {
        do { try body() } catch { return error as? WALError }
        return nil
    }

    // MARK: Torn tails

    @Test func aSectorNeverWrittenInTheLastRecordIsTornAndRepairedOnce() throws {
        let offsets = try makeLog(entries: 4)
        // The sector that begins within the last record.
        let sector = (offsets[3] / 512 + 1) * 512
        try overwrite(first, at: sector, [UInt8](repeating: 0, count: 512))
        let before = try disk.open(first, .read).read(at: 0, count: 6000)
        let torn = WALError.torn(file: first, offset: offsets[3], .unwrittenSector)
        #expect(error { _ = try open() } == torn)

        let reading = try WriteAheadLog.read(disk: disk, directory: "wal")
        #expect(reading.entries == (1...3).map { entry($0) })
        #expect(reading.tornTail == torn)

        let (log, contents, repair) = try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: large)
        #expect(contents.entries == (1...3).map { entry($0) })
        #expect(repair == Repair(file: first, offset: offsets[3], copy: "\(first).broken"))
        #expect(try disk.open("\(first).broken", .read).read(at: 0, count: 6000) == before)
        try log.save([entry(4)])
        try log.close()
        #expect(try open().entries == (1...4).map { entry($0) })
        #expect(try WriteAheadLog.repair(disk: disk, directory: "wal") == nil)
    }

    @Test func aFileThatEndsWithinItsLastRecordIsTorn() throws {
        let offsets = try makeLog(entries: 2)
        for (end, length) in [(offsets[1] + 4, 4), (offsets[1] + 8, 1020), (offsets[1] + 500, 1020)] {
            try disk.open(first, .write).truncate(to: end)
            guard case .torn(first, offsets[1], .endOfFile(let found)) = error({ _ = try open() }) else {
                Issue.record("not torn when cut at byte \(end)")
                continue
            }
            // The checksum takes five bytes, or now and then four.
            #expect(found == length || found == length - 1)
            let (log, contents, _) = try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: large)
            #expect(contents.entries == [entry(1)])
            try log.save([entry(2)])
            try log.close()
        }
    }

    @Test func recordsBehindOneThatWasNeverWrittenStayDead() throws {
        let offsets = try makeLog(entries: 4)
        // The second entry's first sector is gone, so the log ends there; what follows must not come back.
        try overwrite(first, at: offsets[1], [UInt8](repeating: 0, count: 8))
        let (log, contents) = try WriteAheadLog.open(disk: disk, directory: "wal", options: large)
        #expect(contents.entries == [entry(1)])
        try log.save([entry(2, size: 10)])
        try log.close()
        #expect(try open().entries == [entry(1), entry(2, size: 10)])
        let rest = try disk.open(first, .read).read(at: offsets[1] + 100, count: 10000)
        #expect(rest.allSatisfy { $0 == 0 })
    }

    @Test func onlyTheLastSegmentCanBeTorn() throws {
        try makeLog(entries: 9, options: small)
        let file = try disk.open(first, .write)
        let size = try file.size()
        try file.truncate(to: size - 8)
        guard case .corrupt(first, _, .length) = error({ _ = try open() }) else {
            Issue.record("a cut in the middle of the log was taken for a torn tail")
            return
        }
        #expect(throws: WALError.self) { try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: large) }
        try file.truncate(to: size)
        guard case .corrupt(first, _, .checksum) = error({ _ = try open() }) else {
            Issue.record("a zeroed end in the middle of the log was taken for a torn tail")
            return
        }
    }

    // MARK: Refusals

    @Test func aChangedByteIsRefusedWithFileAndOffset() throws {
        let offsets = try makeLog(entries: 3)
        try overwrite(first, at: offsets[1] + 300, [99])
        guard case .corrupt(first, offsets[1], .checksum) = error({ _ = try open() }) else {
            Issue.record("a changed byte was not refused")
            return
        }
        let text = error { _ = try open() }.map { "\($0)" } ?? ""
        #expect(text.hasPrefix("wal: damaged record in \(first) at byte \(offsets[1]): checksum is "))
        #expect(throws: WALError.self) { try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: large) }
        #expect(!disk.exists("\(first).broken"))
    }

    @Test(arguments: [0x40, 0x08, 0x01] as [UInt8])
    func aLengthThatNoWriterMakesIsRefused(highByte: UInt8) throws {
        let offsets = try makeLog(entries: 2)
        try overwrite(first, at: offsets[1] + 7, [highByte])
        guard case .corrupt(first, offsets[1], .length) = error({ _ = try open() }) else {
            Issue.record("high byte \(highByte) was not refused")
            return
        }
        try overwrite(first, at: offsets[1] + 5, [1, 0, 0])
        guard case .corrupt(first, offsets[1], .length) = error({ _ = try open() }) else {
            Issue.record("a length of a terabyte was taken for a torn write")
            return
        }
    }

    /// Appends records that no server writes, with a right checksum.
    private func appendRecords(_ fill: (inout RecordEncoder) -> Void) throws -> Int {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [1], options: large)
        try log.save([entry(1)])
        try log.close()
        let end = try endOfLog()
        var encoder = RecordEncoder(crc: end.crc)
        fill(&encoder)
        try overwrite(first, at: end.offset, [UInt8](encoder.bytes))
        return end.offset
    }

    @Test func metadataOfAnotherLogIsRefused() throws {
        let offset = try appendRecords { $0.append(.metadata, [2]) }
        #expect(error { _ = try open() } == .corrupt(file: first, offset: offset, .metadataConflict))
    }

    @Test func aGapBetweenEntriesIsRefused() throws {
        let offset = try appendRecords { $0.append(Entry(term: 1, index: 3)) }
        #expect(
            error { _ = try open() } == .corrupt(file: first, offset: offset, .entryGap(expected: 2, found: 3)))
    }

    @Test func anEntryThatIsNoMessageIsRefused() throws {
        let offset = try appendRecords { $0.append(.entry, [0x0f]) }
        guard case .corrupt(first, offset, .message) = error({ _ = try open() }) else {
            Issue.record("an entry of garbage was not refused")
            return
        }
    }

    @Test func aChecksumRecordThatBreaksTheChainIsRefused() throws {
        let offset = try appendRecords {
            $0.crc ^= 1
            $0.appendChecksum()
        }
        guard case .corrupt(first, offset, .checksum) = error({ _ = try open() }) else {
            Issue.record("a broken chain was not refused")
            return
        }
    }

    @Test func theStartMustBeKnownToTheLog() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [1], options: large)
        try log.save((1...5).map { entry($0) }, hardState: HardState(term: 1, commit: 5))
        try log.saveSnapshot(WALSnapshot(index: 3, term: 1, confState: ConfState(voters: [7])))
        try log.close()
        #expect(try open(at: WALSnapshot(index: 3, term: 1)).entries == [entry(4), entry(5)])
        let unknown = WALSnapshot(index: 4, term: 1)
        #expect(error { _ = try open(at: unknown) } == .snapshotNotFound(directory: "wal", unknown))
        guard
            case .snapshotMismatch(first, _, WALSnapshot(index: 3, term: 2), let found) = error({
                _ = try open(at: WALSnapshot(index: 3, term: 2))
            })
        else {
            Issue.record("a snapshot of another term was not refused")
            return
        }
        #expect(found == WALSnapshot(index: 3, term: 1, confState: ConfState(voters: [7])))
    }

    @Test func aMissingSegmentIsNamed() throws {
        try makeLog(entries: 9, options: small)
        let names = try disk.list("wal")
        try disk.remove("wal/\(names[1])")
        #expect(error { _ = try open() } == .missingSegment(directory: "wal", before: names[2]))
        try disk.remove("wal/\(names[0])")
        #expect(error { _ = try open() } == .noSegment(directory: "wal", index: 0))
        #expect(
            error { _ = try WriteAheadLog.open(disk: disk, directory: "none") }?.description
                == "open none: No such file or directory")
    }

    // MARK: A disk that fails

    @Test func afterAFailedSynchronisationTheLogRefusesToGoOn() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [1], options: large)
        try log.append([entry(1)])
        disk.faults.failing = (1, 5)
        guard case .disk(let reason) = error({ try log.synchronize() }) else {
            Issue.record("the failure was not reported")
            return
        }
        #expect(error { try log.synchronize() } == .failedBefore(reason))
        #expect(error { try log.append([entry(2)]) } == .failedBefore(reason))
        #expect(error { try log.prepareNextSegment() } == .failedBefore(reason))
        try log.close()
        #expect(error { try log.append([entry(2)]) } == .failedBefore(reason))
        #expect(try open().entries == [entry(1)])
    }

    @Test func aFullDiskIsMetBeforeABatchIsWrittenAndCanBeOvercome() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [1], options: small)
        for index: UInt64 in 1...3 { try log.save([entry(index)]) }
        disk.faults.spaceLimit = disk.bytesUsed + 100
        guard case .disk(let reason) = error({ try log.append([entry(4)]) }) else {
            Issue.record("a full disk was not reported")
            return
        }
        #expect(reason.reason == "No space left on device")
        try log.synchronize()
        disk.faults.spaceLimit = nil
        for index: UInt64 in 4...9 { try log.save([entry(index)]) }
        try log.close()
        #expect(try open().entries == (1...9).map { entry($0) })
    }

    @Test func aClosedLogRefuses() throws {
        let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [1], options: large)
        try log.close()
        try log.close()
        #expect(error { try log.append([entry(1)]) } == .closed(directory: "wal"))
        #expect(error { try log.synchronize() } == .closed(directory: "wal"))
    }
}
