/// A position in a bucket's keys. What it returns is valid until the transaction is closed or, in a write transaction,
/// finished; after a change to the bucket, the cursor must be positioned anew.
public struct Cursor {
    private let space: PageSpace
    /// Keeps the transaction's pages.
    private let owner: AnyObject
    private let header: BucketHeader
    /// The bucket with its uncommitted changes, in a write transaction.
    private let editing: WritableBucket?
    private var path: [Level] = []

    /// A page or node on the way from the root, and the index of the element in use.
    private struct Level {
        var layer: Layer
        var index: Int
    }

    init(space: PageSpace, owner: AnyObject, header: BucketHeader, editing: WritableBucket?) {
        self.space = space
        self.owner = owner
        self.header = header
        self.editing = editing
    }

    /// A key and its value; the value of a nested bucket is nil.
    public typealias Element = (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?)

    /// Goes to the first key. Nil when the bucket is empty. Throws `damagedPage`.
    public mutating func first() throws(BoltError) -> Element? {
        try start()
        try descend(last: false)
        return try settleForward()
    }

    /// Goes to the last key. Nil when the bucket is empty. Throws `damagedPage`.
    public mutating func last() throws(BoltError) -> Element? {
        try start()
        try descend(last: true)
        return try settleBackward()
    }

    /// Goes to the next key. Nil after the last; then the cursor has no position. Throws `damagedPage`.
    public mutating func next() throws(BoltError) -> Element? {
        guard !path.isEmpty else { return nil }
        path[path.count - 1].index += 1
        return try settleForward()
    }

    /// Goes to the previous key. Nil before the first; then the cursor has no position. Throws `damagedPage`.
    public mutating func previous() throws(BoltError) -> Element? {
        guard !path.isEmpty else { return nil }
        path[path.count - 1].index -= 1
        return try settleBackward()
    }

    /// Goes to the first key that does not sort before `key`. Nil when there is none. Throws `damagedPage`.
    public mutating func seek(_ key: UnsafeRawBufferPointer) throws(BoltError) -> Element? {
        let key = ByteView(key)
        try start()
        while true {
            let layer = path[path.count - 1].layer
            if layer.isLeaf {
                path[path.count - 1].index = try layer.position(of: key)
                return try settleForward()
            }
            let index = try layer.childIndex(for: key)
            path[path.count - 1].index = index
            try push(try child(of: layer, at: index))
        }
    }

    /// Goes to the first key that does not sort before `key`. Nil when there is none. Throws `damagedPage`.
    public mutating func seek(_ key: [UInt8]) throws(BoltError) -> Element? {
        try key.span.withUnsafeBytes { (key) throws(BoltError) in try seek(key) }
    }

    private mutating func start() throws(BoltError) {
        path.removeAll(keepingCapacity: true)
        if let node = editing?.rootNode {
            try push(.node(node))
        } else if let editing {
            try push(.page(try space.root(of: editing.header)))
        } else {
            try push(.page(try space.root(of: header)))
        }
    }

    private mutating func push(_ layer: Layer) throws(BoltError) {
        guard path.count < BoltLimit.treeDepth else { throw .damagedPage(id: layer.id, defect: .tooDeep) }
        path.append(Level(layer: layer, index: 0))
    }

    private func child(of layer: Layer, at index: Int) throws(BoltError) -> Layer {
        switch layer {
        case .page(let page):
            return .page(try space.page(page.child(index)))
        case .node(let node):
            if let editing, let child = editing.node(at: node.entries[index]) { return .node(child) }
            return .page(try space.page(node.entries[index].child))
        }
    }

    /// From the top of the path down to the first or last element of the leaf below it.
    private mutating func descend(last: Bool) throws(BoltError) {
        while true {
            let layer = path[path.count - 1].layer
            if last { path[path.count - 1].index = layer.count - 1 }
            if layer.isLeaf || layer.count == 0 { return }
            try push(try child(of: layer, at: path[path.count - 1].index))
        }
    }

    /// The element at the position, or the first one after it: leaves may be empty or used up.
    private mutating func settleForward() throws(BoltError) -> Element? {
        guard let level = path.last else { return nil }
        if level.index < level.layer.count { return try level.layer.element(level.index) }
        let previous = level.layer.count > 0 ? try level.layer.element(level.layer.count - 1).key : nil
        return try settle(after: previous, step: 1)
    }

    /// The element at the position, or the first one before it.
    private mutating func settleBackward() throws(BoltError) -> Element? {
        guard let level = path.last else { return nil }
        if level.index >= 0 && level.layer.count > 0 {
            path[path.count - 1].index = min(level.index, level.layer.count - 1)
            return try level.layer.element(path[path.count - 1].index)
        }
        let previous = level.layer.count > 0 ? try level.layer.element(0).key : nil
        return try settle(after: previous, step: -1)
    }

    /// Leaves the leaf at the end of the path, whose outermost key is `previous`, for the next one with elements, in the
    /// direction of `step`. Its keys must lie beyond `previous`, so that no damaged tree keeps a cursor going round.
    private mutating func settle(after previous: UnsafeRawBufferPointer?, step: Int) throws(BoltError) -> Element? {
        var emptyLeaves = 0
        path.removeLast()
        while let parent = path.last {
            let index = parent.index + step
            guard index >= 0 && index < parent.layer.count else {
                path.removeLast()
                continue
            }
            path[path.count - 1].index = index
            try push(try child(of: parent.layer, at: index))
            try descend(last: step < 0)
            let leaf = path[path.count - 1]
            if leaf.layer.count > 0 {
                let element = try leaf.layer.element(leaf.index)
                if let previous, ByteView(element.key).compare(ByteView(previous)) * step <= 0 {
                    throw .damagedPage(id: leaf.layer.id, defect: .disorder)
                }
                return element
            }
            emptyLeaves += 1
            guard emptyLeaves <= BoltLimit.emptyLeaves else {
                throw .damagedPage(id: leaf.layer.id, defect: .emptyLeaf)
            }
            path.removeLast()
        }
        return nil
    }
}

/// A page as it is in the file, or as the transaction has changed it.
enum Layer {
    case page(PageView)
    case node(Node)

    var id: UInt64 {
        switch self {
        case .page(let page): page.id
        case .node(let node): node.run.start
        }
    }

    var isLeaf: Bool {
        switch self {
        case .page(let page): page.isLeaf
        case .node(let node): node.isLeaf
        }
    }

    var count: Int {
        switch self {
        case .page(let page): page.count
        case .node(let node): node.entries.count
        }
    }

    func position(of key: ByteView) throws(BoltError) -> Int {
        switch self {
        case .page(let page): try page.position(of: key).index
        case .node(let node): node.position(of: key).index
        }
    }

    func childIndex(for key: ByteView) throws(BoltError) -> Int {
        switch self {
        case .page(let page): try page.childIndex(for: key)
        case .node(let node): node.childIndex(for: key)
        }
    }

    func element(_ index: Int) throws(BoltError) -> Cursor.Element {
        switch self {
        case .page(let page):
            let leaf = try page.leaf(index)
            return (leaf.key.buffer, leaf.isBucket ? nil : leaf.value.buffer)
        case .node(let node):
            let entry = node.entries[index]
            return (entry.keyView.buffer, entry.isBucket ? nil : entry.valueView.buffer)
        }
    }
}
