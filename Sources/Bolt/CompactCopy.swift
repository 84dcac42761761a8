import Disk

extension Database {
    /// Bytes and records after which ``compactCopy(to:on:)`` commits, so that its memory stays bounded (etcd's
    /// defragmentation commits every 10,000 records).
    private static let copyCommitSize = 8 << 20
    private static let copyCommitRecords = 10_000

    /// Copies all buckets of the newest state, in order and tightly packed, into a new file at `path`, where there must be
    /// none or an empty one. The page size and the kind of free list are this database's. The copy is durable when this
    /// returns. Throws what opening, reading and committing throw.
    public func compactCopy(to path: String, on disk: any Disk) throws(BoltError) {
        let source = try beginRead()
        defer { source.close() }
        var options = self.options
        options.pageSize = source.meta.pageSize
        options.readOnly = false
        let target = try Database(disk: disk, path: path, options: options)
        defer { target.close() }
        var copier = Copier(target: target, write: try target.beginWrite())
        try copier.copy(source.rootBucket, to: [])
        try copier.write.commit()
    }

    /// Copies bucket by bucket; a commit invalidates the buckets, so each is named by its path from the top.
    private struct Copier {
        let target: Database
        var write: WriteTransaction
        var size = 0
        var records = 0
        /// The root pages of the buckets copied, so that a damaged file's buckets within themselves end the copy.
        var roots = PageBits()

        mutating func copy(_ source: Bucket, to path: [[UInt8]]) throws(BoltError) {
            guard path.count < BoltLimit.bucketDepth else { throw .bucketsTooDeep }
            let root = source.header.root
            if root != 0 {
                // Read first, so that the page number is known to lie within the file.
                _ = try source.space.page(root)
                guard !roots.contains(root) else { throw .damagedPage(id: root, defect: .usedTwice) }
                roots.insert(root)
            }
            var bucket = try open(path)
            if source.sequence != 0 { try bucket?.setSequence(source.sequence) }
            var cursor = source.cursor()
            var element = try cursor.first()
            while let (key, value) = element {
                if let value {
                    try bucket?.put(key, value)
                    size += key.count + value.count
                    records += 1
                } else if let nested = try source.bucket([UInt8](key)) {
                    try copy(nested, to: path + [[UInt8](key)])
                    bucket = try open(path)
                }
                if size >= Database.copyCommitSize || records >= Database.copyCommitRecords {
                    try write.commit()
                    write = try target.beginWrite()
                    (size, records) = (0, 0)
                    bucket = try open(path)
                }
                element = try cursor.next()
            }
        }

        /// The bucket at `path`, made where needed; nil for the top level, which holds buckets only.
        private func open(_ path: [[UInt8]]) throws(BoltError) -> WritableBucket? {
            guard let first = path.first else { return nil }
            var bucket = try write.createBucket(ifAbsent: first)
            for name in path.dropFirst() { bucket = try bucket.createBucket(ifAbsent: name) }
            bucket.fillPercent = 0.9
            return bucket
        }
    }
}
