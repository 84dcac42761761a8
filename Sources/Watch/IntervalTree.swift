/// The ranges that are watched, and for each the first of its watchers: a balanced (AVL) tree in the order of the
/// ranges' starts, in which each node knows the furthest end below it.
///
/// Finding the ranges around a key takes O(log n + hits): a subtree that ends before the key is passed over at its
/// root. Nodes are rows of an array and keep their place while they live, so that watchers can name theirs.
struct IntervalTree {
    private struct Node {
        var start: [UInt8]
        /// The first key behind the range, nil when it has no end.
        var end: [UInt8]?
        var left: Int32 = -1
        var right: Int32 = -1
        /// The node in this subtree, itself included, whose range ends last.
        var furthest: Int32
        var height: Int8 = 1
        var value: Int32
    }

    private var nodes: ContiguousArray<Node> = []
    private var free: [Int32] = []
    private var root: Int32 = -1

    /// Whether no range is in the tree.
    var isEmpty: Bool { root < 0 }

    /// The value of the range at `node`.
    subscript(node: Int32) -> Int32 {
        get { nodes[Int(node)].value }
        set { nodes[Int(node)].value = newValue }
    }

    /// The node of a range; a new one, with `value`, when the range is not in the tree.
    mutating func insert(start: [UInt8], end: [UInt8]?, value: Int32) -> Int32 {
        var found: Int32 = -1
        var isNew = false
        root = insert(below: root, start, end, value, &found, &isNew)
        return found
    }

    /// Takes a range out of the tree.
    mutating func remove(start: [UInt8], end: [UInt8]?) {
        root = remove(below: root, start, end)
    }

    /// Appends the values of all ranges that contain `key`, in the order of their starts.
    func appendValues(containing key: [UInt8], to values: inout [Int32]) {
        if root >= 0 { collect(root, key, &values) }
    }

    private func collect(_ node: Int32, _ key: [UInt8], _ values: inout [Int32]) {
        let index = Int(node)
        guard isBefore(key, end: nodes[Int(nodes[index].furthest)].end) else { return }
        if nodes[index].left >= 0 { collect(nodes[index].left, key, &values) }
        guard compareBytes(nodes[index].start, key) <= 0 else { return }
        if isBefore(key, end: nodes[index].end) { values.append(nodes[index].value) }
        if nodes[index].right >= 0 { collect(nodes[index].right, key, &values) }
    }

    private func isBefore(_ key: [UInt8], end: [UInt8]?) -> Bool {
        guard let end else { return true }
        return compareBytes(key, end) < 0
    }

    private func compareEnds(_ left: [UInt8]?, _ right: [UInt8]?) -> Int {
        guard let left else { return right == nil ? 0 : 1 }
        guard let right else { return -1 }
        return compareBytes(left, right)
    }

    private func compare(_ start: [UInt8], _ end: [UInt8]?, with node: Int32) -> Int {
        let row = nodes[Int(node)]
        let order = compareBytes(start, row.start)
        return order != 0 ? order : compareEnds(end, row.end)
    }

    private mutating func insert(
        below node: Int32, _ start: [UInt8], _ end: [UInt8]?, _ value: Int32, _ found: inout Int32, _ isNew: inout Bool
    ) -> Int32 {
        if node < 0 {
            isNew = true
            found = allocate(start, end, value)
            return found
        }
        let order = compare(start, end, with: node)
        if order == 0 {
            found = node
            return node
        }
        if order < 0 {
            nodes[Int(node)].left = insert(below: nodes[Int(node)].left, start, end, value, &found, &isNew)
        } else {
            nodes[Int(node)].right = insert(below: nodes[Int(node)].right, start, end, value, &found, &isNew)
        }
        return isNew ? balance(node) : node
    }

    private mutating func allocate(_ start: [UInt8], _ end: [UInt8]?, _ value: Int32) -> Int32 {
        if let slot = free.popLast() {
            nodes[Int(slot)] = Node(start: start, end: end, furthest: slot, value: value)
            return slot
        }
        let slot = Int32(nodes.count)
        nodes.append(Node(start: start, end: end, furthest: slot, value: value))
        return slot
    }

    private mutating func remove(below node: Int32, _ start: [UInt8], _ end: [UInt8]?) -> Int32 {
        guard node >= 0 else { return node }
        let order = compare(start, end, with: node)
        if order < 0 {
            nodes[Int(node)].left = remove(below: nodes[Int(node)].left, start, end)
            return balance(node)
        }
        if order > 0 {
            nodes[Int(node)].right = remove(below: nodes[Int(node)].right, start, end)
            return balance(node)
        }
        let left = nodes[Int(node)].left
        let right = nodes[Int(node)].right
        nodes[Int(node)] = Node(start: [], end: nil, furthest: node, value: -1)
        free.append(node)
        if left < 0 { return right }
        if right < 0 { return left }
        // The next node takes the place of the removed one; it is relinked, not copied, so that it keeps its row.
        var smallest: Int32 = -1
        let rest = removeSmallest(below: right, &smallest)
        nodes[Int(smallest)].left = left
        nodes[Int(smallest)].right = rest
        return balance(smallest)
    }

    private mutating func removeSmallest(below node: Int32, _ smallest: inout Int32) -> Int32 {
        let left = nodes[Int(node)].left
        if left < 0 {
            smallest = node
            return nodes[Int(node)].right
        }
        nodes[Int(node)].left = removeSmallest(below: left, &smallest)
        return balance(node)
    }

    private func height(_ node: Int32) -> Int {
        node < 0 ? 0 : Int(nodes[Int(node)].height)
    }

    private mutating func update(_ node: Int32) {
        let left = nodes[Int(node)].left
        let right = nodes[Int(node)].right
        nodes[Int(node)].height = Int8(max(height(left), height(right)) + 1)
        var furthest = node
        for child in [left, right] where child >= 0 {
            let candidate = nodes[Int(child)].furthest
            if compareEnds(nodes[Int(candidate)].end, nodes[Int(furthest)].end) > 0 { furthest = candidate }
        }
        nodes[Int(node)].furthest = furthest
    }

    private mutating func balance(_ node: Int32) -> Int32 {
        let left = nodes[Int(node)].left
        let right = nodes[Int(node)].right
        let lean = height(left) - height(right)
        if lean > 1 {
            if height(nodes[Int(left)].left) < height(nodes[Int(left)].right) {
                nodes[Int(node)].left = rotateLeft(left)
            }
            return rotateRight(node)
        }
        if lean < -1 {
            if height(nodes[Int(right)].right) < height(nodes[Int(right)].left) {
                nodes[Int(node)].right = rotateRight(right)
            }
            return rotateLeft(node)
        }
        update(node)
        return node
    }

    private mutating func rotateRight(_ node: Int32) -> Int32 {
        let pivot = nodes[Int(node)].left
        nodes[Int(node)].left = nodes[Int(pivot)].right
        nodes[Int(pivot)].right = node
        update(node)
        update(pivot)
        return pivot
    }

    private mutating func rotateLeft(_ node: Int32) -> Int32 {
        let pivot = nodes[Int(node)].right
        nodes[Int(node)].right = nodes[Int(pivot)].left
        nodes[Int(pivot)].left = node
        update(node)
        update(pivot)
        return pivot
    }
}
