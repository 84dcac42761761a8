import Bolt
import Disk

/// How a ``Backend`` opens its file.
public struct BackendOptions: Sendable {
    /// The options of the database file.
    public var database: DatabaseOptions

    /// How long writes are gathered before a commit, in milliseconds: etcd's `--backend-batch-interval` default.
    public static let defaultBatchInterval = 100
    /// The pending operations that bring a commit about at once: etcd's `--backend-batch-limit` default.
    public static let defaultBatchLimit = 10_000

    /// Options with these settings of the file.
    public init(database: DatabaseOptions = .init()) {
        self.database = database
    }
}

/// Gathers writes and takes them to a Bolt file in batches.
///
/// One thread, the owner, calls everything here. It writes into the active generation. ``freezeCommit()`` closes that
/// generation and hands out a ``CommitJob``, which another thread runs while the owner goes on writing into a new one;
/// ``finishCommit(_:)`` then lets go of the memory. What is pending is lost in a crash, together with the consistent index
/// that covered it, so the Raft log is applied again from there.
public final class Backend {
    /// The path of the database file.
    public let path: String
    /// The index of the newest entry that was noted as applied.
    public private(set) var consistentIndex: UInt64
    /// The term of that entry; 0 when the file was last written by etcd 3.4.
    public private(set) var term: UInt64
    /// The bytes of the file's pages, free ones included, as of the last finished commit; the file itself may be longer,
    /// since it grows in steps.
    public private(set) var fileSize: Int
    /// The bytes of the pages that are not free, as of the last finished commit.
    public private(set) var sizeInUse: Int
    /// The read transactions of the file that are open, for views and snapshots.
    public var openReadTransactions: Int { database.openReads }

    let disk: any Disk
    let options: BackendOptions
    /// The file; for checks from outside.
    package var database: Database { current.database }
    let current: CurrentDatabase
    private var file: FileView
    private var active = Generation()
    private var frozen: FrozenGeneration?

    /// Opens the database file at `path`, creating it and its buckets where they are absent. When another process holds
    /// the file, `waitingForLock` is called once and the call waits.
    public init(
        disk: any Disk, path: String, options: BackendOptions = .init(), waitingForLock: (() -> Void)? = nil
    ) throws(BackendError) {
        self.disk = disk
        self.path = path
        self.options = options
        let database: Database
        do throws(BoltError) {
            database = try Database(
                disk: disk, path: path, options: options.database, waitingForLock: waitingForLock)
            try Self.createBuckets(database)
        } catch {
            throw .bolt(error)
        }
        current = CurrentDatabase(database)
        file = try FileView(database, path: path)
        fileSize = database.fileSize
        sizeInUse = database.sizeInUse
        consistentIndex = 0
        term = 0
        consistentIndex = try storedNumber(MetaKey.consistentIndex)
        term = try storedNumber(MetaKey.term)
    }

    /// The consistent index in the database file at `path`, which is only read; 0 when it has none.
    public static func consistentIndex(in path: String, on disk: any Disk) throws(BackendError) -> UInt64 {
        do throws(BoltError) {
            let database = try Database(disk: disk, path: path, options: DatabaseOptions(readOnly: true))
            defer { database.close() }
            let transaction = try database.beginRead()
            defer { transaction.close() }
            guard let bytes = try transaction.bucket(BackendBucket.meta.name)?.get(MetaKey.consistentIndex),
                bytes.count == 8
            else { return 0 }
            return bytes.reduce(0) { $0 << 8 | UInt64($1) }
        } catch {
            throw .bolt(error)
        }
    }

    private static func createBuckets(_ database: Database) throws(BoltError) {
        let reader = try database.beginRead()
        let present = Set(try reader.bucketNames())
        reader.close()
        let missing = BackendBucket.allCases.filter { !present.contains($0.name) }
        if missing.isEmpty { return }
        let transaction = try database.beginWrite()
        do throws(BoltError) {
            for bucket in missing { _ = try transaction.createBucket(ifAbsent: bucket.name) }
        } catch {
            transaction.rollback()
            throw error
        }
        try transaction.commit()
    }

    private func storedNumber(_ key: [UInt8]) throws(BackendError) -> UInt64 {
        guard let bytes = try get(.meta, key) else { return 0 }
        guard bytes.count == 8 else {
            let name = String(decoding: key, as: UTF8.self)
            throw .corrupt(path: path, what: "`\(name)` in bucket `meta` has \(bytes.count) bytes instead of 8")
        }
        return bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    // MARK: Writing

    /// Sets `key` in a bucket other than `key`.
    public func put(_ bucket: BackendBucket, _ key: [UInt8], _ value: [UInt8]) {
        precondition(bucket != .key, "the `key` bucket takes revisions in order")
        active.overlays[bucket.rawValue].updateValue(value, forKey: key)
        active.operations += 1
        active.bytes += key.count + value.count
    }

    /// Removes `key` from a bucket other than `key`.
    public func delete(_ bucket: BackendBucket, _ key: [UInt8]) {
        precondition(bucket != .key, "revisions leave the `key` bucket by compaction")
        active.overlays[bucket.rawValue].updateValue(nil, forKey: key)
        active.operations += 1
        active.bytes += key.count
    }

    /// Adds a change to the `key` bucket; its revision must be above all that were added before.
    public func appendKeyValue(_ key: RevisionKey, _ value: [UInt8]) {
        active.operations += 1
        active.bytes += RevisionKey.length + value.count
        active.log.append(key, value)
    }

    /// Takes a compacted change out of the `key` bucket at the next commit. Views may show it until then.
    public func deleteKeyValue(_ key: RevisionKey) {
        active.dropped.append(key)
        active.operations += 1
        active.bytes += RevisionKey.length
    }

    /// Notes that all effects of the Raft entry at `index` have been written here. Stored with the next commit, in the
    /// same transaction as those effects.
    public func setConsistentIndex(_ index: UInt64, term: UInt64) {
        consistentIndex = index
        self.term = term
        active.appliedIndex = AppliedIndex(index: index, term: term)
    }

    /// The puts and deletes that wait in the active generation.
    public var pendingOperations: Int { active.operations }

    /// The bytes of keys and values that wait in the active generation.
    public var pendingBytes: Int { active.bytes }

    // MARK: Reading

    /// The value of `key` in a bucket other than `key`, pending writes included.
    public func get(_ bucket: BackendBucket, _ key: [UInt8]) throws(BackendError) -> [UInt8]? {
        precondition(bucket != .key, "the `key` bucket is read through a view")
        if let pending = active.overlays[bucket.rawValue][key] { return pending }
        if let pending = frozen?.overlays[bucket.rawValue][key] { return pending }
        do throws(BoltError) {
            guard let found = try file.transaction.bucket(bucket.name) else { return nil }
            return try found.get(key).map { [UInt8]($0) }
        } catch {
            throw .bolt(error)
        }
    }

    /// All keys and values of a bucket other than `key` in ascending order, pending writes included.
    public func all(_ bucket: BackendBucket) throws(BackendError) -> [(key: [UInt8], value: [UInt8])] {
        precondition(bucket != .key, "the `key` bucket is read through a view")
        var contents: [[UInt8]: [UInt8]] = [:]
        do throws(BoltError) {
            if let found = try file.transaction.bucket(bucket.name) {
                var cursor = found.cursor()
                var item = try cursor.first()
                while let (key, value) = item {
                    if let value { contents[[UInt8](key)] = [UInt8](value) }
                    item = try cursor.next()
                }
            }
        } catch {
            throw .bolt(error)
        }
        for overlay in [frozen?.overlays[bucket.rawValue] ?? [:], active.overlays[bucket.rawValue]] {
            for (key, value) in overlay { contents[key] = value }
        }
        return contents.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { ($0.key, $0.value) }
    }

    /// The `key` bucket as it is now.
    public func view() -> BackendView {
        BackendView(file: file, frozen: frozen?.log ?? .empty, active: active.log.view)
    }

    /// The whole file as of the last commit; what is pending is not in it.
    public func snapshot() throws(BackendError) -> BackendSnapshot {
        BackendSnapshot(try FileView(database, path: path))
    }

    // MARK: Committing

    /// Whether the file holds all that was written here.
    public var hasCommittedAll: Bool { frozen == nil && active.isEmpty }

    /// Whether a job is out that ``finishCommit(_:)`` has not taken back.
    public var isCommitting: Bool { frozen != nil }

    /// Closes the active generation and returns the job that writes it; nil when nothing is pending or a job is out.
    public func freezeCommit() -> CommitJob? {
        guard frozen == nil, !active.isEmpty else { return nil }
        let generation = active.frozen()
        active = Generation()
        frozen = generation
        return CommitJob(generation: generation, current: current, path: path)
    }

    /// Takes back a job that has run. Views made from now on read its writes from the file.
    public func finishCommit(_ job: CommitJob) {
        precondition(frozen != nil, "a commit is finished once")
        guard let outcome = job.takeOutcome() else {
            preconditionFailure("a commit is finished after its job has run without an error")
        }
        file = outcome.view
        fileSize = outcome.fileSize
        sizeInUse = outcome.sizeInUse
        frozen = nil
    }

    /// Commits what is pending on this thread: for start-up, shutdown and tests. No job may be out.
    public func commitNow() throws(BackendError) {
        precondition(frozen == nil, "no other commit is in flight")
        guard let job = freezeCommit() else { return }
        try job.run()
        finishCommit(job)
    }

    /// Closes the file. What is pending is dropped: commit first.
    public func close() {
        database.close()
    }

    /// Goes over to `view`, which is of `database` and holds the same as the file before it, which is returned.
    func adopt(_ view: FileView, of database: Database) -> FileView {
        defer { file = view }
        fileSize = database.fileSize
        sizeInUse = database.sizeInUse
        return file
    }
}
