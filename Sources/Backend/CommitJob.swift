import Bolt
import Synchronization

/// A frozen generation on its way into the file: one Bolt write transaction, to be run on any thread but the owner's.
public final class CommitJob: Sendable {
    /// The puts and deletes that the job writes.
    public let operations: Int

    let generation: FrozenGeneration
    private let database: Database
    private let path: String
    private let outcome = Mutex<CommitOutcome?>(nil)

    /// The share of a page that is filled before it splits. Revisions arrive in ascending order, so pages need no room
    /// for later keys in between; etcd uses the same share.
    static let sequentialFillPercent = 0.9

    init(generation: FrozenGeneration, database: Database, path: String) {
        self.generation = generation
        self.database = database
        self.path = path
        operations = generation.operations
    }

    /// Writes the generation, synchronises the file and opens the read transaction that shows it. A generation that
    /// could not be written stays readable, and the member must stop: what follows could not be stored either.
    public func run() throws(BackendError) {
        do throws(BoltError) {
            let transaction = try database.beginWrite()
            do throws(BoltError) {
                try write(to: transaction)
            } catch {
                transaction.rollback()
                throw error
            }
            try transaction.commit()
        } catch {
            throw .bolt(error)
        }
        let view = try FileView(database, path: path)
        let result = CommitOutcome(view: view, fileSize: database.fileSize, sizeInUse: database.sizeInUse)
        outcome.withLock { $0 = result }
    }

    /// What ``run()`` left, or nil when it has not succeeded.
    func takeOutcome() -> CommitOutcome? {
        outcome.withLock { outcome in
            defer { outcome = nil }
            return outcome
        }
    }

    private func write(to transaction: WriteTransaction) throws(BoltError) {
        let log = generation.log
        if log.count > 0 || !generation.dropped.isEmpty {
            let bucket = try Self.bucket(.key, of: transaction)
            bucket.fillPercent = Self.sequentialFillPercent
            for index in 0..<log.count {
                let entry = log[index]
                try bucket.put(entry.pointee.key.bytes, entry.pointee.value)
            }
            for key in generation.dropped { _ = try bucket.delete(key.bytes) }
        }
        for bucket in BackendBucket.allCases {
            let overlay = generation.overlays[bucket.rawValue]
            if overlay.isEmpty { continue }
            let target = try Self.bucket(bucket, of: transaction)
            // In key order, so that equal histories make equal files.
            for (key, value) in overlay.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                if let value {
                    try target.put(key, value)
                } else {
                    _ = try target.delete(key)
                }
            }
        }
        if let applied = generation.appliedIndex {
            let meta = try Self.bucket(.meta, of: transaction)
            try meta.put(MetaKey.consistentIndex, bigEndianBytes(applied.index))
            if applied.term > 0 { try meta.put(MetaKey.term, bigEndianBytes(applied.term)) }
        }
    }

    private static func bucket(_ bucket: BackendBucket, of transaction: WriteTransaction) throws(BoltError)
        -> WritableBucket
    {
        guard let found = try transaction.bucket(bucket.name) else { throw .bucketNotFound(name: bucket.name) }
        return found
    }
}

/// The file as a commit left it.
struct CommitOutcome: Sendable {
    let view: FileView
    let fileSize: Int
    let sizeInUse: Int
}

/// The 8 bytes of `value`, most significant first.
func bigEndianBytes(_ value: UInt64) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
}
