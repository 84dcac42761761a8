import Backend

/// A compaction in progress.
struct CompactionState {
    /// The revision it compacts at.
    var revision: Int64
    /// The key to go on with; nil at the beginning.
    var cursor: [UInt8]?
    /// A later compaction that begins when this one is complete.
    var following: Int64?
}

extension Store {
    /// The keys that one step looks at for each change that it may drop: a store with little garbage is walked quickly,
    /// and a step still takes well under a millisecond of the owner.
    private static let visitsPerDrop = 8

    /// Gives up the history below `revision`: from now on reads below it are refused. What it drops is removed by
    /// ``compactionStep(limit:)``.
    ///
    /// - Throws: ``StoreError/compacted(_:)`` when `revision` is at or below the compacted one,
    ///   ``StoreError/futureRevision(_:)`` when it is above the current one.
    public func compact(at revision: Int64) throws(StoreError) {
        if revision <= compactedRevision { throw .compacted(compactedRevision) }
        if revision > currentRevision { throw .futureRevision(currentRevision) }
        compactedRevision = revision
        // The mark is in the same commit as the first drops or in an earlier one, so a restart knows of them.
        backend.put(.meta, MetaKey.scheduledCompactRevision, RevisionKey(main: revision, sub: 0).bytes)
        if compaction == nil {
            compaction = CompactionState(revision: revision)
        } else {
            compaction?.following = revision
        }
    }

    /// Whether ``compactionStep(limit:)`` has work to do.
    public var compactionPending: Bool { compaction != nil }

    /// Does a bounded piece of the pending compaction between two transactions: drops at most `limit` changes from the
    /// index and, with the next commit, from the file. Returns whether there is more to do.
    ///
    /// The index names the changes to drop, so the work in the file is proportional to the garbage, not to what is kept.
    public func compactionStep(limit: Int = 1000) -> Bool {
        guard var state = compaction else { return false }
        precondition(limit > 0, "a step may drop at least one change")
        var candidates: [KeyBytes] = []
        var visited = 0
        var next: KeyBytes?
        let start = state.cursor ?? []
        start.withUnsafeBytes { start in
            index.reader.forEach(from: start, to: nil) { key, record in
                if visited == limit * Self.visitsPerDrop || candidates.count == limit {
                    next = key
                    return false
                }
                visited += 1
                if record.pointee.garbageCount(at: state.revision) > 0 { candidates.append(key) }
                return true
            }
        }
        var following = next.map { [UInt8]($0.bytes) }
        var left = limit
        for key in candidates {
            if left == 0 {
                following = [UInt8](key.bytes)
                break
            }
            // Compacting may remove the key and with it these bytes' owner, yet they stay until the next publication.
            let isDone = index.compact(key.bytes, at: state.revision, limit: left) { dropped in
                backend.deleteKeyValue(
                    RevisionKey(main: dropped.main, sub: Int64(dropped.sub), isTombstone: dropped.isTombstone))
                left -= 1
            }
            if !isDone {
                following = [UInt8](key.bytes)
                break
            }
        }
        state.cursor = following
        if following == nil {
            finish(state)
        } else {
            compaction = state
        }
        return compaction != nil
    }

    private func finish(_ state: CompactionState) {
        backend.put(.meta, MetaKey.finishedCompactRevision, RevisionKey(main: state.revision, sub: 0).bytes)
        finishedCompaction = state.revision
        compaction = state.following.map { CompactionState(revision: $0) }
    }
}
