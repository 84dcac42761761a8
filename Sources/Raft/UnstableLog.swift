import RaftMessages

/// The tail of the log that is not known to be in stable storage, and a snapshot that is not.
///
/// What was handed out to be written is in progress: it is not handed out again, but stays here until acknowledged.
struct UnstableLog {
    /// A snapshot that arrived and is not in storage yet.
    private(set) var snapshot: Snapshot?
    private(set) var snapshotInProgress = false
    /// The index of the first entry here.
    private(set) var offset: UInt64
    /// The entries before this index are being written.
    private(set) var offsetInProgress: UInt64
    private(set) var entries = EntryBuffer()

    init(offset: UInt64) {
        self.offset = offset
        offsetInProgress = offset
    }

    /// The index before the first entry kept, if a snapshot here says it.
    var firstIndex: UInt64? { snapshot.map { $0.metadata.index + 1 } }

    /// The index of the last entry, if there is one here or a snapshot.
    var lastIndex: UInt64? {
        if !entries.isEmpty { return offset + UInt64(entries.count) - 1 }
        return snapshot?.metadata.index
    }

    /// The term of the entry at `index`, if it is here.
    func term(of index: UInt64) -> UInt64? {
        if index < offset {
            guard let snapshot, snapshot.metadata.index == index else { return nil }
            return snapshot.metadata.term
        }
        let position = index - offset
        return position < UInt64(entries.count) ? entries[Int(position)].term : nil
    }

    /// The entries of `range`, which lie all here.
    func slice(_ range: Range<UInt64>) -> ArraySlice<Entry> {
        precondition(
            range.lowerBound >= offset && range.upperBound <= offset + UInt64(entries.count),
            "unstable entries [\(range.lowerBound),\(range.upperBound)) out of [\(offset),+\(entries.count))")
        return entries.slice(Int(range.lowerBound - offset)..<Int(range.upperBound - offset))
    }

    /// The entries that are not being written yet.
    var nextEntries: ArraySlice<Entry> {
        entries.slice(Int(offsetInProgress - offset)..<entries.count)
    }

    /// The snapshot, if it is not being written yet.
    var nextSnapshot: Snapshot? { snapshotInProgress ? nil : snapshot }

    /// Marks everything here as being written.
    mutating func acceptInProgress() {
        offsetInProgress = offset + UInt64(entries.count)
        if snapshot != nil { snapshotInProgress = true }
    }

    /// Forgets the entries up to `position`, which are in storage, unless they were replaced meanwhile.
    /// - Returns: Why nothing was forgotten, if so.
    mutating func stable(to position: LogPosition) -> String? {
        guard let term = term(of: position.index) else {
            return "entry at index \(position.index) missing from unstable log; ignoring"
        }
        if position.index < offset { return "entry at index \(position.index) matched unstable snapshot; ignoring" }
        if term != position.term {
            return "entry at (index,term)=(\(position.index),\(position.term)) mismatched with "
                + "entry at (\(position.index),\(term)) in unstable log; ignoring"
        }
        entries.removeFirst(Int(position.index + 1 - offset))
        offset = position.index + 1
        offsetInProgress = max(offsetInProgress, offset)
        return nil
    }

    /// Forgets the snapshot at `index`, which is in storage.
    mutating func stableSnapshot(to index: UInt64) {
        guard snapshot?.metadata.index == index else { return }
        snapshot = nil
        snapshotInProgress = false
    }

    /// Replaces everything by `snapshot`.
    mutating func restore(_ snapshot: Snapshot) {
        offset = snapshot.metadata.index + 1
        offsetInProgress = offset
        entries = EntryBuffer()
        self.snapshot = snapshot
        snapshotInProgress = false
    }

    /// Appends `added`, replacing what is here from its first index on.
    /// - Returns: What was replaced, in words, if anything was.
    mutating func truncateAndAppend(_ added: ArraySlice<Entry>) -> String? {
        guard let from = added.first?.index else { return nil }
        if from == offset + UInt64(entries.count) {
            entries.append(contentsOf: added)
            return nil
        }
        if from <= offset {
            entries = EntryBuffer(Array(added))
            offset = from
            offsetInProgress = from
            return "replace the unstable entries from index \(from)"
        }
        precondition(
            from < offset + UInt64(entries.count), "entry \(from) leaves a gap after \(offset)+\(entries.count)")
        entries.truncate(to: Int(from - offset))
        entries.append(contentsOf: added)
        offsetInProgress = min(offsetInProgress, from)
        return "truncate the unstable entries before index \(from)"
    }
}
