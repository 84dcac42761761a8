import Backend
import Disk
import MVCC
import Synchronization
import Testing

/// Tells the readers that the writer is done.
private final class Signal: Sendable {
    let isGiven = Atomic<Bool>(false)
}

@Suite("Readers on other threads")
struct ConcurrentReaderTests {
    /// Every transaction writes the same number to all keys, so a reader that saw two revisions at once would find two
    /// numbers. The writer commits on another thread, compacts and defragments meanwhile.
    @Test("see one revision each, while the owner writes, commits, compacts and defragments")
    func oneRevision() async throws {
        let disk = MemoryDisk()
        let backend = try Backend(disk: disk, path: "db")
        let store = try Store(backend: backend)
        let keys = (0..<100).map { Array("key/\($0)".utf8) }
        write(0, to: keys, of: store)
        store.publish()
        let publisher = store.publisher
        let end = Signal()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for reader in 0..<3 {
                group.addTask { try await Self.read(publisher, seed: UInt64(reader), until: end) }
            }
            for number in 1...400 {
                write(number, to: keys, of: store)
                store.publish()
                if number % 10 == 0, let job = backend.freezeCommit() {
                    group.addTask {
                        try job.run()
                        return 0
                    }
                    write(number, to: keys, of: store)
                    store.publish()
                    // The next result may be a reader's only when it failed, which `next` throws.
                    _ = try await group.next()
                    backend.finishCommit(job)
                    store.publish()
                }
                if number % 50 == 0 {
                    try store.compact(at: store.currentRevision - 5)
                    try backend.defragment()
                }
                if number % 3 == 0 { _ = store.compactionStep(limit: 200) }
            }
            end.isGiven.store(true, ordering: .releasing)
            var reads = 0
            for try await count in group { reads += count }
            #expect(reads >= 3)
        }
        #expect(store.currentRevision == 442)
    }

    private func write(_ number: Int, to keys: [[UInt8]], of store: Store) {
        let value = Array("\(number)".utf8)
        store.begin()
        for key in keys { store.put(key: key, value: value, lease: 0) }
        _ = store.end()
    }

    /// Reads until the writer is done, and at least once.
    private static func read(
        _ publisher: StorePublisher, seed: UInt64, until end: Signal
    ) async throws -> Int {
        var random = SplitMix64(seed: seed)
        var reads = 0
        var newest: Int64 = 0
        repeat {
            let view = publisher.latest()
            #expect(view.currentRevision >= newest)
            newest = view.currentRevision
            let revision = max(view.compactedRevision, newest - Int64.random(in: 0..<4, using: &random), 2)
            var values: Set<[UInt8]> = []
            var revisions: Set<Int64> = []
            let result = try view.range(key: [0], end: [0], revision: revision) { raw in
                revisions.insert(raw.modRevision)
                if let fields = try? StoredKeyValue.fields(raw.encoded) { values.insert([UInt8](fields.value)) }
            }
            #expect(result.count == 100)
            #expect(values.count == 1)
            #expect(revisions == [revision])
            let one = try view.range(key: Array("key/\(Int.random(in: 0..<100, using: &random))".utf8), end: nil) { _ in
            }
            #expect(one.count == 1)
            reads += 1
            await Task.yield()
        } while !end.isGiven.load(ordering: .acquiring)
        return reads
    }
}
