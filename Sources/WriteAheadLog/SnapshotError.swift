import Disk
import WireFormat

/// Why a snapshot file cannot be read or written.
public enum SnapshotError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The disk refused.
    case disk(DiskError)
    /// The file holds no snapshot.
    case empty(file: String)
    /// The file is larger than any snapshot that is read into memory.
    case tooLarge(file: String, size: Int)
    /// The bytes are not those that were written.
    case checksum(file: String, expected: UInt32, found: UInt32)
    /// The bytes, from `offset` on, are not the message that they should be.
    case message(file: String, offset: Int, WireError)

    public var description: String {
        switch self {
        case .disk(let error): return "\(error)"
        case .empty(let file): return "snap: \(file) holds no snapshot"
        case .tooLarge(let file, let size): return "snap: \(file) is too large to be a snapshot (\(size) bytes)"
        case .checksum(let file, let expected, let found):
            return "snap: checksum of \(file) is \(String(found, radix: 16)) where \(String(expected, radix: 16)) "
                + "should be"
        case .message(let file, let offset, let error):
            return "snap: damaged message in \(file) from byte \(offset) on: \(error)"
        }
    }
}

/// Runs a disk call, and reports its refusal as a snapshot's.
func onSnapshotDisk<Result>(_ call: () throws(DiskError) -> Result) throws(SnapshotError) -> Result {
    do { return try call() } catch { throw .disk(error) }
}
