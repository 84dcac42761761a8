import Bolt

extension FrozenGeneration {
    /// The share of a page that is filled before it splits. Revisions arrive in ascending order, so pages need no room
    /// for later keys in between; etcd uses the same share.
    private static let sequentialFillPercent = 0.9

    /// Writes the generation into the file of `transaction`. With `copy`, which is that file in the making, only what
    /// lies behind the copy's position is written; it finds the rest in the original.
    func write(to transaction: WriteTransaction, behind copy: CompactCopy? = nil) throws(BoltError) {
        func isWanted(_ bucket: BackendBucket, _ key: [UInt8]) -> Bool {
            guard let copy else { return true }
            return copy.hasCopied(bucket: bucket.name, key: key)
        }
        func target(_ bucket: BackendBucket) throws(BoltError) -> WritableBucket? {
            if let found = try transaction.bucket(bucket.name) { return found }
            // The copy has not come to it.
            if copy != nil { return nil }
            throw .bucketNotFound(name: bucket.name)
        }
        if log.count > 0 || !dropped.isEmpty, let bucket = try target(.key) {
            bucket.fillPercent = Self.sequentialFillPercent
            for index in 0..<log.count {
                let entry = log[index]
                let key = entry.pointee.key.bytes
                if isWanted(.key, key) { try bucket.put(key, entry.pointee.value) }
            }
            for revision in dropped {
                let key = revision.bytes
                if isWanted(.key, key) { _ = try bucket.delete(key) }
            }
        }
        for bucket in BackendBucket.allCases {
            let overlay = overlays[bucket.rawValue]
            guard !overlay.isEmpty, let target = try target(bucket) else { continue }
            // In key order, so that equal histories make equal files.
            for (key, value) in overlay.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) })
            where isWanted(bucket, key) {
                if let value {
                    try target.put(key, value)
                } else {
                    _ = try target.delete(key)
                }
            }
        }
        guard let appliedIndex, let meta = try target(.meta) else { return }
        if isWanted(.meta, MetaKey.consistentIndex) {
            try meta.put(MetaKey.consistentIndex, bigEndianBytes(appliedIndex.index))
        }
        if appliedIndex.term > 0 && isWanted(.meta, MetaKey.term) {
            try meta.put(MetaKey.term, bigEndianBytes(appliedIndex.term))
        }
    }
}
