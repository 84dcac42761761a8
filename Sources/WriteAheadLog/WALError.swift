import Disk
import WireFormat

/// Why a write-ahead log cannot be read or written, with the file and the byte where it is so.
public enum WALError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The disk refused.
    case disk(DiskError)
    /// ``WriteAheadLog/create(disk:directory:metadata:options:)`` met a log.
    case alreadyExists(directory: String)
    /// No segment holds the index that the reading should start at.
    case noSegment(directory: String, index: UInt64)
    /// A segment is missing between two others.
    case missingSegment(directory: String, before: String)
    /// Another process has the segment.
    case locked(file: String)
    /// The last write was cut short by a crash: a repair may drop it.
    case torn(file: String, offset: Int, TornReason)
    /// The record is damaged, and not in the way that a crash leaves behind.
    case corrupt(file: String, offset: Int, CorruptReason)
    /// The log has no record of the snapshot that the reading should start at.
    case snapshotNotFound(directory: String, WALSnapshot)
    /// The log knows the snapshot's index under another term.
    case snapshotMismatch(file: String, offset: Int, wanted: WALSnapshot, found: WALSnapshot)
    /// An earlier write or synchronisation failed, so what is on the disk is not known; only a new opening may go on.
    case failedBefore(DiskError)
    /// The log was closed.
    case closed(directory: String)

    /// How a record is torn.
    public enum TornReason: Equatable, Sendable {
        /// A record or its length reaches past the end of the file.
        case endOfFile(length: Int)
        /// A sector within the record was never written.
        case unwrittenSector
    }

    /// How a record is damaged.
    public enum CorruptReason: Equatable, Sendable {
        /// The length field is one that no writer makes.
        case length(UInt64)
        /// The rolling checksum over all records up to here is another.
        case checksum(expected: UInt32, found: UInt32)
        /// The bytes are not the message that they should be.
        case message(WireError)
        /// A record of an unknown type.
        case recordType(Int64)
        /// The metadata differs from that of an earlier segment.
        case metadataConflict
        /// Entries are missing before this one.
        case entryGap(expected: UInt64, found: UInt64)
    }

    public var description: String {
        switch self {
        case .disk(let error): return "\(error)"
        case .alreadyExists(let directory): return "wal: \(directory) holds a log already"
        case .noSegment(let directory, let index): return "wal: \(directory) has no segment that holds index \(index)"
        case .missingSegment(let directory, let before):
            return "wal: \(directory) lacks the segment before \(before)"
        case .locked(let file): return "wal: \(file) is locked by another process"
        case .torn(let file, let offset, let reason):
            return "wal: torn record in \(file) at byte \(offset): \(reason.text)"
        case .corrupt(let file, let offset, let reason):
            return "wal: damaged record in \(file) at byte \(offset): \(reason.text)"
        case .snapshotNotFound(let directory, let snapshot):
            return "wal: \(directory) has no record of the snapshot at index \(snapshot.index), term \(snapshot.term)"
        case .snapshotMismatch(let file, let offset, let wanted, let found):
            return "wal: snapshot at index \(wanted.index) has term \(wanted.term), but term \(found.term) in \(file) "
                + "at byte \(offset)"
        case .failedBefore(let error): return "wal: not usable after a failed write: \(error)"
        case .closed(let directory): return "wal: \(directory) is closed"
        }
    }
}

extension WALError.TornReason {
    fileprivate var text: String {
        switch self {
        case .endOfFile(let length): return "\(length) bytes reach past the end of the file"
        case .unwrittenSector: return "a sector of it was never written"
        }
    }
}

extension WALError.CorruptReason {
    fileprivate var text: String {
        switch self {
        case .length(let field): return "length field 0x\(String(field, radix: 16))"
        case .checksum(let expected, let found):
            return "checksum is \(String(found, radix: 16)) where \(String(expected, radix: 16)) should be"
        case .message(let error): return "\(error)"
        case .recordType(let type): return "unknown record type \(type)"
        case .metadataConflict: return "metadata differs from that of an earlier segment"
        case .entryGap(let expected, let found): return "entry \(found) where entry \(expected) should follow"
        }
    }
}

/// Runs a disk call, and reports its refusal as the log's.
func onDisk<Result>(_ call: () throws(DiskError) -> Result) throws(WALError) -> Result {
    do { return try call() } catch { throw .disk(error) }
}
