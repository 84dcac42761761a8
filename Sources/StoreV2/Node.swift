/// A key or a directory of the tree, with all that is inside: a value that others may keep while the tree changes.
///
/// A node knows its name and not its path, so that a long path costs what it says and not its square. Nothing here
/// calls itself for the nodes below: how deep a tree is, clients decide.
struct Node: Sendable {
    let name: [UInt8]
    var createdIndex: UInt64
    var modifiedIndex: UInt64
    /// When it expires, in nanoseconds since 1970; nil when never.
    var expiration: Int64?
    var value: [UInt8] = []
    /// The nodes inside; nil when this is a key.
    var children: Directory?

    /// A node with nothing inside.
    init(
        name: [UInt8], index: UInt64, expiration: Int64? = nil, value: [UInt8] = [], isDirectory: Bool = false
    ) {
        self.name = name
        createdIndex = index
        modifiedIndex = index
        self.expiration = expiration
        self.value = value
        children = isDirectory ? Directory() : nil
    }

    var isDirectory: Bool { children != nil }

    /// Whether lists of the directory leave it out.
    var isHidden: Bool { name.first == UInt8(ascii: "_") }

    /// The root of a tree.
    static var root: Node { Node(name: [], index: 0, isDirectory: true) }
}

/// A walk through what is inside a directory, each directory before what it holds, in the order of the names.
struct NodeWalk: Sequence, IteratorProtocol {
    struct Step {
        /// 1 for what is in the directory itself, 2 for what is in those.
        var depth: Int
        var path: [UInt8]
        var node: Node
    }

    /// Which directories are gone into.
    enum Extent: Sendable {
        case none
        /// All but hidden ones, which are only come by.
        case visible
        case all
    }

    private let extent: Extent
    /// The path of the last node; each directory that is open has so many bytes of it.
    private var path: [UInt8]
    private var open: [(rest: Directory.Iterator, pathBytes: Int)]

    /// The walk through `directory`, which is at `path`.
    init(_ directory: Directory, at path: [UInt8], _ extent: Extent) {
        self.extent = extent
        self.path = path == [KeyPath.slash] ? [] : path
        open = [(directory.makeIterator(), self.path.count)]
    }

    mutating func next() -> Step? {
        while let last = open.indices.last {
            guard let node = open[last].rest.next() else {
                open.removeLast()
                continue
            }
            path.removeSubrange(open[last].pathBytes...)
            path.append(KeyPath.slash)
            path += node.name
            let step = Step(depth: open.count, path: path, node: node)
            if let inside = node.children, extent == .all || (extent == .visible && !node.isHidden) {
                open.append((inside.makeIterator(), path.count))
            }
            return step
        }
        return nil
    }
}
