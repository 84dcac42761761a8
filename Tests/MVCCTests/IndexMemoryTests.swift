import Testing

@testable import MVCC

@Suite("The memory of old versions")
struct IndexMemoryTests {
    private func fill(_ index: KeyIndex, count: Int, revision: inout Int64) {
        for number in 0..<count {
            revision += 1
            Array("key/\(number)".utf8).withUnsafeBytes { key in
                _ = index.put(key, main: revision, sub: 0, isLeased: false)
            }
        }
    }

    private func touch(_ index: KeyIndex, _ number: Int, revision: inout Int64) {
        revision += 1
        Array("key/\(number)".utf8).withUnsafeBytes { key in
            _ = index.put(key, main: revision, sub: 0, isLeased: false)
        }
    }

    @Test("is given back with the next publication when nobody reads them")
    func unread() {
        let index = KeyIndex()
        var revision: Int64 = 1
        fill(index, count: 2000, revision: &revision)
        _ = index.snapshot()
        for number in 0..<500 {
            touch(index, number, revision: &revision)
            _ = index.snapshot()
            // A path of three nodes at most was replaced; the snapshot before holds it until the next one.
            #expect(index.pinnedCount <= 6)
        }
    }

    @Test("is held for a long reader only as far as that reader can see, and given back after it")
    func longReader() {
        let index = KeyIndex()
        var revision: Int64 = 1
        fill(index, count: 2000, revision: &revision)
        var held: IndexSnapshot? = index.snapshot()
        var random = SplitMix64(seed: 5)
        for _ in 0..<5000 {
            touch(index, Int.random(in: 0..<2000, using: &random), revision: &revision)
            _ = index.snapshot()
        }
        // 2,000 keys take some 130 nodes. All of them were replaced many times, and what came in between is gone.
        #expect(index.pinnedCount > 60)
        #expect(index.pinnedCount < 200)
        let seen = Array("key/7".utf8).withUnsafeBytes { held?.reader.state(of: $0, at: .max)?.main }
        #expect(seen == 9)
        held = nil
        touch(index, 1, revision: &revision)
        _ = index.snapshot()
        touch(index, 1, revision: &revision)
        _ = index.snapshot()
        #expect(index.pinnedCount <= 6)
    }

    @Test("is given back when overlapping readers come and go")
    func overlappingReaders() {
        let index = KeyIndex()
        var revision: Int64 = 1
        fill(index, count: 2000, revision: &revision)
        var readers: [IndexSnapshot] = []
        var random = SplitMix64(seed: 6)
        for _ in 0..<5000 {
            touch(index, Int.random(in: 0..<2000, using: &random), revision: &revision)
            readers.append(index.snapshot())
            if readers.count > 10 { readers.removeFirst() }
        }
        #expect(index.pinnedCount <= 11 * 6)
    }
}

@Suite("The queue of dropped changes")
struct DropQueueTests {
    @Test("gives the drops of all steps in order of revision", arguments: UInt64(1)...20)
    func order(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var queue = DropQueue()
        var expected: [Drop] = []
        for _ in 0..<Int.random(in: 0...30, using: &random) {
            let drops = (0..<Int.random(in: 0...20, using: &random)).map { _ in
                Drop(
                    KeyState(
                        main: Int64.random(in: 2...400, using: &random), sub: Int64.random(in: 0...3, using: &random),
                        created: 1, version: 1))
            }
            queue.add(drops)
            expected += drops
        }
        #expect(queue.count == expected.count)
        var found: [Drop] = []
        while let drop = queue.next() { found.append(drop) }
        #expect(found == expected.sorted())
        #expect(queue.count == 0)
        #expect(queue.next() == nil)
    }
}
