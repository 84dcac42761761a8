import Backend

/// A compaction in progress.
final class CompactionProgress {
    /// The revision it compacts at.
    let revision: Int64
    /// The key to go on with; nil when the walk through the index is complete.
    var cursor: [UInt8]? = []
    /// What the walk has dropped and the backend has not been told of.
    var drops = DropQueue()
    /// Whether drops are taken out of the queue rather than added to it.
    var isEmptying = false
    /// A later compaction that begins when this one is complete.
    var following: Int64?

    /// The drops that are put in order at once: 16 MiB of memory, and enough that a page of the file is rewritten a few
    /// times at most while a large store is compacted.
    static let queueLimit = 1 << 20

    init(revision: Int64) {
        self.revision = revision
    }
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
        if let compaction {
            compaction.following = revision
        } else {
            compaction = CompactionProgress(revision: revision)
        }
    }

    /// Whether ``compactionStep(limit:)`` has work to do.
    public var compactionPending: Bool { compaction != nil }

    /// Does a bounded piece of the pending compaction between two transactions: takes at most `limit` changes out of the
    /// index, or out of the file with the next commit. Returns whether there is more to do.
    ///
    /// The index names the changes to drop, so the work in the file is proportional to the garbage, not to what is kept.
    /// After a crash the file holds again what had not been committed, and the compaction begins anew.
    public func compactionStep(limit: Int = 250) -> Bool {
        guard let compaction else { return false }
        precondition(limit > 0, "a step may drop at least one change")
        precondition(!isWriting, "compaction goes on between transactions")
        var left = limit
        if !compaction.isEmptying {
            left -= walk(compaction, limit: limit)
            compaction.isEmptying =
                compaction.drops.count > 0
                && (compaction.cursor == nil || compaction.drops.count >= CompactionProgress.queueLimit)
        }
        // A small compaction is walked and emptied in one step.
        while compaction.isEmptying, left > 0, let drop = compaction.drops.next() {
            backend.deleteKeyValue(
                RevisionKey(main: drop.main, sub: Int64(drop.sub), isTombstone: drop.isTombstone))
            left -= 1
            droppedChanges += 1
            if compaction.drops.count == 0 { compaction.isEmptying = false }
        }
        if compaction.cursor == nil && compaction.drops.count == 0 { finish(compaction) }
        return self.compaction != nil
    }

    /// Takes the next drops out of the index and returns how many.
    private func walk(_ compaction: CompactionProgress, limit: Int) -> Int {
        guard let start = compaction.cursor else { return 0 }
        var candidates: [KeyBytes] = []
        var visited = 0
        var next: [UInt8]?
        start.withUnsafeBytes { start in
            index.reader.forEach(from: start, to: nil) { key, record in
                if visited == limit * Self.visitsPerDrop || candidates.count == limit {
                    next = [UInt8](key.bytes)
                    return false
                }
                visited += 1
                if record.pointee.garbageCount(at: compaction.revision) > 0 { candidates.append(key) }
                return true
            }
        }
        var drops: [Drop] = []
        // A key that is removed altogether leaves its bytes in place until the next publication.
        for key in candidates {
            let isDone = index.compact(key.bytes, at: compaction.revision, limit: limit - drops.count) {
                drops.append(Drop($0))
            }
            if !isDone {
                next = [UInt8](key.bytes)
                break
            }
        }
        compaction.drops.add(drops)
        compaction.cursor = next
        return drops.count
    }

    private func finish(_ compaction: CompactionProgress) {
        backend.put(.meta, MetaKey.finishedCompactRevision, RevisionKey(main: compaction.revision, sub: 0).bytes)
        finishedCompaction = compaction.revision
        self.compaction = compaction.following.map { CompactionProgress(revision: $0) }
    }
}
