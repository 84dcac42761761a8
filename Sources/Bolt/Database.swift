import Disk
import Synchronization

/// A bbolt file: named buckets of ordered keys and values, with one writer and any number of readers at a time.
///
/// ``beginRead()`` and the transactions it returns may be used from any thread. ``beginWrite()``, the transaction it
/// returns, and ``close()`` may be used from any thread but by one at a time.
public final class Database: @unchecked Sendable {
    /// The path that the file was opened by.
    public let path: String
    let options: DatabaseOptions
    /// What readers and the writer share.
    private let shared: Mutex<Shared>

    // Owned by the writer.
    let file: DatabaseFile
    let writer: PageWriter
    let arena = Arena()
    var freePages: FreePages
    /// The meta page, 0 or 1, that holds the newest state.
    private var currentSlot: UInt64
    /// Whether the other meta page describes the same state.
    private var otherSlotIsSame: Bool
    /// Whether a commit returns only when it is on stable storage. Without, ``makeDurable()`` is what makes it so, and a
    /// crash before that may leave anything: for a file that is still being made.
    var synchronizesCommits = true

    private struct Shared {
        var meta: Meta
        var space: PageSpace
        /// How many readers are open for each state.
        var readers: [UInt64: Int] = [:]
        var hasWriter = false
        var isClosed = false
        var refusal: String?
        var freeCount: UInt64
    }

    /// Opens the file at `path` and takes its lock. An absent or empty file is created with an empty root bucket.
    ///
    /// - Parameters:
    ///   - disk: where the file is.
    ///   - path: the file's path.
    ///   - options: how to open it.
    ///   - waitingForLock: called once when another process holds the lock, before waiting for it.
    /// - Throws: `disk`, `invalidFile` when no meta page is valid or the file is shorter than it says, and `damagedPage`
    ///   when the free list cannot be read or rebuilt.
    public init(
        disk: any Disk, path: String, options: DatabaseOptions = .init(), waitingForLock: (() -> Void)? = nil
    ) throws(BoltError) {
        let opened = try Self.lockedFile(disk, path, options, waitingForLock)
        var complete = false
        defer { if !complete { opened.close() } }
        if !options.readOnly { try NewFile.create(opened, disk: disk, pageSize: options.pageSize) }
        let length = try onDisk { () throws(DiskError) in try opened.size() }
        let (meta, slot, otherIsSame) = try Self.currentMeta(of: opened, length: length)
        self.path = path
        self.options = options
        self.currentSlot = slot
        self.otherSlotIsSame = otherIsSame
        self.file = try DatabaseFile(opened, mapLength: options.initialMapLength)
        self.writer = PageWriter(pageSize: meta.pageSize)
        let space = file.space(pageSize: meta.pageSize, pageCount: meta.pageCount)
        var free: [UInt64] = []
        if !options.readOnly {
            if meta.freeList == Format.noFreeList {
                free = try Reachability.freeIDs(in: space, of: opened, root: meta.root)
            } else {
                free = try FreeListPage.load(meta.freeList, in: space)
            }
        }
        self.freePages = FreePages(pageCount: meta.pageCount, free: free)
        self.shared = Mutex(Shared(meta: meta, space: space, freeCount: UInt64(free.count)))
        complete = true
    }

    private static func lockedFile(
        _ disk: any Disk, _ path: String, _ options: DatabaseOptions, _ waitingForLock: (() -> Void)?
    ) throws(BoltError) -> any DiskFile {
        precondition(
            BoltLimit.pageSizes.contains(options.pageSize) && options.pageSize & (options.pageSize - 1) == 0,
            "the page size of a Bolt file is a power of two from 1 KiB to 16 MiB")
        return try onDisk { () throws(DiskError) in
            var hasTold = false
            while true {
                let file = try disk.open(path, options.readOnly ? .read : .create)
                if try file.lock(wait: false) { return file }
                if !hasTold { waitingForLock?() }
                hasTold = true
                _ = try file.lock(wait: true)
                // Whoever had the lock may have put another file in the place of this one.
                if try file.isNamed(path, on: disk) { return file }
                file.close()
            }
        }
    }

    /// The valid meta page with the higher transaction number, and whether the other one describes the same state.
    private static func currentMeta(
        of file: any DiskFile, length: Int
    ) throws(BoltError) -> (meta: Meta, slot: UInt64, otherIsSame: Bool) {
        let first = try meta(in: file, at: 0)
        var second: Meta?
        // Without the first meta page, the second is looked for wherever a page size could have put it.
        var pageSize = first?.pageSize ?? BoltLimit.pageSizes.lowerBound
        let largest = first?.pageSize ?? BoltLimit.pageSizes.upperBound
        while second == nil && pageSize <= largest {
            second = try meta(in: file, at: pageSize)
            if second?.pageSize != pageSize { second = nil }
            pageSize *= 2
        }
        guard let meta = [first, second].compactMap({ $0 }).max(by: { $0.transaction < $1.transaction }) else {
            throw .invalidFile(path: file.path, reason: "not a Bolt file: neither meta page is valid")
        }
        guard meta.pageCount > Format.firstDataPage, meta.pageCount <= UInt64(length / meta.pageSize) else {
            throw .invalidFile(
                path: file.path,
                reason: "\(length) bytes long, but its meta page counts \(meta.pageCount) pages of \(meta.pageSize)")
        }
        let isFirst = first == meta
        let other = isFirst ? second : first
        return (meta, isFirst ? 0 : 1, other.map { $0.describesSameState(as: meta) } ?? false)
    }

    private static func meta(in file: any DiskFile, at offset: Int) throws(BoltError) -> Meta? {
        let bytes = try onDisk { () throws(DiskError) in try file.read(at: offset, count: Meta.storedSize) }
        return bytes.withUnsafeBytes { Meta(page: $0) }
    }

    /// The number of the transaction that changes the state of `meta`. Its parity says which meta page it is written to,
    /// and that must not be the only one that describes the newest state, so a number may be left out.
    func nextTransaction(after meta: Meta) -> UInt64 {
        let next = meta.transaction &+ 1
        return next & 1 == currentSlot && !otherSlotIsSame ? next &+ 1 : next
    }

    /// Makes the written pages durable, then the meta page that refers to them.
    func store(_ meta: Meta) throws(BoltError) {
        let slot = meta.transaction & 1
        let page = meta.page(slot: slot)
        try onDisk { () throws(DiskError) in
            if synchronizesCommits { try file.file.synchronize() }
            try file.file.write(page, at: Int(slot) * meta.pageSize)
            if synchronizesCommits { try file.file.synchronize() }
        }
        currentSlot = slot
        otherSlotIsSame = false
    }

    /// Makes all commits so far durable, and every later one before it returns. For the writer.
    func makeDurable() throws(BoltError) {
        try onDisk { () throws(DiskError) in try file.file.synchronize() }
        synchronizesCommits = true
    }

    /// The size of the file's pages, in bytes.
    public var pageSize: Int { shared.withLock { $0.meta.pageSize } }

    /// Makes the file unfit to be opened, when another file has taken its name for good: a process that waits for its
    /// lock would get a state that is gone, and write to a file without a name. Readers notice nothing, for they have
    /// their meta page in memory. There must be no write transaction; none may begin afterwards.
    public func invalidate() throws(BoltError) {
        let pageSize = self.pageSize
        let nothing = [UInt8](repeating: 0, count: 2 * pageSize)
        shared.withLock { $0.refusal = "the file was replaced by another" }
        try onDisk { () throws(DiskError) in try file.file.write(nothing, at: 0) }
    }

    /// Bytes of the pages up to the high-water mark, as bbolt's `Tx.Size`; the file itself may be longer.
    public var fileSize: Int { shared.withLock { Int($0.meta.pageCount) * $0.meta.pageSize } }

    /// ``fileSize`` without the pages that are free, as etcd's `dbSizeInUse`.
    public var sizeInUse: Int {
        shared.withLock { Int($0.meta.pageCount - min($0.freeCount, $0.meta.pageCount)) * $0.meta.pageSize }
    }

    /// The read transactions that are open.
    public var openReads: Int { shared.withLock { $0.readers.values.reduce(0, +) } }

    /// The newest committed state. Never waits for the writer. Throws `closed`.
    public func beginRead() throws(BoltError) -> ReadTransaction {
        try shared.withLock { (shared) throws(BoltError) in
            guard !shared.isClosed else { throw .closed }
            shared.readers[shared.meta.transaction, default: 0] += 1
            return ReadTransaction(database: self, meta: shared.meta, space: shared.space)
        }
    }

    /// Fills `buffer` from byte `offset` of the file on, or returns false when the database is closed.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(BoltError) -> Bool {
        guard !shared.withLock({ $0.isClosed }) else { return false }
        let count = try onDisk { () throws(DiskError) in try file.file.read(into: buffer, at: offset) }
        return count == buffer.count
    }

    func endRead(of transaction: UInt64) {
        shared.withLock { shared in
            let count = shared.readers[transaction, default: 1] - 1
            shared.readers[transaction] = count > 0 ? count : nil
        }
    }

    /// A transaction that changes the newest state; only one may be open. Throws `closed`, `readOnly` and
    /// `writesRefused`.
    public func beginWrite() throws(BoltError) -> WriteTransaction {
        let (meta, space, readers) = try shared.withLock { (shared) throws(BoltError) in
            guard !shared.isClosed else { throw .closed }
            guard !options.readOnly else { throw .readOnly }
            if let refusal = shared.refusal { throw .writesRefused(reason: refusal) }
            precondition(!shared.hasWriter, "a Bolt database has one write transaction at a time")
            shared.hasWriter = true
            return (shared.meta, shared.space, shared.readers.keys.sorted())
        }
        freePages.begin(readers: readers)
        return WriteTransaction(database: self, meta: meta, space: space)
    }

    /// Ends the write transaction without effect. With `refusal`, no other may begin.
    func endWrite(refusal: String? = nil) {
        freePages.rollback()
        writer.discard()
        arena.reset()
        shared.withLock { shared in
            shared.hasWriter = false
            if let refusal { shared.refusal = refusal }
        }
    }

    /// Makes the committed `meta` the newest state and ends the write transaction.
    func publish(_ meta: Meta) {
        let space = file.space(pageSize: meta.pageSize, pageCount: meta.pageCount)
        shared.withLock { shared in
            let hasOlderReaders = !shared.readers.isEmpty
            freePages.commit(transaction: meta.transaction, olderReaders: hasOlderReaders)
            shared.meta = meta
            shared.space = space
            shared.freeCount = freePages.freeCount
            shared.hasWriter = false
        }
        arena.reset()
    }

    /// Closes the file and drops its lock. There must be no write transaction; open readers stay valid.
    public func close() {
        let wasOpen = shared.withLock { shared in
            precondition(!shared.hasWriter, "a Bolt database is closed after its write transaction has ended")
            defer { shared.isClosed = true }
            return !shared.isClosed
        }
        guard wasOpen else { return }
        file.close()
        // A mapping can keep the system's lock on the file, so the database lets go of its own.
        let nothing = file.space(pageSize: shared.withLock { $0.meta.pageSize }, pageCount: 0)
        shared.withLock { $0.space = nothing }
    }
}
