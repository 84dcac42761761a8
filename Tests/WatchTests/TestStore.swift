import Watch
import WireFormat

/// A store small enough to be read at a glance: all changes by revision, and what each key holds.
struct TestStore: WatchHistory {
    /// One change as the tests speak of it.
    struct Change: Hashable {
        var revision: Int64
        var key: String
        /// nil for a delete.
        var value: String?
        var createRevision: Int64
        var version: Int64
        /// The value before the change and its revision; nil when the key did not exist.
        var previousValue: String?
        var previousRevision: Int64
    }

    private(set) var revisions: [[Change]] = []
    /// All changes from the beginning, compacted or not.
    private(set) var allChanges: [Change] = []
    private(set) var compactedRevision: Int64 = 0
    private var live: [String: Change] = [:]

    var currentRevision: Int64 { Int64(revisions.count) + 1 }

    /// Applies a transaction; its puts and deletes share the next revision. Deletes of absent keys change nothing.
    mutating func apply(_ operations: [(key: String, value: String?)]) {
        let revision = currentRevision + 1
        var changes: [Change] = []
        for (key, value) in operations {
            let earlier = live[key]
            if value == nil, earlier == nil { continue }
            let change = Change(
                revision: revision, key: key, value: value, createRevision: earlier?.createRevision ?? revision,
                version: (earlier?.version ?? 0) + 1, previousValue: earlier?.value,
                previousRevision: earlier?.revision ?? 0)
            changes.append(change)
            live[key] = value == nil ? nil : change
        }
        if !changes.isEmpty { revisions.append(changes) }
        allChanges += changes
    }

    mutating func compact(at revision: Int64) {
        compactedRevision = max(compactedRevision, min(revision, currentRevision))
    }

    /// The changes behind `revision`, as an applier posts them.
    func posted(after revision: Int64) -> [WatchChange] {
        revisions.dropFirst(Int(revision - 1)).flatMap { changes in
            changes.enumerated().map { sub, change in
                WatchChange(
                    isDelete: change.value == nil, isCreate: change.version == 1, key: Array(change.key.utf8),
                    encodedKeyValue: change.encoded(tombstoneRevision: true), revision: change.revision,
                    sub: Int64(sub))
            }
        }
    }

    func changes(
        from: Int64, through: Int64, byteLimit: Int,
        visit: (Bool, Int64, UnsafeRawBufferPointer) throws -> Void
    ) throws -> Int64 {
        precondition(from >= compactedRevision, "the hub asks for compacted history")
        var bytes = 0
        // An empty store is at revision 1, so that the first change is 2.
        var revision = max(2, from)
        while revision <= through, bytes <= byteLimit {
            for change in revisions[Int(revision - 2)] {
                let encoded = change.encoded(tombstoneRevision: false)
                bytes += encoded.count
                try encoded.withUnsafeBytes { try visit(change.value == nil, revision, $0) }
            }
            revision += 1
        }
        return revision
    }

    func previous(of key: [UInt8], before revision: Int64) -> [UInt8]? {
        guard revision - 1 >= compactedRevision else { return nil }
        let name = String(decoding: key, as: UTF8.self)
        let last = revisions[..<Int(revision - 2)].joined().last { $0.key == name }
        guard let last, last.value != nil else { return nil }
        return last.encoded(tombstoneRevision: false)
    }
}

extension TestStore.Change {
    /// The change as a KeyValue; a tombstone is stored without a revision and posted with one.
    func encoded(tombstoneRevision: Bool) -> [UInt8] {
        var writer = WireWriter()
        writer.bytes(1, Array(key.utf8))
        if let value {
            writer.int64(2, createRevision)
            writer.int64(3, revision)
            writer.int64(4, version)
            writer.bytes(5, Array(value.utf8))
        } else if tombstoneRevision {
            writer.int64(3, revision)
        }
        return writer.bytes
    }
}
