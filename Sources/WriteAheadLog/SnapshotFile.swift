import Checksum
import Disk
import RaftMessages
import WireFormat

/// A `.snap` file: `snappb.Snapshot`, which is a Raft snapshot's bytes behind their CRC-32C.
enum SnapshotFile {
    /// The key space is not in these files (it is in the Bolt file), only the v2 tree's membership; a file beyond this
    /// is damage, and is not read into memory.
    private static let largest = 512 << 20

    /// The file's bytes for `snapshot`.
    static func encode(_ snapshot: Snapshot) -> [UInt8] {
        let data = snapshot.encoded()
        let crc = CRC32C.update(0, data)
        var writer = WireWriter(capacity: data.count + 16)
        // The field is proto2's and required: written even when zero.
        writer.alwaysVarint(1, UInt64(crc))
        writer.bytes(2, data)
        return writer.bytes
    }

    /// The snapshot in the file at `path`.
    static func read(_ path: String, disk: any Disk) throws(SnapshotError) -> Snapshot {
        let bytes = try onSnapshotDisk { () throws(DiskError) -> [UInt8]? in
            let file = try disk.open(path, .read)
            defer { file.close() }
            let size = try file.size()
            return size > largest ? nil : try file.read(at: 0, count: size)
        }
        guard let bytes else { throw .tooLarge(file: path, size: largest) }
        if bytes.isEmpty { throw .empty(file: path) }
        return try bytes.span.withUnsafeBytes { (whole) throws(SnapshotError) in try decode(whole, path) }
    }

    /// The snapshot in `whole`, the bytes of the file at `path`.
    static func decode(_ whole: UnsafeRawBufferPointer, _ path: String) throws(SnapshotError) -> Snapshot {
        var crc: UInt32 = 0
        var data = UnsafeRawBufferPointer(start: nil, count: 0)
        var dataOffset = 0
        do {
            var reader = WireReader(whole)
            while let tag = try reader.next() {
                switch tag.field {
                case 1: crc = UInt32(truncatingIfNeeded: try reader.varint(tag))
                case 2:
                    data = try reader.bytes(tag)
                    dataOffset = reader.offset - data.count
                default: try reader.skip(tag)
                }
            }
        } catch {
            throw .message(file: path, offset: 0, error)
        }
        // etcd refuses a checksum of zero too: it takes it for one that is not there.
        if data.isEmpty || crc == 0 { throw .empty(file: path) }
        let actual = CRC32C.update(0, data)
        guard actual == crc else { throw .checksum(file: path, expected: actual, found: crc) }
        do { return try Snapshot(decoding: data) } catch { throw .message(file: path, offset: dataOffset, error) }
    }
}

/// The name of a snapshot file: the term and the index that the snapshot covers, in hexadecimal.
struct SnapshotName: Equatable {
    var term: UInt64
    var index: UInt64

    static let suffix = ".snap"

    init(term: UInt64, index: UInt64) {
        self.term = term
        self.index = index
    }

    /// The name that `text` spells, or nil when it is not a snapshot's.
    init?(_ text: String) {
        guard text.hasSuffix(Self.suffix), let pair = HexPair.parse(text.dropLast(Self.suffix.count)) else {
            return nil
        }
        self.init(term: pair.0, index: pair.1)
    }

    var text: String { "\(HexPair.text(term))-\(HexPair.text(index))\(Self.suffix)" }
}
