import Backend

/// Why the store does not answer.
public enum StoreError: Error, Sendable, CustomStringConvertible {
    /// The revision asked for lies before the compacted revision, which is given.
    case compacted(Int64)
    /// The revision asked for lies after the current revision, which is given.
    case futureRevision(Int64)
    /// The `key` bucket holds something that etcd never writes.
    case corrupt(revision: Revision, what: String)
    /// The backend refused.
    case backend(BackendError)

    /// Compacted and future revisions are described in etcd's words, which clients compare.
    public var description: String {
        switch self {
        case .compacted: "mvcc: required revision has been compacted"
        case .futureRevision: "mvcc: required revision is a future revision"
        case .corrupt(let revision, let what): "the change at revision \(revision): \(what)"
        case .backend(let error): "\(error)"
        }
    }
}
