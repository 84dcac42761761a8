import Disk

/// A tightly packed copy of a database, made piece by piece in order of buckets and keys while the original goes on.
///
/// Each piece is read from the state that is the newest when it begins, so no old state is held for long. What changes
/// meanwhile in front of the copy's position is read when the copy comes there; what changes behind it
/// (``hasCopied(bucket:key:)``) the owner writes into the copy with the next piece. When ``advance(bytes:records:catchingUp:)``
/// returns true the copy holds what the original held when that call began.
///
/// Its owner is the writer of the original: no commit of the original may run during a call.
public final class CompactCopy {
    /// The copy. It is not durable before ``makeDurable()``, whatever was committed to it.
    public let target: Database
    private let source: Database
    /// The buckets, from the top level down, that the position is in; empty on the top level.
    private var path: [[UInt8]] = []
    /// The last key or bucket of the innermost of them that is copied; nil at its beginning.
    private var last: [UInt8]?
    private var isComplete = false

    /// Begins the copy of `source` in a new file at `path`, where there must be none or an empty one. The page size and
    /// the kind of free list are the original's. Throws what opening throws.
    public init(of source: Database, at path: String, on disk: any Disk) throws(BoltError) {
        self.source = source
        var options = source.options
        options.pageSize = source.pageSize
        options.readOnly = false
        target = try Database(disk: disk, path: path, options: options)
        target.synchronizesCommits = false
    }

    /// Whether the entry `key` of the bucket `name` on the top level lies behind the position.
    public func hasCopied(bucket name: [UInt8], key: [UInt8]) -> Bool {
        if isComplete { return true }
        guard let open = path.first else {
            guard let last else { return false }
            return !last.lexicographicallyPrecedes(name)
        }
        if name != open { return name.lexicographicallyPrecedes(open) }
        guard let reached = path.count > 1 ? path[1] : last else { return false }
        return !reached.lexicographicallyPrecedes(key)
    }

    /// Copies entries until they make `bytes` bytes or are `records` many, after `catchingUp` has written what changed
    /// behind the position. Returns whether the copy is complete.
    ///
    /// After an error the copy is of no use. Throws what reading and committing throw.
    public func advance(
        bytes: Int, records: Int, catchingUp: (WriteTransaction) throws(BoltError) -> Void = { _ in }
    ) throws(BoltError) -> Bool {
        let state = try source.beginRead()
        defer { state.close() }
        var piece = Piece(bytes: bytes, records: records)
        return try advance(from: state, piece: &piece, catchingUp: catchingUp)
    }

    /// Returns when all that was committed to the copy is on stable storage; commits from then on are so by themselves.
    public func makeDurable() throws(BoltError) {
        try target.makeDurable()
    }

    /// Returns when the pieces so far are on stable storage, so that the last ones need not wait for all of them.
    public func synchronize() throws(BoltError) {
        try onDisk { () throws(DiskError) in try target.file.file.synchronize() }
    }

    /// How much one piece may still take.
    struct Piece {
        var bytes: Int
        var records: Int
        /// The root pages of the buckets that the piece went into, so that a damaged file's buckets within themselves
        /// end the copy.
        var roots = PageBits()

        var isFull: Bool { bytes <= 0 || records <= 0 }
    }

    func advance(
        from state: ReadTransaction, piece: inout Piece, catchingUp: (WriteTransaction) throws(BoltError) -> Void
    ) throws(BoltError) -> Bool {
        let write = try target.beginWrite()
        do throws(BoltError) {
            try catchingUp(write)
            while !isComplete && !piece.isFull { try copyOneBucket(from: state, to: write, &piece) }
        } catch {
            write.rollback()
            throw error
        }
        // Values are borrowed from `state` until here.
        try write.commit()
        return isComplete
    }

    /// Copies entries of the bucket at the position until it ends, a bucket inside it begins, or the piece is full.
    private func copyOneBucket(
        from state: ReadTransaction, to write: WriteTransaction, _ piece: inout Piece
    ) throws(BoltError) {
        var original = state.rootBucket
        for name in path {
            guard let next = try original.bucket(name) else { throw .bucketNotFound(name: name) }
            original = next
        }
        let copy = try open(path, in: write)
        if last == nil && original.sequence != 0 { try copy?.setSequence(original.sequence) }
        var cursor = original.cursor()
        // The least key above the last one is that with a zero behind it.
        var element = if let last { try cursor.seek(last + [0]) } else { try cursor.first() }
        var reached: UnsafeRawBufferPointer?
        defer { if let reached { last = [UInt8](reached) } }
        while let (key, value) = element {
            guard let value else {
                reached = nil
                return try enter([UInt8](key), of: original, &piece)
            }
            try copy?.putBorrowed(key, value)
            reached = key
            piece.bytes -= key.count + value.count
            piece.records -= 1
            if piece.isFull { return }
            element = try cursor.next()
        }
        reached = nil
        if let name = path.popLast() { last = name } else { isComplete = true }
    }

    /// Goes to the beginning of the bucket `name` in `parent`.
    private func enter(_ name: [UInt8], of parent: Bucket, _ piece: inout Piece) throws(BoltError) {
        guard path.count < BoltLimit.bucketDepth else { throw .bucketsTooDeep }
        guard let bucket = try parent.bucket(name) else { throw .bucketNotFound(name: name) }
        if bucket.header.root != 0 {
            // Read first, so that the page number is known to lie within the file.
            _ = try bucket.space.page(bucket.header.root)
            guard !piece.roots.contains(bucket.header.root) else {
                throw .damagedPage(id: bucket.header.root, defect: .usedTwice)
            }
            piece.roots.insert(bucket.header.root)
        }
        path.append(name)
        last = nil
        piece.records -= 1
    }

    /// The copy's bucket at `path`, made where needed; nil for the top level, which holds buckets only.
    private func open(_ path: [[UInt8]], in write: WriteTransaction) throws(BoltError) -> WritableBucket? {
        guard let first = path.first else { return nil }
        var bucket = try write.createBucket(ifAbsent: first)
        for name in path.dropFirst() { bucket = try bucket.createBucket(ifAbsent: name) }
        bucket.fillPercent = 0.9
        return bucket
    }
}

extension Database {
    /// Bytes and records after which ``compactCopy(to:on:)`` commits, so that its memory stays bounded (etcd's
    /// defragmentation commits every 10,000 records).
    private static let copyCommitSize = 8 << 20
    private static let copyCommitRecords = 10_000

    /// Copies all buckets of the newest state into a new file at `path`, as ``CompactCopy`` does. The copy is durable when
    /// this returns. Throws what opening, reading and committing throw.
    public func compactCopy(to path: String, on disk: any Disk) throws(BoltError) {
        let state = try beginRead()
        defer { state.close() }
        let copy = try CompactCopy(of: self, at: path, on: disk)
        defer { copy.target.close() }
        var piece = CompactCopy.Piece(bytes: 0, records: 0)
        repeat {
            piece.bytes = Self.copyCommitSize
            piece.records = Self.copyCommitRecords
        } while try !copy.advance(from: state, piece: &piece, catchingUp: { _ in })
        try copy.makeDurable()
    }
}
