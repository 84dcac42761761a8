import Disk

/// Changes to the database that become the newest state together, or not at all. Used by one thread at a time; a
/// transaction that goes without ``commit()`` is rolled back.
public final class WriteTransaction {
    private let scope: WriteScope
    private let meta: Meta
    private let root: WritableBucket

    init(database: Database, meta: Meta, space: PageSpace) {
        self.meta = meta
        self.scope = WriteScope(database: database, space: space)
        self.root = WritableBucket(
            scope: scope, header: BucketHeader(root: meta.root, sequence: meta.sequence, inline: nil))
    }

    deinit { rollback() }

    /// The bucket `name` of the top level, made when there is none. Throws `incompatibleValue`, `keyRequired`,
    /// `keyTooLarge` and `damagedPage`.
    public func createBucket(ifAbsent name: [UInt8]) throws(BoltError) -> WritableBucket {
        try root.createBucket(ifAbsent: name)
    }

    /// The bucket `name` of the top level, or nil when there is none. Throws `damagedPage`.
    public func bucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket? {
        try root.bucket(name)
    }

    /// The names of the top level's buckets, in order. Throws `damagedPage`.
    public func bucketNames() throws(BoltError) -> [[UInt8]] {
        try root.bucketNames()
    }

    /// Deletes the bucket `name` of the top level with all that is in it. Throws `bucketNotFound` and `damagedPage`.
    public func deleteBucket(_ name: [UInt8]) throws(BoltError) {
        try root.deleteBucket(name)
    }

    /// Makes the changes durable and the newest state. When this throws, the database is at its previous state; after a
    /// failure of the last steps, when the file may hold either state, it also takes no more writes.
    public func commit() throws(BoltError) {
        guard scope.isOpen else { throw .transactionFinished }
        let database = scope.database
        var next = meta
        do throws(BoltError) {
            if let damage = scope.damage { throw damage }
            guard let rootPage = try root.settleRoot() else { return rollback() }
            next.root = rootPage
            next.transaction = database.nextTransaction(after: meta)
            try storeFreeList(&next)
            next.pageCount = database.freePages.pageCount
            let end = Int(next.pageCount) * next.pageSize
            try database.writer.flush(to: database.file)
            try database.file.grow(to: end)
            try database.file.map(atLeast: end)
        } catch {
            rollback()
            throw error
        }
        do throws(BoltError) {
            try database.store(next)
        } catch {
            scope.isOpen = false
            database.endWrite(refusal: error.description)
            throw error
        }
        scope.isOpen = false
        database.publish(next)
    }

    /// Drops the changes. Does nothing on a finished transaction.
    public func rollback() {
        guard scope.isOpen else { return }
        scope.isOpen = false
        scope.database.endWrite()
    }

    private func storeFreeList(_ next: inout Meta) throws(BoltError) {
        let database = scope.database
        if meta.freeList != Format.noFreeList {
            try database.freePages.free(try FreeListPage.run(of: meta.freeList, in: scope.space))
        }
        guard database.options.synchronizesFreelist else {
            next.freeList = Format.noFreeList
            return
        }
        let pages = FreeListPage.pages(count: database.freePages.storedCount, pageSize: next.pageSize)
        let run = database.freePages.take(pages)
        let ids = database.freePages.storedIDs
        let used = FreeListPage.size(count: ids.count)
        let room = try database.writer.room(for: run, used: used, in: database.file)
        FreeListPage.store(ids, at: room, run: run)
        next.freeList = run.start
    }
}

/// What a write transaction's buckets share.
final class WriteScope {
    let database: Database
    /// The pages of the state that the transaction started from.
    let space: PageSpace
    var isOpen = true
    /// A failure that left a change half made; the transaction cannot be committed.
    var damage: BoltError?

    init(database: Database, space: PageSpace) {
        self.database = database
        self.space = space
    }

    var pageSize: Int { space.pageSize }
}
