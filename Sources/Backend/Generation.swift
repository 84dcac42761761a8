/// The writes between two commits.
struct Generation {
    /// Changes to the `key` bucket.
    var log = RevisionLog()
    /// Revisions that compaction takes out of the `key` bucket. Readers never see them gone before the commit, and need
    /// not: what they may ask for lies above the compaction.
    var dropped: [RevisionKey] = []
    /// Writes to the other buckets, by the bucket's number; nil is a deletion.
    var overlays = [[[UInt8]: [UInt8]?]](repeating: [:], count: BackendBucket.allCases.count)
    /// Puts and deletes so far.
    var operations = 0
    /// The bytes of keys and values that wait.
    var bytes = 0
    /// The consistent index and term to store, when they moved.
    var appliedIndex: AppliedIndex?

    var isEmpty: Bool { operations == 0 && appliedIndex == nil }

    func frozen() -> FrozenGeneration {
        FrozenGeneration(
            log: log.view, dropped: dropped, overlays: overlays, operations: operations, bytes: bytes,
            appliedIndex: appliedIndex)
    }
}

/// The Raft entry up to which a file holds all effects.
struct AppliedIndex: Sendable {
    var index: UInt64
    var term: UInt64
}

/// A generation that no longer changes and is on its way to the file.
struct FrozenGeneration: Sendable {
    let log: RevisionLogView
    let dropped: [RevisionKey]
    let overlays: [[[UInt8]: [UInt8]?]]
    let operations: Int
    let bytes: Int
    let appliedIndex: AppliedIndex?
}
