/// A key or a directory of the tree.
///
/// A node knows its name and not its path, so that a long path costs what it says and not its square. Nothing here
/// calls itself for the nodes below: how deep a tree is, clients decide.
final class Node {
    let name: [UInt8]
    private(set) unowned var parent: Node?
    var createdIndex: UInt64
    var modifiedIndex: UInt64
    /// When it expires, in nanoseconds since 1970; nil when never.
    var expiration: Int64?
    var value: [UInt8] = []
    /// The nodes inside; nil when this is a key.
    var children: [[UInt8]: Node]?
    /// Where the node stands in the heap of those that expire.
    var heapPosition: Int?

    /// A node that is not yet among the children of `parent`.
    init(
        name: [UInt8], parent: Node?, index: UInt64, expiration: Int64? = nil, value: [UInt8] = [],
        isDirectory: Bool = false
    ) {
        self.name = name
        self.parent = parent
        createdIndex = index
        modifiedIndex = index
        self.expiration = expiration
        self.value = value
        children = isDirectory ? [:] : nil
    }

    var isDirectory: Bool { children != nil }

    /// Whether lists of the directory leave it out.
    var isHidden: Bool { name.first == UInt8(ascii: "_") }

    var path: [UInt8] {
        var names: [[UInt8]] = []
        var node = self
        while let parent = node.parent {
            names.append(node.name)
            node = parent
        }
        if names.isEmpty { return [KeyPath.slash] }
        var path: [UInt8] = []
        path.reserveCapacity(names.reduce(0) { $0 + $1.count + 1 })
        for name in names.reversed() {
            path.append(KeyPath.slash)
            path += name
        }
        return path
    }

    /// The children in the order of their names.
    var sortedChildren: [Node] {
        (children ?? [:]).values.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }

    /// The node and all below it, each directory before what it holds.
    var subtree: [Node] {
        var nodes = [self]
        var position = 0
        while position < nodes.count {
            if let children = nodes[position].children { nodes += children.values }
            position += 1
        }
        return nodes
    }

    /// Takes the tree below the node apart, whose end would otherwise be one call inside the other.
    func dismantle() {
        for node in subtree where node.children != nil { node.children = [:] }
    }
}
