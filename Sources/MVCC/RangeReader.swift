import Backend

/// A key range as requests name it.
struct KeyRange {
    let start: UnsafeRawBufferPointer
    /// Nil for the single key `start`.
    let end: UnsafeRawBufferPointer?

    /// Whether the range has all keys from `start` on, which requests write as the end `\0`.
    private var isUnbounded: Bool {
        guard let end else { return false }
        return end.count == 1 && end[0] == 0
    }

    /// The end as the index takes it: nil for none. Not for a single key.
    var bound: UnsafeRawBufferPointer? { isUnbounded ? nil : end }

    /// Whether the range holds nothing because its end is not above its start.
    var isEmpty: Bool {
        guard let bound else { return false }
        return KeyOrder.compare(start, bound) >= 0
    }
}

/// Answers ranges from one version of the index and the backend.
struct RangeReader {
    let index: IndexReader
    let backend: BackendView
    /// The newest revision that the version shows.
    let currentRevision: Int64
    let compactedRevision: Int64

    /// The revision to read at: `requested`, or the current one for 0 and below.
    func revision(for requested: Int64) throws(StoreError) -> Int64 {
        if requested > currentRevision { throw .futureRevision(currentRevision) }
        if requested <= 0 { return currentRevision }
        if requested < compactedRevision { throw .compacted(compactedRevision) }
        return requested
    }

    /// Visits up to `limit` (0: all) key-values of the range in key order and returns how many the whole range has.
    func range(
        _ range: KeyRange, at requested: Int64, limit: Int, countOnly: Bool, visit: (RawKeyValue) -> Void
    ) throws(StoreError) -> Int {
        let revision = try revision(for: requested)
        if range.end == nil {
            guard let state = index.state(of: range.start, at: revision) else { return 0 }
            if !countOnly { try self.visit(range.start, state, visit) }
            return 1
        }
        if range.isEmpty { return 0 }
        // The index keeps counts of what lives now, so only a range in the past has to be walked to be counted.
        let isCurrent = revision == currentRevision
        if countOnly && isCurrent { return index.liveCount(from: range.start, to: range.bound) }
        var count = 0
        var failure: StoreError?
        index.forEach(from: range.start, to: range.bound) { key, record in
            guard let state = record.pointee.state(at: revision), !state.isTombstone else { return true }
            count += 1
            if countOnly || (limit > 0 && count > limit) { return !isCurrent }
            do throws(StoreError) {
                try self.visit(key.bytes, state, visit)
            } catch {
                failure = error
                return false
            }
            return true
        }
        if let failure { throw failure }
        if isCurrent && limit > 0 && count > limit { return index.liveCount(from: range.start, to: range.bound) }
        return count
    }

    /// Visits the key-values of the range in key order until `visit` returns false.
    func scan(_ range: KeyRange, at requested: Int64, visit: (RawKeyValue) -> Bool) throws(StoreError) {
        let revision = try revision(for: requested)
        if range.isEmpty { return }
        var failure: StoreError?
        index.forEach(from: range.start, to: range.bound) { key, record in
            guard let state = record.pointee.state(at: revision), !state.isTombstone else { return true }
            var goesOn = true
            do throws(StoreError) {
                try self.visit(key.bytes, state) { goesOn = visit($0) }
            } catch {
                failure = error
                return false
            }
            return goesOn
        }
        if let failure { throw failure }
    }

    @inline(__always)
    private func visit(
        _ key: UnsafeRawBufferPointer, _ state: KeyState, _ visit: (RawKeyValue) -> Void
    ) throws(StoreError) {
        try withStored(state) { bytes in
            visit(
                RawKeyValue(
                    key: key, encoded: bytes, createRevision: state.created, modRevision: state.main,
                    subRevision: Int64(state.sub), version: state.version, hasLease: state.isLeased))
        }
    }

    /// Calls `body` with the stored bytes of a state that is no tombstone.
    @inline(__always)
    private func withStored(_ state: KeyState, _ body: (UnsafeRawBufferPointer) -> Void) throws(StoreError) {
        let found: Bool
        do throws(BackendError) {
            found = try backend.withValue(main: state.main, sub: Int64(state.sub), body)
        } catch {
            throw .backend(error)
        }
        guard found else {
            throw .corrupt(revision: state.revision, what: "the index knows it and the file does not hold it")
        }
    }

    /// The lease in the stored bytes of a state, 0 for none.
    func lease(of state: KeyState) throws(StoreError) -> Int64 {
        guard state.isLeased, !state.isTombstone else { return 0 }
        var lease: Int64?
        try withStored(state) { lease = try? StoredKeyValue.fields($0).lease }
        guard let lease else { throw .corrupt(revision: state.revision, what: "the key-value cannot be decoded") }
        return lease
    }
}
