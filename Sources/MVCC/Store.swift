import Backend

/// The key space with its history.
///
/// One thread, the owner, calls everything here; other threads read through the views of ``publisher``. A write
/// transaction is `begin()`, any number of writes and ranges, `end()`; its changes share one revision.
public final class Store {
    /// Where the store keeps its data.
    public let backend: Backend
    /// Hands views to readers on other threads.
    public let publisher: StorePublisher
    /// The revision of the newest transaction that wrote; 1 when there was none.
    public internal(set) var currentRevision: Int64
    /// The revision of the newest accepted compaction; -1 when there was none, as etcd reports it.
    public internal(set) var compactedRevision: Int64
    /// The newest revision whose compaction is complete; -1 when there is none.
    public internal(set) var finishedCompaction: Int64
    /// The changes that compactions have dropped since this store was made.
    public internal(set) var droppedChanges = 0

    let index: KeyIndex
    var compaction: CompactionProgress?
    private var restoredLeases: [(key: [UInt8], lease: Int64)]
    private var changes: [Change] = []
    /// Whether a write transaction is open.
    private(set) var isWriting = false

    /// Restores the store from what the backend holds. A compaction that was accepted and not completed is taken up
    /// again by ``compactionStep(limit:)``. A store that takes another's place takes over its `publisher`, which shows
    /// the other one's views until ``publish()`` is called.
    public init(backend: Backend, publisher: StorePublisher? = nil) throws(StoreError) {
        let restored = try Restoration.run(backend)
        self.backend = backend
        index = restored.index
        currentRevision = restored.currentRevision
        compactedRevision = restored.compactedRevision
        finishedCompaction = restored.finishedCompaction
        restoredLeases = restored.leases
        if restored.finishedCompaction < restored.compactedRevision {
            compaction = CompactionProgress(revision: restored.compactedRevision)
        }
        self.publisher =
            publisher
            ?? StorePublisher(
                StoreView(
                    index: restored.index.snapshot(), backend: backend.view(),
                    currentRevision: restored.currentRevision, compactedRevision: restored.compactedRevision))
    }

    /// The keys that were found attached to leases when the store was restored. The list is handed out once.
    public func takeRestoredLeases() -> [(key: [UInt8], lease: Int64)] {
        defer { restoredLeases = [] }
        return restoredLeases
    }

    /// The number of keys that exist at the current revision.
    public var keyCount: Int { index.reader.liveCount }

    // MARK: Transactions

    /// Begins a write transaction.
    public func begin() {
        precondition(!isWriting, "write transactions do not nest")
        isWriting = true
    }

    /// Sets `key` and returns the transaction's revision. `lease` is 0 for none.
    @discardableResult
    public func put(key: [UInt8], value: [UInt8], lease: Int64) -> Int64 {
        key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in put(key: key, value: value, lease: lease) }
        }
    }

    /// Sets `key` and returns the transaction's revision. `lease` is 0 for none.
    @discardableResult
    public func put(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, lease: Int64) -> Int64 {
        precondition(isWriting, "writes belong to a transaction")
        let main = currentRevision + 1
        let sub = Int64(changes.count)
        let outcome = index.put(key, main: main, sub: sub, isLeased: lease != 0)
        let bytes = StoredKeyValue.encode(
            key: key, value: value, createRevision: outcome.state.created, modRevision: main,
            version: outcome.state.version, lease: lease)
        let previousLease = storedLease(outcome.previous)
        backend.appendKeyValue(RevisionKey(main: main, sub: sub), bytes)
        changes.append(
            Change(
                isDelete: false, encodedKeyValue: bytes, revision: Revision(main: main, sub: sub),
                createRevision: outcome.state.created, version: outcome.state.version, lease: lease,
                previousLease: previousLease))
        return main
    }

    /// Deletes the keys from `key` on and below `end`, or `key` alone when `end` is nil, and returns how many there were.
    @discardableResult
    public func deleteRange(key: [UInt8], end: [UInt8]?) -> Int {
        precondition(isWriting, "writes belong to a transaction")
        let before = changes.count
        let reader = index.reader
        guard let end else {
            key.withUnsafeBytes { key in
                if reader.state(of: key, at: .max) != nil { delete(key) }
            }
            return changes.count - before
        }
        // A key's bytes stay where they are as long as the index knows it, so they can be noted and used afterwards.
        var found: [KeyBytes] = []
        key.withUnsafeBytes { start in
            end.withUnsafeBytes { end in
                let range = KeyRange(start: start, end: end)
                if range.isEmpty { return }
                reader.forEach(from: start, to: range.bound) { key, record in
                    if !record.pointee.current.isTombstone { found.append(key) }
                    return true
                }
            }
        }
        for key in found { delete(key.bytes) }
        return changes.count - before
    }

    private func delete(_ key: UnsafeRawBufferPointer) {
        let main = currentRevision + 1
        let sub = Int64(changes.count)
        guard let previous = index.tombstone(key, main: main, sub: sub) else { return }
        let previousLease = storedLease(previous)
        backend.appendKeyValue(
            RevisionKey(main: main, sub: sub, isTombstone: true), StoredKeyValue.encodeTombstone(key: key))
        changes.append(
            Change(
                isDelete: true, encodedKeyValue: StoredKeyValue.encodeDeletion(key: key, modRevision: main),
                revision: Revision(main: main, sub: sub), createRevision: 0, version: 0, lease: 0,
                previousLease: previousLease))
    }

    /// Ends the write transaction. Views published from now on show it.
    public func end() -> Commit {
        precondition(isWriting, "a transaction ends after it began")
        isWriting = false
        if !changes.isEmpty { currentRevision += 1 }
        defer { changes = [] }
        return Commit(revision: currentRevision, changes: changes)
    }

    // MARK: Reading by the owner

    /// The newest revision that a read sees: within a transaction that has written, the one that it makes.
    public var visibleRevision: Int64 { changes.isEmpty ? currentRevision : currentRevision + 1 }

    private var reader: RangeReader {
        RangeReader(
            index: index.reader, backend: backend.view(), currentRevision: visibleRevision,
            compactedRevision: compactedRevision)
    }

    /// Visits the key-values of a range as ``StoreView`` does; within a transaction its own writes are seen, and the
    /// returned revision is the transaction's once it has written.
    public func range(
        key: UnsafeRawBufferPointer, end: UnsafeRawBufferPointer?, revision: Int64 = 0, limit: Int = 0,
        countOnly: Bool = false, visit: (RawKeyValue) -> Void
    ) throws(StoreError) -> (count: Int, revision: Int64) {
        let reader = reader
        let count = try reader.range(
            KeyRange(start: key, end: end), at: revision, limit: limit, countOnly: countOnly, visit: visit)
        return (count, reader.currentRevision)
    }

    /// Visits the key-values of a range as ``StoreView`` does, the transaction's own writes included.
    public func range(
        key: [UInt8], end: [UInt8]?, revision: Int64 = 0, limit: Int = 0, countOnly: Bool = false,
        visit: (RawKeyValue) -> Void
    ) throws(StoreError) -> (count: Int, revision: Int64) {
        try withRange(key, end) { (keys) throws(StoreError) in
            try range(
                key: keys.start, end: keys.end, revision: revision, limit: limit, countOnly: countOnly, visit: visit)
        }
    }

    /// The lease that `key` is attached to now, 0 for none or when the key does not exist.
    public func lease(of key: [UInt8]) throws(StoreError) -> Int64 {
        let state = key.withUnsafeBytes { index.reader.record(of: $0)?.pointee.current }
        guard let state else { return 0 }
        return try reader.lease(of: state)
    }

    /// The lease of a state that a write replaces.
    private func storedLease(_ state: KeyState?) -> Int64 {
        guard let state, state.isLeased, !state.isTombstone else { return 0 }
        do throws(StoreError) {
            return try reader.lease(of: state)
        } catch {
            // The file no longer holds what was written to it. Going on would spread the damage to what clients see.
            preconditionFailure("the key-value that a write replaces must be readable: \(error)")
        }
    }

    // MARK: Publication

    /// The store as it is now. Not inside a transaction.
    public func view() -> StoreView {
        precondition(!isWriting, "a view is taken between transactions")
        return StoreView(
            index: index.snapshot(), backend: backend.view(), currentRevision: currentRevision,
            compactedRevision: compactedRevision)
    }

    /// Makes the present state the one that readers get: called once per applied batch, and after each finished commit so
    /// that readers let go of the file's old pages.
    @discardableResult
    public func publish() -> StoreView {
        let view = view()
        publisher.publish(view)
        return view
    }
}
