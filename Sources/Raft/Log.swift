import RaftMessages

/// An entry's place: its index, and the term that tells it from others at that index.
struct LogPosition: Equatable {
    var term: UInt64
    var index: UInt64
}

/// The log as Raft sees it: what is in storage followed by what is unstable, and how far it is committed and applied.
struct Log {
    let storage: any LogStorage
    private(set) var unstable: UnstableLog
    /// The highest index known to be on a quorum.
    private(set) var committed: UInt64
    /// The highest index handed out to be applied.
    private(set) var applying: UInt64
    /// The highest index that the state machine reported applied.
    private(set) var applied: UInt64
    let maximumApplyingSize: UInt64
    private(set) var applyingSize: UInt64 = 0
    /// Whether handing out waits until some of what is being applied is done.
    private(set) var applyingPaused = false
    private let sink: (LogLevel, @autoclosure () -> String) -> Void

    init(
        storage: any LogStorage, maximumApplyingSize: UInt64,
        sink: @escaping (LogLevel, @autoclosure () -> String) -> Void
    ) {
        self.storage = storage
        self.maximumApplyingSize = maximumApplyingSize
        self.sink = sink
        unstable = UnstableLog(offset: storage.lastIndex + 1)
        committed = storage.firstIndex - 1
        applying = committed
        applied = committed
    }

    var summary: String {
        "committed=\(committed), applied=\(applied), applying=\(applying), unstable.offset=\(unstable.offset), "
            + "unstable.offsetInProgress=\(unstable.offsetInProgress), len(unstable.Entries)=\(unstable.entries.count)"
    }

    var firstIndex: UInt64 { unstable.firstIndex ?? storage.firstIndex }
    var lastIndex: UInt64 { unstable.lastIndex ?? storage.lastIndex }

    /// The place of the last entry.
    var last: LogPosition {
        let index = lastIndex
        guard let term = try? term(of: index) else {
            preconditionFailure("the log's storage does not know the term of its last entry \(index)")
        }
        return LogPosition(term: term, index: index)
    }

    /// The term of the entry at `index`, from the one before the first to the last.
    func term(of index: UInt64) throws(LogStorageError) -> UInt64 {
        if let term = unstable.term(of: index) { return term }
        if index + 1 < firstIndex { throw .compacted }
        if index > lastIndex { throw .unavailable }
        return try storage.term(of: index)
    }

    /// The term of the entry at `index`, or 0 if it is not in the log.
    func termOrZero(of index: UInt64) -> UInt64 { (try? term(of: index)) ?? 0 }

    func matches(_ position: LogPosition) -> Bool {
        guard let term = try? term(of: position.index) else { return false }
        return term == position.term
    }

    /// Whether a log that ends at `other` holds all that this one may have committed (Raft paper, section 5.4.1).
    func isUpToDate(_ other: LogPosition) -> Bool {
        let last = last
        return other.term > last.term || (other.term == last.term && other.index >= last.index)
    }
}

// MARK: - Reading

extension Log {
    /// The entries from `index` on, as many as fit in `maximumSize` bytes.
    func entries(from index: UInt64, maximumSize: UInt64) throws(LogStorageError) -> [Entry] {
        let end = lastIndex + 1
        return index >= end ? [] : try slice(index..<end, maximumSize: maximumSize)
    }

    /// The entries of `range`, as many as fit in `maximumSize` bytes.
    func slice(_ range: Range<UInt64>, maximumSize: UInt64) throws(LogStorageError) -> [Entry] {
        if range.lowerBound < firstIndex { throw .compacted }
        precondition(
            range.upperBound <= lastIndex + 1,
            "slice[\(range.lowerBound),\(range.upperBound)) out of bound [\(firstIndex),\(lastIndex)]")
        if range.isEmpty { return [] }
        if range.lowerBound >= unstable.offset {
            let here = unstable.slice(range)
            return Array(here.prefix(here.countFitting(maximumSize)))
        }
        let cut = min(range.upperBound, unstable.offset)
        var found = try storage.entries(range.lowerBound..<cut, maximumSize: maximumSize)
        if range.upperBound <= unstable.offset || UInt64(found.count) < cut - range.lowerBound { return found }
        let size = found.encodedSize
        if size >= maximumSize { return found }
        let rest = unstable.slice(unstable.offset..<range.upperBound)
        let taken = rest.prefix(rest.countFitting(maximumSize - size))
        if taken.count == 1 && size + taken.encodedSize > maximumSize { return found }
        found.append(contentsOf: taken)
        return found
    }

    /// The latest snapshot.
    func snapshot() throws(LogStorageError) -> Snapshot {
        if let snapshot = unstable.snapshot { return snapshot }
        return try storage.snapshot()
    }

    /// The highest place at or before `index` whose term is at most `term`: where a log with that term there may agree.
    ///
    /// The term is 0 if the search ran into entries that are no longer in the log.
    func findConflict(byTerm term: UInt64, from index: UInt64) -> LogPosition {
        var index = index
        while index > 0 {
            guard let own = try? self.term(of: index) else { return LogPosition(term: 0, index: index) }
            if own <= term { return LogPosition(term: own, index: index) }
            index -= 1
        }
        return LogPosition(term: 0, index: 0)
    }

    /// The index of the first of `entries` that is not in the log as it is, or nil if all are.
    func findConflict(_ entries: [Entry]) -> UInt64? {
        for entry in entries where !matches(LogPosition(term: entry.term, index: entry.index)) {
            if entry.index <= lastIndex {
                sink(
                    .info,
                    "found conflict at index \(entry.index) [existing term: \(termOrZero(of: entry.index)), "
                        + "conflicting term: \(entry.term)]")
            }
            return entry.index
        }
        return nil
    }
}

// MARK: - Appending and committing

extension Log {
    /// Appends `entries`, replacing what is there from their first index on.
    mutating func append(_ entries: ArraySlice<Entry>) {
        guard let first = entries.first else { return }
        precondition(
            first.index > committed, "after(\(first.index - 1)) is out of range [committed(\(committed))]")
        if let line = unstable.truncateAndAppend(entries) { sink(.info, line) }
    }

    /// Takes over a leader's `entries` that follow `previous`, if that is in this log.
    /// - Returns: The index of the last of them, or nil if the logs disagree at `previous`.
    mutating func append(
        _ entries: [Entry], after previous: LogPosition, leaderCommit: UInt64
    ) -> UInt64? {
        guard matches(previous) else { return nil }
        let lastNew = previous.index + UInt64(entries.count)
        if let conflict = findConflict(entries) {
            precondition(
                conflict > committed, "entry \(conflict) conflict with committed entry [committed(\(committed))]")
            append(entries[Int(conflict - previous.index - 1)...])
        }
        commit(to: min(leaderCommit, lastNew))
        return lastNew
    }

    /// Raises the commit index to `index`; it never falls.
    mutating func commit(to index: UInt64) {
        guard committed < index else { return }
        precondition(
            index <= lastIndex,
            "tocommit(\(index)) is out of range [lastIndex(\(lastIndex))]. Was the raft log corrupted, truncated, or lost?"
        )
        committed = index
    }

    /// Commits up to `position` if it is ahead of what is committed and of the given term.
    mutating func maybeCommit(_ position: LogPosition) -> Bool {
        guard position.term != 0, position.index > committed, matches(position) else { return false }
        commit(to: position.index)
        return true
    }

    /// Sets the commit index read from storage at start.
    mutating func loadCommitted(_ index: UInt64) { committed = index }

    /// Replaces the whole log by `snapshot`.
    mutating func restore(_ snapshot: Snapshot) {
        sink(
            .info,
            "log [\(summary)] starts to restore snapshot [index: \(snapshot.metadata.index), "
                + "term: \(snapshot.metadata.term)]")
        committed = snapshot.metadata.index
        unstable.restore(snapshot)
    }
}

// MARK: - Handing out

extension Log {
    var hasNextUnstableEntries: Bool { !unstable.nextEntries.isEmpty }
    var hasUnstableEntries: Bool { !unstable.entries.isEmpty }
    var hasNextUnstableSnapshot: Bool { unstable.nextSnapshot != nil }
    var hasUnstableSnapshot: Bool { unstable.snapshot != nil }

    /// The highest index that may be applied: with `allowUnstable` also entries that are not in storage yet, which is
    /// right if they are written before they are applied.
    private func maximumAppliable(allowUnstable: Bool) -> UInt64 {
        allowUnstable ? committed : min(committed, unstable.offset - 1)
    }

    func hasNextCommitted(allowUnstable: Bool) -> Bool {
        !applyingPaused && !hasUnstableSnapshot && applying < maximumAppliable(allowUnstable: allowUnstable)
    }

    /// The committed entries to apply next, within the size limit.
    func nextCommitted(allowUnstable: Bool) -> [Entry] {
        guard hasNextCommitted(allowUnstable: allowUnstable) else { return [] }
        let range = (applying + 1)..<(maximumAppliable(allowUnstable: allowUnstable) + 1)
        precondition(applyingSize < maximumApplyingSize, "applying entry size is not below its limit")
        do throws(LogStorageError) {
            return try slice(range, maximumSize: maximumApplyingSize - applyingSize)
        } catch {
            preconditionFailure("committed entries \(range) cannot be read: \(error)")
        }
    }

    mutating func acceptUnstable() { unstable.acceptInProgress() }

    /// Notes that entries up to `index`, of `size` bytes, were handed out to be applied.
    mutating func acceptApplying(to index: UInt64, size: UInt64, allowUnstable: Bool) {
        precondition(index <= committed, "applying(\(index)) is out of range [committed(\(committed))]")
        applying = index
        applyingSize += size
        applyingPaused =
            applyingSize >= maximumApplyingSize || index < maximumAppliable(allowUnstable: allowUnstable)
    }

    /// Notes that entries up to `index`, of `size` bytes, are applied.
    mutating func apply(to index: UInt64, size: UInt64) {
        precondition(
            index <= committed && index >= applied,
            "applied(\(index)) is out of range [prevApplied(\(applied)), committed(\(committed))]")
        applied = index
        applying = max(applying, index)
        applyingSize -= min(applyingSize, size)
        applyingPaused = applyingSize >= maximumApplyingSize
    }

    mutating func stable(to position: LogPosition) {
        if let line = unstable.stable(to: position) { sink(.info, line) }
    }

    mutating func stableSnapshot(to index: UInt64) { unstable.stableSnapshot(to: index) }
}
