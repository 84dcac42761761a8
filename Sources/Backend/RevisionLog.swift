/// One change that waits for its commit: its revision and the stored bytes of the key-value.
struct RevisionEntry {
    var key: RevisionKey
    var value: [UInt8]
}

/// A fixed run of entries, each written once.
///
/// The owner writes behind what has been handed out; a reader looks only at the entries that its ``RevisionLogView``
/// counts, which were complete before the view was published. So neither needs a lock.
final class RevisionChunk: @unchecked Sendable {
    /// Large enough that the list of chunks stays short, small enough that a lone put does not cost a page of memory per
    /// commit: 512 entries are 16 KiB.
    static let capacity = 512

    let entries: UnsafeMutablePointer<RevisionEntry>
    /// How many entries are written; for the owner alone.
    private(set) var count = 0

    init() {
        entries = .allocate(capacity: Self.capacity)
    }

    deinit {
        entries.deinitialize(count: count)
        entries.deallocate()
    }

    func append(_ entry: consuming RevisionEntry) {
        precondition(count < Self.capacity, "a chunk of the revision log takes no more than its capacity")
        (entries + count).initialize(to: entry)
        count += 1
    }
}

/// The changes of one generation in ascending order of revision, appended to by the owner.
struct RevisionLog {
    private var chunks: [RevisionChunk] = []
    private var last: RevisionKey?
    private(set) var count = 0

    /// Appends a change, whose revision must be above all before it.
    mutating func append(_ key: RevisionKey, _ value: consuming [UInt8]) {
        if let last { precondition(last < key, "changes are appended in ascending order of revision") }
        last = key
        if count == chunks.count * RevisionChunk.capacity { chunks.append(RevisionChunk()) }
        chunks[chunks.count - 1].append(RevisionEntry(key: key, value: value))
        count += 1
    }

    /// What has been appended so far; later appends do not show in it.
    var view: RevisionLogView { RevisionLogView(chunks: chunks, count: count) }
}

/// An immutable prefix of a ``RevisionLog``.
struct RevisionLogView: Sendable {
    private let chunks: [RevisionChunk]
    let count: Int

    static let empty = RevisionLogView(chunks: [], count: 0)

    init(chunks: [RevisionChunk], count: Int) {
        self.chunks = chunks
        self.count = count
    }

    /// The entry at `index`, valid as long as this view.
    subscript(index: Int) -> UnsafePointer<RevisionEntry> {
        UnsafePointer(chunks[index / RevisionChunk.capacity].entries + index % RevisionChunk.capacity)
    }

    /// The index of the first entry at or above the revision, or ``count``.
    func lowerBound(main: Int64, sub: Int64) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            let key = self[middle].pointee.key
            if key.main < main || (key.main == main && key.sub < sub) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// The entry of the revision, or nil.
    func find(main: Int64, sub: Int64) -> UnsafePointer<RevisionEntry>? {
        guard count > 0, self[0].pointee.key.main <= main else { return nil }
        let index = lowerBound(main: main, sub: sub)
        guard index < count else { return nil }
        let entry = self[index]
        return entry.pointee.key.main == main && entry.pointee.key.sub == sub ? entry : nil
    }
}
