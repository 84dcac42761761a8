import Bolt
import Disk

/// What can go wrong between the store and its file.
public enum BackendError: Error, Sendable, CustomStringConvertible {
    /// The database file refused.
    case bolt(BoltError)
    /// The disk refused a step of defragmentation.
    case disk(DiskError)
    /// A copy of the file would leave the disk too little room for the log.
    case noSpace(path: String, needed: Int, free: Int)
    /// The file opens, and holds something that etcd never writes.
    case corrupt(path: String, what: String)

    public var description: String {
        switch self {
        case .bolt(let error): "\(error)"
        case .disk(let error): "\(error)"
        case .noSpace(let path, let needed, let free):
            "no room for \(path): \(needed) bytes are needed, the log's share among them, and \(free) are free"
        case .corrupt(let path, let what): "\(path): \(what)"
        }
    }
}
