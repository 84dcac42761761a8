import RaftMessages

/// A log kept in memory; a durable member writes the same changes to its write-ahead log first.
public final class MemoryLogStorage: LogStorage {
    private var hardState = HardState()
    private var latestSnapshot = Snapshot()
    /// The entry before the first one kept: what the snapshot stands for.
    private var beforeFirst = Entry()
    private var kept = EntryBuffer()

    public init() {}

    public func initialState() -> (hardState: HardState, confState: ConfState) {
        (hardState, latestSnapshot.metadata.confState)
    }

    public func setHardState(_ state: HardState) { hardState = state }

    /// The hard state last set.
    public var currentHardState: HardState { hardState }

    public var firstIndex: UInt64 { beforeFirst.index + 1 }
    public var lastIndex: UInt64 { beforeFirst.index + UInt64(kept.count) }

    public func term(of index: UInt64) throws(LogStorageError) -> UInt64 {
        if index < beforeFirst.index { throw .compacted }
        if index == beforeFirst.index { return beforeFirst.term }
        if index > lastIndex { throw .unavailable }
        return kept[Int(index - firstIndex)].term
    }

    public func entries(_ range: Range<UInt64>, maximumSize: UInt64) throws(LogStorageError) -> [Entry] {
        if range.lowerBound <= beforeFirst.index { throw .compacted }
        if range.upperBound > lastIndex + 1 { throw .unavailable }
        if range.isEmpty { return [] }
        let slice = kept.slice(Int(range.lowerBound - firstIndex)..<Int(range.upperBound - firstIndex))
        return Array(slice.prefix(slice.countFitting(maximumSize)))
    }

    public func snapshot() throws(LogStorageError) -> Snapshot { latestSnapshot }

    /// Replaces everything by `snapshot`.
    /// - Throws: `snapshotOutOfDate` if the one in storage is as new.
    public func applySnapshot(_ snapshot: Snapshot) throws(LogStorageError) {
        if latestSnapshot.metadata.index >= snapshot.metadata.index && !(snapshot.isEmpty && latestSnapshot.isEmpty) {
            throw .snapshotOutOfDate
        }
        latestSnapshot = snapshot
        beforeFirst = Entry(term: snapshot.metadata.term, index: snapshot.metadata.index)
        kept = EntryBuffer()
    }

    /// Makes the state at `index` the latest snapshot; the log is left as it is.
    /// - Parameter confState: The configuration at `index`, if it changed since the last snapshot.
    /// - Throws: `snapshotOutOfDate` if the latest one is as new, `unavailable` if the log does not reach `index`.
    @discardableResult
    public func createSnapshot(
        at index: UInt64, confState: ConfState?, data: [UInt8]
    ) throws(LogStorageError) -> Snapshot {
        if index <= latestSnapshot.metadata.index { throw .snapshotOutOfDate }
        let term = try term(of: index)
        latestSnapshot.metadata.index = index
        latestSnapshot.metadata.term = term
        if let confState { latestSnapshot.metadata.confState = confState }
        latestSnapshot.data = data
        return latestSnapshot
    }

    /// Discards the entries up to and with `index`, which must have been applied.
    /// - Throws: `compacted` if they already are, `unavailable` if the log does not reach `index`.
    public func compact(to index: UInt64) throws(LogStorageError) {
        if index <= beforeFirst.index { throw .compacted }
        let term = try term(of: index)
        kept.removeFirst(Int(index - beforeFirst.index))
        beforeFirst = Entry(term: term, index: index)
    }

    /// Appends `entries`, which follow one another; those in storage from the first of them on are replaced.
    public func append(_ entries: [Entry]) {
        guard let first = entries.first, let last = entries.last, last.index >= firstIndex else { return }
        let skipped = first.index < firstIndex ? Int(firstIndex - first.index) : 0
        let start = first.index + UInt64(skipped)
        precondition(start <= lastIndex + 1, "missing log entries between \(lastIndex) and \(start)")
        kept.truncate(to: Int(start - firstIndex))
        if skipped == 0 {
            kept.append(contentsOf: entries)
        } else {
            kept.append(contentsOf: entries[skipped...])
        }
    }
}
