import Checksum
import Disk
import RaftMessages
import Testing
import WireFormat

@testable import WriteAheadLog

/// Hostile bytes: a reading ends in a typed error or in what was once written, and never takes the process down.
@Suite struct FuzzTests {
    /// The seeds of all runs; one that finds something is added here.
    static let seeds: [UInt64] = [1, 2, 3, 5, 8, 13, 21, 34]
    private static let runsPerSeed = 250

    private static let options: WriteAheadLog.Options = {
        var options = WriteAheadLog.Options()
        options.segmentSize = 1200
        return options
    }()

    /// A log of a few segments: its files and what it holds.
    private struct Sample {
        var files: [(path: String, bytes: [UInt8])] = []
        var contents = LogContents()

        init() throws {
            let disk = MemoryDisk()
            let log = try WriteAheadLog.create(
                disk: disk, directory: "wal", metadata: [1, 2, 3, 4], options: FuzzTests.options)
            for index: UInt64 in 1...12 {
                let size = Int(index * 97 % 700)
                try log.save(
                    [Entry(term: 1 + index / 5, index: index, data: [UInt8](repeating: UInt8(index), count: size))],
                    hardState: HardState(term: 1 + index / 5, vote: 1, commit: index))
                if index == 6 { try log.saveSnapshot(WALSnapshot(index: 6, term: 2)) }
            }
            try log.close()
            for name in try disk.list("wal") {
                let file = try disk.open("wal/\(name)", .read)
                files.append(("wal/\(name)", try file.read(at: 0, count: file.size())))
            }
            contents = try WriteAheadLog.read(disk: disk, directory: "wal")
        }

        func disk(replacing position: Int, with bytes: [UInt8]) throws -> MemoryDisk {
            let disk = MemoryDisk()
            try disk.createDirectory("wal")
            for (other, file) in files.enumerated() {
                try disk.open(file.path, .create).write(other == position ? bytes : file.bytes, at: 0)
            }
            return disk
        }
    }

    private func mutate(_ original: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let start = Int.random(in: 0..<bytes.count, using: &random)
            let end = min(bytes.count, start + Int.random(in: 1...600, using: &random))
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: for index in start..<end { bytes[index] = 0 }
            case 2: for index in start..<end { bytes[index] = UInt8.random(in: 0...255, using: &random) }
            case 3: bytes.removeSubrange(start...)
            case 4: bytes.removeSubrange(start..<end)
            case 5: bytes.insert(contentsOf: bytes[start..<end], at: start)
            default:
                // A length field of any size.
                let field = random.next() >> UInt64.random(in: 0..<64, using: &random)
                let frame = start / 8 * 8
                for index in 0..<8 where frame + index < bytes.count {
                    bytes[frame + index] = UInt8(truncatingIfNeeded: field >> UInt64(8 * index))
                }
            }
        }
        return bytes
    }

    @Test(arguments: seeds)
    func aMutatedSegmentGivesATypedErrorOrAPrefix(seed: UInt64) throws {
        let sample = try Sample()
        #expect(sample.files.count >= 3)
        var random = SplitMix64(seed: seed)
        var refused = 0
        for run in 0..<Self.runsPerSeed {
            let position = Int.random(in: 0..<sample.files.count, using: &random)
            let disk = try sample.disk(replacing: position, with: mutate(sample.files[position].bytes, &random))
            var contents: LogContents?
            do throws(WALError) {
                _ = try WriteAheadLog.validSnapshotEntries(disk: disk, directory: "wal")
                contents = try WriteAheadLog.read(disk: disk, directory: "wal")
            } catch {
                refused += 1
            }
            do throws(WALError) {
                let opened = try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: Self.options)
                #expect(contents?.entries == opened.contents.entries)
                contents = opened.contents
                // It goes on from there.
                let next = Entry(term: 9, index: UInt64(opened.contents.entries.count + 1))
                try opened.log.save([next])
                try opened.log.close()
                #expect(
                    try! WriteAheadLog.read(disk: disk, directory: "wal").entries == opened.contents.entries + [next])
            } catch {
                #expect("\(error)".contains("wal"), "the error names the file or directory: \(error)")
            }
            if let contents {
                let prefix = sample.contents.entries.prefix(contents.entries.count)
                #expect(contents.entries == Array(prefix), "seed \(seed), run \(run)")
            }
        }
        #expect(refused > Self.runsPerSeed / 10)
    }

    /// A message that is right, wrong in a byte or two, or nonsense.
    private func payload(_ random: inout SplitMix64) -> [UInt8] {
        let index = random.next() >> UInt64.random(in: 0..<64, using: &random)
        let term = UInt64.random(in: 0...3, using: &random)
        var bytes: [UInt8]
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes = Entry(term: term, index: index, data: [1, 2, 3]).encoded()
        case 1: bytes = HardState(term: term, vote: 1, commit: index).encoded()
        case 2: bytes = WALSnapshot(index: index, term: term, confState: ConfState(voters: [index])).encoded()
        case 3: bytes = Entry(term: term, index: UInt64.random(in: 1...3, using: &random)).encoded()
        default:
            bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
        if !bytes.isEmpty, Int.random(in: 0..<3, using: &random) == 0 {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        return bytes
    }

    @Test(arguments: seeds)
    func recordsOfAnyContentWithTheRightChecksumAreReadOrRefused(seed: UInt64) throws {
        let types: [RecordType] = [.metadata, .entry, .entry, .entry, .state, .snapshot]
        var random = SplitMix64(seed: seed)
        for _ in 0..<Self.runsPerSeed {
            var encoder = RecordEncoder(crc: 0)
            encoder.appendChecksum()
            encoder.append(.snapshot, WALSnapshot().encoded())
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                encoder.append(types[Int.random(in: 0..<types.count, using: &random)], payload(&random))
            }
            let disk = MemoryDisk()
            try disk.createDirectory("wal")
            let path = "wal/0000000000000000-0000000000000000.wal"
            try disk.open(path, .create).write([UInt8](encoder.bytes), at: 0)
            do throws(WALError) {
                let opened = try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: Self.options)
                let indexes = opened.contents.entries.map(\.index)
                #expect(indexes == Array(UInt64(1)..<UInt64(indexes.count + 1)))
                try opened.log.save([Entry(term: 9, index: 1, data: [UInt8](repeating: 1, count: 3000))])
                try opened.log.save([Entry(term: 9, index: 2)])
                try opened.log.close()
            } catch {
                #expect("\(error)".contains("wal"))
            }
        }
    }

    @Test(arguments: seeds)
    func aMutatedSnapshotFileGivesATypedErrorOrTheSnapshot(seed: UInt64) throws {
        let snapshot = Snapshot(
            data: [UInt8](repeating: 7, count: 900),
            metadata: SnapshotMetadata(confState: ConfState(voters: [1, 2], learners: [3]), index: 9, term: 4))
        let original = SnapshotFile.encode(snapshot)
        var random = SplitMix64(seed: seed)
        for _ in 0..<Self.runsPerSeed {
            let bytes = mutate(original, &random)
            let disk = MemoryDisk()
            try disk.createDirectory("snap")
            try disk.open("snap/0000000000000004-0000000000000009.snap", .create).write(bytes, at: 0)
            let found = try SnapshotDirectory(disk: disk, path: "snap").loadNewest()
            #expect(found.snapshot == nil ? found.damaged.count == 1 : found.snapshot == snapshot)

            // The checksum is right and the message is not.
            let inner = mutate(snapshot.encoded(), &random)
            var writer = WireWriter()
            writer.alwaysVarint(1, UInt64(CRC32C.update(0, inner)))
            writer.alwaysBytes(2, inner)
            do throws(SnapshotError) {
                _ = try writer.bytes.span.withUnsafeBytes { (whole) throws(SnapshotError) in
                    try SnapshotFile.decode(whole, "file")
                }
            } catch {
                #expect("\(error)".contains("file"))
            }
        }
    }
}
