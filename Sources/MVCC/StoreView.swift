import Backend
import Synchronization
import WireFormat

/// The store at one revision, immutable and readable from any thread.
///
/// It pins memory of the index and pages of the file, so a reader takes one per request and lets it go.
public final class StoreView: Sendable {
    /// The newest revision that the view shows.
    public let currentRevision: Int64
    /// Revisions below this one cannot be read; -1 when the store was never compacted.
    public let compactedRevision: Int64

    private let index: IndexSnapshot
    private let backend: BackendView

    init(index: IndexSnapshot, backend: BackendView, currentRevision: Int64, compactedRevision: Int64) {
        self.index = index
        self.backend = backend
        self.currentRevision = currentRevision
        self.compactedRevision = compactedRevision
    }

    private var reader: RangeReader {
        RangeReader(
            index: index.reader, backend: backend, currentRevision: currentRevision,
            compactedRevision: compactedRevision)
    }

    /// Visits the key-values of a range in ascending key order.
    ///
    /// - Parameters:
    ///   - key: The first key.
    ///   - end: The key behind the last one; nil for `key` alone, a single zero byte for all keys from `key` on.
    ///   - revision: The revision to read at, 0 for the current one.
    ///   - limit: The most key-values to visit, 0 for all.
    ///   - countOnly: Whether to count without visiting.
    ///   - visit: Gets each key-value; its pointers are valid during the call.
    /// - Returns: How many key-values the whole range has, whatever the limit, and the view's current revision.
    public func range(
        key: UnsafeRawBufferPointer, end: UnsafeRawBufferPointer?, revision: Int64 = 0, limit: Int = 0,
        countOnly: Bool = false, visit: (RawKeyValue) -> Void
    ) throws(StoreError) -> (count: Int, revision: Int64) {
        let count = try reader.range(
            KeyRange(start: key, end: end), at: revision, limit: limit, countOnly: countOnly, visit: visit)
        return (count, currentRevision)
    }

    /// Visits the key-values of a range, see ``range(key:end:revision:limit:countOnly:visit:)-(UnsafeRawBufferPointer,_,_,_,_,_)``.
    public func range(
        key: [UInt8], end: [UInt8]?, revision: Int64 = 0, limit: Int = 0, countOnly: Bool = false,
        visit: (RawKeyValue) -> Void
    ) throws(StoreError) -> (count: Int, revision: Int64) {
        let count = try withRange(key, end) { (range) throws(StoreError) in
            try reader.range(range, at: revision, limit: limit, countOnly: countOnly, visit: visit)
        }
        return (count, currentRevision)
    }

    /// Visits the key-values of a range in ascending key order until `visit` returns false, for one who reads a large range
    /// in pieces.
    ///
    /// - Parameters:
    ///   - key: The first key.
    ///   - end: The key behind the last one; a single zero byte for all keys from `key` on.
    ///   - revision: The revision to read at, 0 for the current one.
    ///   - visit: Gets each key-value; its pointers are valid during the call.
    public func scan(
        from key: [UInt8], to end: [UInt8], revision: Int64, visit: (RawKeyValue) -> Bool
    ) throws(StoreError) {
        let reader = self.reader
        try withRange(key, end) { (range) throws(StoreError) in
            try reader.scan(range, at: revision, visit: visit)
        }
    }

    /// Calls `body` with the stored bytes of the key-value that a change made, valid during the call. The change must be
    /// one that a range of this view has visited.
    public func withKeyValue(
        at revision: Revision, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(StoreError) {
        let found: Bool
        do throws(BackendError) {
            found = try backend.withValue(main: revision.main, sub: revision.sub, body)
        } catch {
            throw .backend(error)
        }
        guard found else { throw .corrupt(revision: revision, what: "it was in the file before") }
    }

    /// Visits all changes from the revision `from` through `through` in revision order, as a watcher that lags behind
    /// needs them.
    ///
    /// The read ends after the revision with which the visited bytes reach `byteLimit`, always with a whole revision.
    /// - Returns: The revision to go on with; `through + 1`, or one behind the current revision, when nothing is left.
    /// - Throws: ``StoreError/compacted(_:)`` when `from` lies below the compacted revision.
    public func changes(
        from: Int64, through: Int64, byteLimit: Int, visit: (RawChange) -> Void
    ) throws(StoreError) -> Int64 {
        if from < compactedRevision { throw .compacted(compactedRevision) }
        let last = min(through, currentRevision)
        if from > last { return from }
        var bytes = 0
        var reached = from
        var next = last + 1
        var failure: StoreError?
        do throws(BackendError) {
            try backend.forEach(fromMain: from) { key, value in
                if key.main > last { return false }
                if key.main > reached && bytes >= byteLimit {
                    next = key.main
                    return false
                }
                reached = key.main
                bytes += value.count
                let revision = Revision(main: key.main, sub: key.sub)
                guard let fields = try? StoredKeyValue.fields(value) else {
                    failure = .corrupt(revision: revision, what: "the key-value cannot be decoded")
                    return false
                }
                if key.isTombstone {
                    let event = StoredKeyValue.encodeDeletion(key: fields.key, modRevision: key.main)
                    event.withUnsafeBytes {
                        visit(RawChange(isDelete: true, revision: revision, key: fields.key, encoded: $0))
                    }
                } else {
                    visit(RawChange(isDelete: false, revision: revision, key: fields.key, encoded: value))
                }
                return true
            }
        } catch {
            throw .backend(error)
        }
        if let failure { throw failure }
        return next
    }

    /// The hash of the history up to the revision, 0 for the current one; see ``RevisionHash``.
    public func hashByRevision(_ revision: Int64) throws(StoreError) -> RevisionHash {
        try RevisionHash.compute(
            revision, index: index.reader, backend: backend, currentRevision: currentRevision,
            compactedRevision: compactedRevision)
    }
}

/// Calls `body` with the range of two keys.
func withRange<Result>(
    _ key: [UInt8], _ end: [UInt8]?, _ body: (KeyRange) throws(StoreError) -> Result
) throws(StoreError) -> Result {
    try key.span.withUnsafeBytes { (start) throws(StoreError) in
        guard let end else { return try body(KeyRange(start: start, end: nil)) }
        return try end.span.withUnsafeBytes { (end) throws(StoreError) in
            try body(KeyRange(start: start, end: end))
        }
    }
}

/// Hands the newest view from the owner to readers on other threads.
public final class StorePublisher: Sendable {
    private let view: Mutex<StoreView>

    init(_ view: StoreView) {
        self.view = Mutex(view)
    }

    /// The newest published view.
    public func latest() -> StoreView {
        view.withLock { $0 }
    }

    func publish(_ replacement: StoreView) {
        // The view before goes after the lock is released, since its end may free memory.
        let previous = view.withLock { view in
            let previous = view
            view = replacement
            return previous
        }
        withExtendedLifetime(previous) {}
    }
}
