import Backend
import WireFormat

/// Rebuilds the key index from the `key` bucket.
struct Restoration {
    var index = KeyIndex()
    var currentRevision: Int64 = 1
    var compactedRevision: Int64 = -1
    var finishedCompaction: Int64 = -1
    var leases: [(key: [UInt8], lease: Int64)] = []

    /// The leases of keys seen so far; only keys that are attached to one are in here.
    private var attached: [[UInt8]: Int64] = [:]
    private var newest: Revision?

    /// The largest revision that a file may hold: room for more transactions than will ever run is left above it.
    private static let largestRevision = Int64.max - (1 << 40)

    /// Reads the changes once, in order, one at a time.
    static func run(_ backend: Backend) throws(StoreError) -> Restoration {
        var restoration = Restoration()
        let scheduled: Int64
        do throws(BackendError) {
            restoration.finishedCompaction = try mark(backend, MetaKey.finishedCompactRevision) ?? -1
            scheduled = try mark(backend, MetaKey.scheduledCompactRevision) ?? -1
        } catch {
            throw .backend(error)
        }
        var failure: StoreError?
        do throws(BackendError) {
            try backend.view().forEach(fromMain: 0) { key, value in
                do throws(StoreError) {
                    try restoration.add(key, value)
                } catch {
                    failure = error
                    return false
                }
                return true
            }
        } catch {
            throw .backend(error)
        }
        if let failure { throw failure }
        restoration.compactedRevision = max(restoration.finishedCompaction, scheduled)
        // The newest changes may all have been deletions that the compaction dropped; the revision must not go back.
        restoration.currentRevision = max(restoration.currentRevision, restoration.compactedRevision)
        restoration.leases = restoration.attached.map { ($0.key, $0.value) }
            .sorted { $0.key.lexicographicallyPrecedes($1.key) }
        restoration.attached = [:]
        return restoration
    }

    private static func mark(_ backend: Backend, _ key: [UInt8]) throws(BackendError) -> Int64? {
        guard let bytes = try backend.get(.meta, key) else { return nil }
        guard let revision = bytes.withUnsafeBytes({ RevisionKey($0) }), revision.main <= largestRevision else {
            let name = String(decoding: key, as: UTF8.self)
            throw .corrupt(path: backend.path, what: "`\(name)` in bucket `meta` is not a revision")
        }
        return revision.main
    }

    private mutating func add(_ key: RevisionKey, _ value: UnsafeRawBufferPointer) throws(StoreError) {
        let revision = Revision(main: key.main, sub: key.sub)
        if let newest, revision <= newest { throw .corrupt(revision: revision, what: "it occurs twice") }
        newest = revision
        guard key.main <= Self.largestRevision, key.sub <= Int64(UInt32.max) else {
            throw .corrupt(revision: revision, what: "it is too large")
        }
        let fields: KeyValueFields
        do throws(WireError) {
            fields = try StoredKeyValue.fields(value)
        } catch {
            throw .corrupt(revision: revision, what: "the key-value cannot be decoded: \(error)")
        }
        currentRevision = max(currentRevision, key.main)
        if key.isTombstone {
            index.restore(
                fields.key,
                KeyState(main: key.main, sub: key.sub, created: 0, version: 1, flags: KeyState.tombstoneFlag))
        } else {
            index.restore(
                fields.key,
                KeyState(
                    main: key.main, sub: key.sub, created: fields.createRevision, version: fields.version,
                    flags: fields.lease != 0 ? KeyState.leasedFlag : 0))
        }
        note(lease: key.isTombstone ? 0 : fields.lease, of: fields.key)
    }

    private mutating func note(lease: Int64, of key: UnsafeRawBufferPointer) {
        if lease != 0 {
            attached[[UInt8](key)] = lease
        } else if !attached.isEmpty {
            attached[[UInt8](key)] = nil
        }
    }
}
