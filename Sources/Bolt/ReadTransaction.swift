import Synchronization

/// One committed state of the database. Safe to use from several threads; its pages stay as they are until ``close()``,
/// or until the last reference goes. While it is open, pages it can reach are not reused, so the file may grow.
public final class ReadTransaction: @unchecked Sendable {
    private let database: Database
    let meta: Meta
    let space: PageSpace
    private let isClosed = Atomic<Bool>(false)

    init(database: Database, meta: Meta, space: PageSpace) {
        self.database = database
        self.meta = meta
        self.space = space
    }

    deinit { close() }

    /// The number of the transaction that made this state.
    public var id: UInt64 { meta.transaction }

    /// Bytes of the pages up to this state's high-water mark: the length of ``writeCopy(to:)``'s image.
    public var fileSize: Int { Int(meta.pageCount) * meta.pageSize }

    /// The bucket `name` of the top level, or nil when there is none. Throws `damagedPage`.
    public func bucket(_ name: [UInt8]) throws(BoltError) -> Bucket? {
        try rootBucket.bucket(name)
    }

    /// The names of the top level's buckets, in order. Throws `damagedPage`.
    public func bucketNames() throws(BoltError) -> [[UInt8]] {
        try rootBucket.bucketNames()
    }

    /// The bucket that holds the top level's buckets.
    var rootBucket: Bucket {
        Bucket(transaction: self, header: BucketHeader(root: meta.root, sequence: meta.sequence, inline: nil))
    }

    /// Lets the pages that only this state uses be reused. The transaction and what was borrowed from it must not be used
    /// afterwards.
    public func close() {
        guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        database.endRead(of: meta.transaction)
    }

    /// Bytes handed to the sink of ``writeCopy(to:)`` at once: large enough to make calls cheap, small enough to send on.
    private static let copyPieceSize = 256 << 10

    /// Gives `sink` the whole file of this state, ``fileSize`` bytes in order, as bbolt's `Tx.WriteTo` does: both meta
    /// pages describe this state, the second under a transaction number lower by one. The borrowed bytes are valid for the
    /// call. Throws what `sink` throws.
    public func writeCopy(to sink: (UnsafeRawBufferPointer) throws -> Void) throws {
        var second = meta
        second.transaction = max(meta.transaction, 1) - 1
        let metaPages = meta.page(slot: 0) + second.page(slot: 1)
        try metaPages.withUnsafeBytes(sink)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.copyPieceSize, alignment: 4096)
        defer { buffer.deallocate() }
        try withExtendedLifetime(self) {
            var offset = metaPages.count
            while offset < fileSize {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, fileSize - offset)])
                // Read, not taken from the mapping, because reading runs ahead on a disk that has not cached the file.
                if try database.read(into: piece, at: offset) {
                    try sink(UnsafeRawBufferPointer(piece))
                } else {
                    try sink(UnsafeRawBufferPointer(start: space.base + offset, count: piece.count))
                }
                offset += piece.count
            }
        }
    }
}
