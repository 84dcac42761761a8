import RaftMessages
import WriteAheadLog

/// What Raft orders to be appended, as the log takes it.
extension WriteAheadLog {
    /// Writes the entries, the hard state and the leader's snapshot of `order`, and says whether the log must be
    /// synchronised before the order is acknowledged.
    ///
    /// A snapshot's file comes before the log's record, which is good for nothing without it. The record counts only once
    /// the hard state behind it says that its index is committed, so a crash in between leaves the state of before.
    public func append(_ order: Message, snapshots: SnapshotDirectory) throws -> Bool {
        let state = HardState(term: order.term, vote: order.vote, commit: order.commit)
        guard let snapshot = order.snapshot, !snapshot.isEmpty else {
            return try append(order.entries, hardState: state)
        }
        try snapshots.save(snapshot)
        try saveSnapshot(WALSnapshot(snapshot.metadata))
        try append(order.entries, hardState: state)
        return true
    }
}

extension WALSnapshot {
    /// The record of a snapshot at `place`.
    public init(_ place: SnapshotMetadata) {
        self.init(index: place.index, term: place.term, confState: place.confState)
    }
}
