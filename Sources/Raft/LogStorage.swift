import RaftMessages

/// Why storage cannot answer.
public enum LogStorageError: Error, Equatable, CustomStringConvertible {
    /// The index is before the first entry kept.
    case compacted
    /// The index is after the last entry.
    case unavailable
    /// A snapshot is being made; ask again later.
    case snapshotTemporarilyUnavailable
    /// The snapshot is older than the one in storage.
    case snapshotOutOfDate

    public var description: String {
        switch self {
        case .compacted: "requested index is unavailable due to compaction"
        case .unavailable: "requested entry at index is unavailable"
        case .snapshotTemporarilyUnavailable: "snapshot is temporarily unavailable"
        case .snapshotOutOfDate: "requested index is older than the existing snapshot"
        }
    }
}

/// The stable part of a member's log, which its owner writes and Raft only reads.
public protocol LogStorage: AnyObject {
    /// The hard state and configuration at start.
    func initialState() -> (hardState: HardState, confState: ConfState)
    /// The entries of `range`, or as many leading ones as fit in `maximumSize` bytes, at least one.
    /// - Throws: `compacted` if the range starts before ``firstIndex``, `unavailable` if it ends after the last entry.
    func entries(_ range: Range<UInt64>, maximumSize: UInt64) throws(LogStorageError) -> [Entry]
    /// The term of the entry at `index`, also of the one just before ``firstIndex``.
    func term(of index: UInt64) throws(LogStorageError) -> UInt64
    /// The index of the first entry kept; those before it are in the snapshot.
    var firstIndex: UInt64 { get }
    /// The index of the last entry, or of the snapshot if there is none.
    var lastIndex: UInt64 { get }
    /// The latest snapshot.
    /// - Throws: `snapshotTemporarilyUnavailable` if it is still being made.
    func snapshot() throws(LogStorageError) -> Snapshot
}
