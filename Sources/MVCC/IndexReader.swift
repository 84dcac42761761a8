/// Reads one version of the key index.
///
/// Holds nothing: the version must stay reachable, through a snapshot or because the owner reads its own.
struct IndexReader {
    let root: IndexNode

    /// The record of `key`, or nil when the index does not know it.
    @inline(__always)
    func record(of key: UnsafeRawBufferPointer) -> UnsafeMutablePointer<KeyRecord>? {
        var node = root
        while !node.isLeaf { node = node.children[node.childIndex(key)] }
        return node.find(key).map { node.records + $0 }
    }

    /// The state of `key` that a reader at the revision sees; nil when the key does not exist there.
    @inline(__always)
    func state(of key: UnsafeRawBufferPointer, at revision: Int64) -> KeyState? {
        guard let state = record(of: key)?.pointee.state(at: revision), !state.isTombstone else { return nil }
        return state
    }

    /// Calls `body` with the keys from `start` on and below `end` (nil: to the last) in order, until it returns false.
    func forEach(
        from start: UnsafeRawBufferPointer, to end: UnsafeRawBufferPointer?,
        _ body: (KeyBytes, UnsafeMutablePointer<KeyRecord>) -> Bool
    ) {
        _ = visit(root, start, end, body)
    }

    /// Calls `body` with all keys in order.
    func forEach(_ body: (KeyBytes, UnsafeMutablePointer<KeyRecord>) -> Void) {
        _ = visit(root, nil, nil) { key, record in
            body(key, record)
            return true
        }
    }

    private func visit(
        _ node: IndexNode, _ start: UnsafeRawBufferPointer?, _ end: UnsafeRawBufferPointer?,
        _ body: (KeyBytes, UnsafeMutablePointer<KeyRecord>) -> Bool
    ) -> Bool {
        if node.isLeaf {
            let first = start.map { node.search($0).index } ?? 0
            let limit = end.map { node.search($0).index } ?? node.count
            var index = first
            while index < limit {
                guard body(node.keys[index], node.records + index) else { return false }
                index += 1
            }
            return limit == node.count
        }
        let first = start.map { node.childIndex($0) } ?? 0
        var index = first
        while index < node.count {
            guard visit(node.children[index], index == first ? start : nil, end, body) else { return false }
            index += 1
        }
        return true
    }

    /// The number of live keys from `start` on and below `end`, at the newest revision of this version.
    func liveCount(from start: UnsafeRawBufferPointer, to end: UnsafeRawBufferPointer?) -> Int {
        let upper = end.map { liveCount(below: $0) } ?? liveCount
        return max(0, upper - liveCount(below: start))
    }

    /// The number of live keys.
    var liveCount: Int { root.live }

    private func liveCount(below key: UnsafeRawBufferPointer) -> Int {
        var total = 0
        var node = root
        while !node.isLeaf {
            let child = node.childIndex(key)
            for index in 0..<child { total += node.liveCounts[index] }
            node = node.children[child]
        }
        for index in 0..<node.search(key).index where !node.records[index].current.isTombstone { total += 1 }
        return total
    }
}

/// An immutable version of the key index, readable from any thread.
final class IndexSnapshot: Sendable {
    private let memory: IndexMemory
    private let epoch: UInt64
    nonisolated(unsafe) private let root: IndexNode

    init(_ memory: IndexMemory) {
        self.memory = memory
        root = memory.root
        epoch = memory.beginEpoch()
    }

    deinit { memory.snapshotEnded(epoch) }

    /// Valid as long as this snapshot.
    @inline(__always)
    var reader: IndexReader { IndexReader(root: root) }
}
