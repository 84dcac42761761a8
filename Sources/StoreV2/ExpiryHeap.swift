/// The nodes that expire, the next one first.
///
/// Their order follows from what is in the heap alone and not from how it came there: all members must let nodes go in one
/// order, as each takes an index. Of nodes that expire at the same moment the one with the lesser path goes first, so that
/// a directory takes along what is inside.
struct ExpiryHeap {
    private struct Entry {
        var expiration: Int64
        var path: [UInt8]
    }

    private var entries: [Entry] = []
    private var positions: [[UInt8]: Int] = [:]

    var isEmpty: Bool { entries.isEmpty }
    var first: (path: [UInt8], expiration: Int64)? { entries.first.map { ($0.path, $0.expiration) } }

    /// Notes when the node at `path` expires; nil is for never.
    mutating func set(_ path: [UInt8], _ expiration: Int64?) {
        guard let expiration else { return remove(path) }
        let entry = Entry(expiration: expiration, path: path)
        if let position = positions[path] {
            entries[position] = entry
            siftDown(siftUp(position))
        } else {
            entries.append(entry)
            positions[path] = entries.count - 1
            siftUp(entries.count - 1)
        }
    }

    mutating func remove(_ path: [UInt8]) {
        guard let position = positions.removeValue(forKey: path) else { return }
        let last = entries.removeLast()
        guard position < entries.count else { return }
        entries[position] = last
        positions[last.path] = position
        siftDown(siftUp(position))
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        let (left, right) = (entries[left], entries[right])
        if left.expiration != right.expiration { return left.expiration < right.expiration }
        return left.path.lexicographicallyPrecedes(right.path)
    }

    @discardableResult
    private mutating func siftUp(_ start: Int) -> Int {
        var position = start
        while position > 0, precedes(position, (position - 1) / 2) {
            swap(position, (position - 1) / 2)
            position = (position - 1) / 2
        }
        return position
    }

    private mutating func siftDown(_ start: Int) {
        var position = start
        while true {
            var least = position
            for child in [2 * position + 1, 2 * position + 2] where child < entries.count && precedes(child, least) {
                least = child
            }
            if least == position { return }
            swap(position, least)
            position = least
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        entries.swapAt(left, right)
        positions[entries[left].path] = left
        positions[entries[right].path] = right
    }
}
