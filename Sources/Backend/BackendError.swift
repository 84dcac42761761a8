import Bolt
import Disk

/// What can go wrong between the store and its file.
public enum BackendError: Error, Sendable, CustomStringConvertible {
    /// The database file refused.
    case bolt(BoltError)
    /// The disk refused a step of defragmentation.
    case disk(DiskError)
    /// The file opens, and holds something that etcd never writes.
    case corrupt(path: String, what: String)

    public var description: String {
        switch self {
        case .bolt(let error): "\(error)"
        case .disk(let error): "\(error)"
        case .corrupt(let path, let what): "\(path): \(what)"
        }
    }
}
