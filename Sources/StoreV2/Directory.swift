/// The nodes of a directory, in the order of their names.
///
/// A value whose parts are never changed: a directory with one node more or less shares all the others with the one it was
/// made from. So whoever holds one reads it on any thread, as it was, while the store goes on. It is a weight-balanced
/// tree (Adams 1993) with the bounds of Hirai and Yamamoto (2011).
struct Directory: Sendable {
    private var top: Branch?

    /// A directory without nodes.
    init() {}

    /// The directory with these nodes. Fast when they are in ascending order of their names; of two with one name the
    /// later one counts.
    init(_ nodes: [Node]) {
        let isAscending = zip(nodes, nodes.dropFirst()).allSatisfy { $0.name.lexicographicallyPrecedes($1.name) }
        if isAscending { top = Self.balanced(nodes[...]) } else { for node in nodes { insert(node) } }
    }

    var count: Int { top?.count ?? 0 }
    var isEmpty: Bool { top == nil }

    subscript(name: ArraySlice<UInt8>) -> Node? {
        var place = top
        while let branch = place {
            switch Self.order(name, branch.node.name) {
            case ..<0: place = branch.left
            case 0: return branch.node
            default: place = branch.right
            }
        }
        return nil
    }

    /// Adds a node, in the place of the one that has its name.
    mutating func insert(_ node: Node) { top = Self.inserting(node, top) }

    /// Takes the node called `name` away, if there is one.
    mutating func remove(_ name: ArraySlice<UInt8>) { top = Self.removing(name, top) }

    // MARK: The balanced tree. It is no deeper than a few times the logarithm of its size, so that these may call themselves.

    private static let mostSkew = 3
    private static let mostSkewOfRotated = 2

    /// Less than 0 when `left` comes first, 0 when they are equal.
    private static func order(_ left: ArraySlice<UInt8>, _ right: [UInt8]) -> Int {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                for position in 0..<Swift.min(left.count, right.count) where left[position] != right[position] {
                    return left[position] < right[position] ? -1 : 1
                }
                return left.count - right.count
            }
        }
    }

    private static func balanced(_ nodes: ArraySlice<Node>) -> Branch? {
        guard !nodes.isEmpty else { return nil }
        let middle = nodes.startIndex + nodes.count / 2
        return Branch(balanced(nodes[..<middle]), nodes[middle], balanced(nodes[(middle + 1)...]))
    }

    private static func inserting(_ node: Node, _ place: Branch?) -> Branch {
        guard let place else { return Branch(nil, node, nil) }
        switch order(node.name[...], place.node.name) {
        case ..<0: return balanced(inserting(node, place.left), place.node, place.right)
        case 0: return Branch(place.left, node, place.right)
        default: return balanced(place.left, place.node, inserting(node, place.right))
        }
    }

    private static func removing(_ name: ArraySlice<UInt8>, _ place: Branch?) -> Branch? {
        guard let place else { return nil }
        switch order(name, place.node.name) {
        case ..<0: return balanced(removing(name, place.left), place.node, place.right)
        case 0:
            guard let right = place.right else { return place.left }
            let (first, rest) = removingFirst(right)
            return balanced(place.left, first, rest)
        default: return balanced(place.left, place.node, removing(name, place.right))
        }
    }

    private static func removingFirst(_ place: Branch) -> (first: Node, rest: Branch?) {
        guard let left = place.left else { return (place.node, place.right) }
        let (first, rest) = removingFirst(left)
        return (first, balanced(rest, place.node, place.right))
    }

    private static func weight(_ branch: Branch?) -> Int { (branch?.count ?? 0) + 1 }

    /// A branch of these parts, of which one may be a node too heavy or too light.
    private static func balanced(_ left: Branch?, _ node: Node, _ right: Branch?) -> Branch {
        if let right, weight(right) > mostSkew * weight(left) {
            if let inner = right.left, weight(inner) >= mostSkewOfRotated * weight(right.right) {
                return Branch(
                    Branch(left, node, inner.left), inner.node, Branch(inner.right, right.node, right.right))
            }
            return Branch(Branch(left, node, right.left), right.node, right.right)
        }
        if let left, weight(left) > mostSkew * weight(right) {
            if let inner = left.right, weight(inner) >= mostSkewOfRotated * weight(left.left) {
                return Branch(
                    Branch(left.left, left.node, inner.left), inner.node, Branch(inner.right, node, right))
            }
            return Branch(left.left, left.node, Branch(left.right, node, right))
        }
        return Branch(left, node, right)
    }

    /// A node with those before and after it. Nothing of it changes but at its end.
    fileprivate final class Branch: @unchecked Sendable {
        fileprivate private(set) var left: Branch?
        fileprivate private(set) var node: Node
        fileprivate private(set) var right: Branch?
        let count: Int

        init(_ left: Branch?, _ node: Node, _ right: Branch?) {
            self.left = left
            self.node = node
            self.right = right
            count = (left?.count ?? 0) + (right?.count ?? 0) + 1
        }

        /// Takes what nobody else holds apart step by step: how deep a tree of directories is, clients decide.
        deinit {
            var waiting: [Branch] = []
            takeParts(into: &waiting)
            while var branch = waiting.popLast() {
                if isKnownUniquelyReferenced(&branch) { branch.takeParts(into: &waiting) }
            }
        }

        private func takeParts(into parts: inout [Branch]) {
            if let left { parts.append(left) }
            if let right { parts.append(right) }
            if let inside = node.children?.top { parts.append(inside) }
            left = nil
            right = nil
            node.children = nil
        }
    }
}

extension Directory: Sequence {
    struct Iterator: IteratorProtocol {
        /// The branches whose nodes and right sides come next, the last one first.
        private var waiting: [Branch] = []

        fileprivate init(_ top: Branch?) { descend(top) }

        private mutating func descend(_ start: Branch?) {
            var place = start
            while let branch = place {
                waiting.append(branch)
                place = branch.left
            }
        }

        mutating func next() -> Node? {
            guard let branch = waiting.popLast() else { return nil }
            descend(branch.right)
            return branch.node
        }
    }

    func makeIterator() -> Iterator { Iterator(top) }
    var underestimatedCount: Int { count }
}
