import Backend
import Checksum

/// The hash of the store's history up to a revision, by which members compare what they hold: etcd's `HashKV`.
///
/// It is the CRC-32C over the name of the `key` bucket and then the keys and values of all changes up to the revision,
/// without those that a compaction has dropped or is about to: at or below the compacted revision only the newest change
/// of each key up to the hashed revision counts, and none that is a deletion. This is etcd's rule from 3.4 on; when
/// nothing of the index would be kept, no change is left out.
public struct RevisionHash: Sendable, Equatable {
    /// The CRC-32C.
    public var hash: UInt32
    /// The revision up to which changes count.
    public var revision: Int64
    /// The compacted revision, -1 when the store was never compacted.
    public var compactRevision: Int64
    /// The store's current revision.
    public var currentRevision: Int64

    /// A hash that was made elsewhere.
    public init(hash: UInt32, revision: Int64, compactRevision: Int64, currentRevision: Int64) {
        self.hash = hash
        self.revision = revision
        self.compactRevision = compactRevision
        self.currentRevision = currentRevision
    }

    static func compute(
        _ requested: Int64, index: IndexReader, backend: BackendView, currentRevision: Int64,
        compactedRevision: Int64
    ) throws(StoreError) -> RevisionHash {
        if requested > 0 && requested < compactedRevision { throw .compacted(compactedRevision) }
        if requested > currentRevision { throw .futureRevision(currentRevision) }
        // 0 is the current one. Up to a revision below 0 nothing has changed, and that has a hash too, as in etcd.
        let revision = requested == 0 ? currentRevision : requested
        // Only what is kept at or below the compacted revision is looked up, and the file is read in the same order.
        var kept: [Revision] = []
        var keepsNothing = true
        index.forEach { _, record in
            guard let state = record.pointee.kept(at: revision) else { return }
            keepsNothing = false
            if state.main <= compactedRevision { kept.append(state.revision) }
        }
        kept.sort()
        var crc = CRC32C.update(0, BackendBucket.key.name)
        var position = 0
        do throws(BackendError) {
            try backend.forEach(fromMain: 0) { key, value in
                if key.main > revision { return false }
                // Members up to 3.4.33 and 3.5.15 drop a tombstone at the compacted revision, later ones keep it; the hash
                // of both leaves it out.
                if key.main == compactedRevision && key.isTombstone { return true }
                if key.main <= compactedRevision && !keepsNothing {
                    let change = Revision(main: key.main, sub: key.sub)
                    while position < kept.count && kept[position] < change { position += 1 }
                    guard position < kept.count, kept[position] == change else { return true }
                }
                crc = key.withBytes { CRC32C.update(crc, $0) }
                crc = CRC32C.update(crc, value)
                return true
            }
        } catch {
            throw .backend(error)
        }
        return RevisionHash(
            hash: crc, revision: revision, compactRevision: compactedRevision, currentRevision: currentRevision)
    }
}
