import Bolt
import Disk

extension Backend {
    /// The keys that one transaction copies, as in etcd: it bounds the memory that copying takes.
    static let defragmentationBatch = 10_000

    /// Copies the file, without its free pages, to a new one beside it and puts that in its place. The owner is held up
    /// meanwhile; readers go on with the views they have. No commit may be in flight; what is pending is committed first.
    public func defragment() throws(BackendError) {
        try commitNow()
        let temporary = path + ".tmp"
        do throws(DiskError) {
            if disk.exists(temporary) { try disk.remove(temporary) }
        } catch {
            throw .disk(error)
        }
        let copy: Database
        do throws(BoltError) {
            copy = try Database(disk: disk, path: temporary, options: options.database)
        } catch {
            throw .bolt(error)
        }
        do throws(BackendError) {
            try copyContents(to: copy)
            do throws(DiskError) {
                try disk.rename(temporary, to: path)
                try disk.synchronizeDirectory(directory)
            } catch {
                throw BackendError.disk(error)
            }
        } catch {
            copy.close()
            try? disk.remove(temporary)
            throw error
        }
        let old = database
        try replaceDatabase(copy)
        old.close()
    }

    private var directory: String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private func copyContents(to copy: Database) throws(BackendError) {
        do throws(BoltError) {
            let source = try database.beginRead()
            defer { source.close() }
            for name in try source.bucketNames() {
                guard let bucket = try source.bucket(name) else { continue }
                var cursor = bucket.cursor()
                var item = try cursor.first()
                repeat {
                    let transaction = try copy.beginWrite()
                    do throws(BoltError) {
                        let target = try transaction.createBucket(ifAbsent: name)
                        target.fillPercent = CommitJob.sequentialFillPercent
                        var copied = 0
                        while let (key, value) = item, copied < Self.defragmentationBatch {
                            guard let value else { throw BoltError.incompatibleValue(key: [UInt8](key)) }
                            try target.put([UInt8](key), [UInt8](value))
                            copied += 1
                            item = try cursor.next()
                        }
                    } catch {
                        transaction.rollback()
                        throw error
                    }
                    try transaction.commit()
                } while item != nil
            }
        } catch {
            throw .bolt(error)
        }
    }
}
