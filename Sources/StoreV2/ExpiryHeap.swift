/// The nodes that expire, the next one first.
struct ExpiryHeap {
    private var nodes: [Node] = []

    var isEmpty: Bool { nodes.isEmpty }
    var first: Node? { nodes.first }

    /// Notes a node's new expiration, or that it has none any more.
    mutating func update(_ node: Node) {
        if node.expiration == nil {
            remove(node)
        } else if let position = node.heapPosition {
            siftDown(siftUp(position))
        } else {
            node.heapPosition = nodes.count
            nodes.append(node)
            siftUp(nodes.count - 1)
        }
    }

    mutating func remove(_ node: Node) {
        guard let position = node.heapPosition else { return }
        node.heapPosition = nil
        let last = nodes.removeLast()
        guard position < nodes.count else { return }
        nodes[position] = last
        last.heapPosition = position
        siftDown(siftUp(position))
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        let (left, right) = (nodes[left], nodes[right])
        // All members must let nodes go in one order, as each takes an index.
        return (left.expiration ?? .max, left.modifiedIndex) < (right.expiration ?? .max, right.modifiedIndex)
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
            for child in [2 * position + 1, 2 * position + 2] where child < nodes.count && precedes(child, least) {
                least = child
            }
            if least == position { return }
            swap(position, least)
            position = least
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        nodes.swapAt(left, right)
        nodes[left].heapPosition = left
        nodes[right].heapPosition = right
    }
}
