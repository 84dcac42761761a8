import Disk
import GenuineEtcd
import RaftMessages
import Testing
import WireFormat

@testable import WriteAheadLog

/// Our reading of what etcd wrote, and etcd's reading of what we wrote.
@Suite(.enabled(if: GenuineEtcd.isInstalled, "etcd and etcdctl are not installed in /usr/bin"), .serialized)
struct GenuineEtcdTests {
    private let disk = POSIXDisk()

    /// A large value that differs from key to key.
    private func value(_ key: Int, size: Int) -> [UInt8] {
        Array("value of \(key):".utf8) + [UInt8](repeating: UInt8(ascii: "a") + UInt8(key % 26), count: size)
    }

    /// Every record of a segment, as bytes and as fields.
    private func frames(in path: String) throws -> [(bytes: [UInt8], type: Int64, crc: UInt32, data: [UInt8])] {
        let file = try disk.open(path, .read)
        let bytes = try file.read(at: 0, count: try file.size())
        var frames: [(bytes: [UInt8], type: Int64, crc: UInt32, data: [UInt8])] = []
        var offset = 0
        while offset + 8 <= bytes.count {
            let field = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
            if field == 0 { break }
            let length = Int(field & 0xff_ffff_ffff_ffff)
            let padding = field >> 63 == 1 ? Int(field >> 56 & 7) : 0
            let end = offset + 8 + length
            var frame = (bytes: Array(bytes[offset..<(end + padding)]), type: Int64(0), crc: UInt32(0), data: [UInt8]())
            try bytes[(offset + 8)..<end].withUnsafeBytes { record in
                var reader = WireReader(record)
                while let tag = try reader.next() {
                    switch tag.field {
                    case 1: frame.type = try reader.int64(tag)
                    case 2: frame.crc = UInt32(try reader.varint(tag))
                    case 3: frame.data = try reader.byteArray(tag)
                    default: Issue.record("unknown field \(tag.field)")
                    }
                }
            }
            frames.append(frame)
            offset = end + padding
        }
        return frames
    }

    private func segments(in directory: String) throws -> [String] {
        try disk.list(directory).filter { $0.hasSuffix(".wal") }.map { "\(directory)/\($0)" }
    }

    /// Writes the records of the log in `source` into a new one, through our writer, as etcd's server had saved them.
    private func rewrite(_ source: String, to target: String) throws {
        let first = try #require(try frames(in: segments(in: source)[0]).first { $0.type == 1 })
        let log = try WriteAheadLog.create(disk: disk, directory: target, metadata: first.data)
        var batch: [Entry] = []
        for path in try segments(in: source) {
            // The state at a segment's head repeats the last one.
            for frame in try frames(in: path) {
                switch frame.type {
                case 2: batch.append(try Entry(decoding: frame.data))
                case 3:
                    try log.save(batch, hardState: try HardState(decoding: frame.data))
                    batch = []
                case 5:
                    let snapshot = try WALSnapshot(decoding: frame.data)
                    if snapshot.index > 0 { try log.saveSnapshot(snapshot) }
                default: break
                }
            }
        }
        try log.save(batch)
        try log.close()
    }

    /// Expects that our encoder makes each record of the log in `wal` as etcd made it, byte by byte, and the chain of
    /// checksums through all segments with it.
    private func expectOurBytes(in wal: String) throws {
        #expect(try segments(in: wal).count >= 2)
        var encoder = RecordEncoder(crc: 0)
        for path in try segments(in: wal) {
            for frame in try frames(in: path) {
                switch frame.type {
                case 2: encoder.append(try Entry(decoding: frame.data))
                case 3: encoder.append(try HardState(decoding: frame.data))
                case 4: encoder.appendChecksum()
                case 5: encoder.append(.snapshot, try WALSnapshot(decoding: frame.data).encoded())
                default: encoder.append(.metadata, frame.data)
                }
                #expect([UInt8](encoder.bytes) == frame.bytes)
                encoder.clear()
            }
        }
    }

    @Test func aLogOfSeveralSegmentsIsReadByUsAndRewrittenForEtcd() throws {
        let etcd = try GenuineEtcd()
        let wal = etcd.logDirectory
        try etcd.start()
        let bigKeys = 50
        for key in 0..<bigKeys { try etcd.control("put", "big\(key)", input: value(key, size: 1_400_000)) }
        for key in 0..<10 { try etcd.control("put", "small\(key)", "value\(key)") }
        try etcd.control("del", "small3")
        try etcd.control("compact", "20")
        let keys = try etcd.control("get", "", "--from-key", "--keys-only")
        etcd.stop()

        try expectOurBytes(in: wal)
        let contents = try WriteAheadLog.read(disk: disk, directory: wal)
        #expect(contents.tornTail == nil)
        #expect(contents.entries.map(\.index) == Array(1...UInt64(contents.entries.count)))
        #expect(contents.entries.count > bigKeys + 12)
        #expect(contents.hardState.commit >= UInt64(bigKeys + 12))
        #expect(contents.entries[0].type == .configurationChange)
        #expect(!contents.metadata.isEmpty)

        // Without its database etcd must take every key from the log that we wrote.
        try rewrite(wal, to: "\(etcd.folder)/ours")
        #expect(try segments(in: "\(etcd.folder)/ours").count >= 2)
        #expect(try WriteAheadLog.read(disk: disk, directory: "\(etcd.folder)/ours") == contents)
        try disk.remove(wal)
        try disk.remove(etcd.databasePath)
        try disk.rename("\(etcd.folder)/ours", to: wal)
        try etcd.start()
        #expect(try etcd.control("get", "", "--from-key", "--keys-only") == keys)
        for key in [0, 20, bigKeys - 1] {
            let stored = try etcd.control("get", "big\(key)", "--print-value-only")
            #expect(stored == String(decoding: value(key, size: 1_400_000), as: UTF8.self) + "\n")
        }
        // etcd goes on where we left off, and we read that.
        try etcd.control("put", "later", "value")
        etcd.stop()
        let after = try WriteAheadLog.read(disk: disk, directory: wal)
        #expect(Array(after.entries.prefix(contents.entries.count)) == contents.entries)
        #expect(after.entries.count > contents.entries.count)
    }

    @Test func snapshotsOfEtcdAreFoundAndItsLogIsReadFromThem() throws {
        let etcd = try GenuineEtcd(alone: "--snapshot-count", "10")
        let wal = etcd.logDirectory
        try etcd.start()
        for key in 0..<45 { try etcd.control("put", "key\(key)", "value") }
        let keys = try etcd.control("get", "", "--from-key")
        etcd.stop()

        let records = try WriteAheadLog.validSnapshotEntries(disk: disk, directory: wal)
        #expect(records.first == WALSnapshot())
        #expect(records.count >= 4)
        let snapshots = SnapshotDirectory(disk: disk, path: "\(etcd.dataDirectory)/member/snap")
        let newest = try #require(try snapshots.loadNewest(among: records).snapshot)
        #expect(newest.metadata.index == records.last?.index)
        #expect(newest.metadata.confState.voters.count == 1)
        #expect(try snapshots.loadNewest() == SnapshotDirectory.Found(snapshot: newest))

        // Our file of the same snapshot is the same file.
        let ours = SnapshotDirectory(disk: disk, path: etcd.folder)
        try ours.save(newest)
        let name = try #require(try disk.list(etcd.folder).first { $0.hasSuffix(".snap") })
        let theirs = try disk.open("\(snapshots.path)/\(name)", .read)
        let written = try disk.open("\(etcd.folder)/\(name)", .read)
        #expect(try written.read(at: 0, count: written.size()) == theirs.read(at: 0, count: theirs.size()))

        let start = WALSnapshot(index: newest.metadata.index, term: newest.metadata.term)
        let whole = try WriteAheadLog.read(disk: disk, directory: wal)
        let rest = try WriteAheadLog.read(disk: disk, directory: wal, at: start)
        #expect(rest.entries == Array(whole.entries.dropFirst(Int(start.index))))
        #expect(!rest.entries.isEmpty)

        // Opening for writing and going on leaves a log that etcd accepts.
        try rewrite(wal, to: "\(etcd.folder)/ours")
        try disk.remove(wal)
        try disk.rename("\(etcd.folder)/ours", to: wal)
        let (log, contents) = try WriteAheadLog.open(disk: disk, directory: wal, at: start)
        #expect(contents == rest)
        try log.save([], hardState: contents.hardState)
        try log.close()
        try etcd.start()
        #expect(try etcd.control("get", "", "--from-key") == keys)
        etcd.stop()
    }
}
