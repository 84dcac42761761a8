import Backend
import Disk
import MVCC
import Testing

/// Key-values with random damage: the store refuses them with an error or takes them as they are, and then answers
/// everything that it can be asked.
@Suite("Restoring damaged key-values")
struct RestorationFuzzTests {
    @Test("never traps", arguments: UInt64(0)..<300)
    func damage(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let backend = try Backend(disk: MemoryDisk(), path: "db")
        var main: Int64 = 1
        for _ in 0..<30 {
            main += Int64.random(in: 0...2, using: &random)
            let sub = main == 1 ? 0 : Int64.random(in: 0...1, using: &random)
            let key = RevisionKey(main: main, sub: sub, isTombstone: Int.random(in: 0..<4, using: &random) == 0)
            var value = Self.keyValue(main, &random)
            if Int.random(in: 0..<6, using: &random) == 0, !value.isEmpty {
                value[Int.random(in: 0..<value.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            backend.appendKeyValue(key, value)
            main += 1
        }
        try backend.commitNow()
        guard let store = try? Store(backend: backend) else { return }
        store.begin()
        store.put(key: [1], value: [2], lease: 3)
        store.deleteRange(key: [0], end: [0])
        store.put(key: [2], value: [2], lease: 0)
        let commit = store.end()
        #expect(commit.revision == store.currentRevision)
        let view = store.publish()
        _ = try view.hashByRevision(0)
        for revision in 1...store.currentRevision {
            _ = try view.range(key: [0], end: [0], revision: revision) { _ in }
        }
        _ = try? view.changes(from: 1, through: .max, byteLimit: .max) { _ in }
        try store.compact(at: store.currentRevision)
        while store.compactionStep(limit: 3) {}
        try backend.commitNow()
        #expect(store.keyCount == 1)
    }

    private static func keyValue(_ main: Int64, _ random: inout SplitMix64) -> [UInt8] {
        let key = [UInt8.random(in: 0...3, using: &random)]
        return key.withUnsafeBytes { key in
            StoredKeyValue.encode(
                key: key, value: key, createRevision: Int64.random(in: 0...main, using: &random), modRevision: main,
                version: Int64.random(in: -1...3, using: &random), lease: Int64.random(in: 0...1, using: &random))
        }
    }
}
