import Backend
import Bolt
import Disk
import MVCC
import Testing

/// Files that compactions, crashes and damage leave, opened again.
@Suite("Restoring the store")
struct RestorationTests {
    /// A database file with these changes and marks.
    private func open(
        _ changes: [(RevisionKey, [UInt8])], scheduled: Int64? = nil, finished: Int64? = nil
    ) throws -> (Store, Backend) {
        let backend = try Backend(disk: MemoryDisk(), path: "db")
        for (key, value) in changes { backend.appendKeyValue(key, value) }
        if let scheduled {
            backend.put(.meta, MetaKey.scheduledCompactRevision, RevisionKey(main: scheduled, sub: 0).bytes)
        }
        if let finished {
            backend.put(.meta, MetaKey.finishedCompactRevision, RevisionKey(main: finished, sub: 0).bytes)
        }
        try backend.commitNow()
        return (try Store(backend: backend), backend)
    }

    private func put(
        _ key: String, at main: Int64, sub: Int64 = 0, create: Int64, version: Int64, lease: Int64 = 0
    ) -> (RevisionKey, [UInt8]) {
        let bytes = Array(key.utf8).withUnsafeBytes { key in
            StoredKeyValue.encode(
                key: key, value: key, createRevision: create, modRevision: main, version: version, lease: lease)
        }
        return (RevisionKey(main: main, sub: sub), bytes)
    }

    private func tombstone(_ key: String, at main: Int64, sub: Int64 = 0) -> (RevisionKey, [UInt8]) {
        (RevisionKey(main: main, sub: sub, isTombstone: true), [0x0a, UInt8(key.utf8.count)] + Array(key.utf8))
    }

    private func keys(_ store: Store, at revision: Int64 = 0) throws -> [String] {
        var keys: [String] = []
        _ = try store.range(key: [0], end: [0], revision: revision) {
            keys.append("\(String(decoding: $0.key, as: UTF8.self))@\($0.modRevision)v\($0.version)")
        }
        return keys
    }

    @Test("an empty file is at revision 1 and was never compacted")
    func empty() throws {
        let (store, _) = try open([])
        #expect(store.currentRevision == 1)
        #expect(store.compactedRevision == -1)
        #expect(!store.compactionPending)
    }

    @Test("the revision does not go back when compaction has removed the newest changes")
    func newestWereDeletions() throws {
        let (store, _) = try open([], scheduled: 9, finished: 9)
        #expect(store.currentRevision == 9)
        #expect(store.compactedRevision == 9)
        store.begin()
        #expect(store.put(key: [1], value: [], lease: 0) == 10)
        #expect(store.end().revision == 10)
    }

    @Test("nor when the compaction was interrupted before it was marked as complete")
    func interruptedAtTheEnd() throws {
        let (store, _) = try open([put("a", at: 3, create: 3, version: 1)], scheduled: 7, finished: 2)
        #expect(store.currentRevision == 7)
        #expect(store.compactedRevision == 7)
        #expect(store.compactionPending)
        while store.compactionStep() {}
        #expect(store.finishedCompaction == 7)
        #expect(try keys(store) == ["a@3v1"])
    }

    @Test("a key's life goes on where the file shows it, with its creation and version")
    func partialHistory() throws {
        let (store, _) = try open([
            put("a", at: 5, create: 3, version: 2), put("a", at: 8, create: 3, version: 3), tombstone("b", at: 9),
            put("b", at: 10, create: 10, version: 1), tombstone("c", at: 10, sub: 1),
        ])
        #expect(try keys(store) == ["a@8v3", "b@10v1"])
        #expect(try keys(store, at: 6) == ["a@5v2"])
        store.begin()
        store.put(key: Array("a".utf8), value: [], lease: 0)
        store.put(key: Array("c".utf8), value: [], lease: 0)
        _ = store.end()
        #expect(try keys(store) == ["a@11v4", "b@10v1", "c@11v1"])
    }

    @Test("keys are attached to the lease of their newest change")
    func leases() throws {
        let (store, _) = try open([
            put("a", at: 2, create: 2, version: 1, lease: 7), put("b", at: 3, create: 3, version: 1, lease: 7),
            put("c", at: 4, create: 4, version: 1, lease: 7), put("b", at: 5, create: 3, version: 2),
            tombstone("c", at: 6), put("a", at: 7, create: 2, version: 2, lease: 8),
        ])
        let leases = store.takeRestoredLeases()
        #expect(leases.map(\.key) == [Array("a".utf8)])
        #expect(leases.map(\.lease) == [8])
        #expect(store.takeRestoredLeases().isEmpty)
        #expect(try store.lease(of: Array("a".utf8)) == 8)
        #expect(try store.lease(of: Array("b".utf8)) == 0)
    }

    @Test("changes that etcd never writes are refused with their revision")
    func damaged() throws {
        let cases: [[(RevisionKey, [UInt8])]] = [
            [(RevisionKey(main: 2, sub: 0), [0x0a, 5, 1])],
            [(RevisionKey(main: 2, sub: 0), [0xff, 0xff, 0xff])],
            [put("a", at: 2, create: 2, version: 1), tombstone("a", at: 2)],
            [put("a", at: .max, create: 2, version: 1)],
            [put("a", at: 2, sub: .max, create: 2, version: 1)],
        ]
        for changes in cases {
            #expect(throws: StoreError.self) { _ = try open(changes) }
        }
        #expect(throws: StoreError.self) { _ = try open([], scheduled: .max) }
    }

    @Test("extreme creations and versions do no harm")
    func extremes() throws {
        let (store, _) = try open([
            put("a", at: 2, create: .min, version: .max, lease: .min), put("a", at: 3, create: 9, version: -1),
        ])
        store.begin()
        store.put(key: Array("a".utf8), value: [], lease: 0)
        #expect(store.end().revision == 4)
    }

    @Test("a mark that is no revision is refused")
    func damagedMark() throws {
        let backend = try Backend(disk: MemoryDisk(), path: "db")
        backend.put(.meta, MetaKey.finishedCompactRevision, [1, 2, 3])
        #expect(throws: StoreError.self) { _ = try Store(backend: backend) }
    }
}
