/// A bucket of a ``WriteTransaction``. It and what it returns are valid until the transaction is finished; borrowed values
/// stay as they were even when the key is changed.
public final class WritableBucket {
    let scope: WriteScope
    /// Where the tree was when the transaction began.
    let header: BucketHeader
    /// The unfolded root, when anything below it has changed.
    var rootNode: Node?
    /// The unfolded nodes below the root, found by ``Entry/nodeNumber``.
    var nodes: [Node] = []
    /// The nested buckets that were asked for.
    var buckets: [[UInt8]: WritableBucket] = [:]
    /// The rightmost leaf, once unfolded: where ascending keys go without a search.
    private var lastLeaf: Node?

    /// How full pages are made when they are split, 0.1 to 1.0. The default suits keys in random order; ascending keys
    /// waste less with 0.9 or more.
    public var fillPercent = 0.5

    /// The bucket's sequence number, which belongs to the application.
    public private(set) var sequence: UInt64

    init(scope: WriteScope, header: BucketHeader) {
        self.scope = scope
        self.header = header
        self.sequence = header.sequence
    }

    /// Sets ``sequence``. Throws `damagedPage`.
    public func setSequence(_ sequence: UInt64) throws(BoltError) {
        _ = try unfoldedRoot()
        self.sequence = sequence
    }

    /// The value of `key`, or nil when there is none or `key` names a bucket. Throws `damagedPage`.
    public func get(_ key: UnsafeRawBufferPointer) throws(BoltError) -> UnsafeRawBufferPointer? {
        guard let element = try find(ByteView(key)), !element.isBucket else { return nil }
        return element.value.buffer
    }

    /// The value of `key`, or nil when there is none or `key` names a bucket. Throws `damagedPage`.
    public func get(_ key: [UInt8]) throws(BoltError) -> UnsafeRawBufferPointer? {
        try key.span.withUnsafeBytes { (key) throws(BoltError) in try get(key) }
    }

    /// A cursor over the keys and nested buckets, uncommitted changes included.
    public func cursor() -> Cursor {
        Cursor(space: scope.space, owner: scope, header: header, editing: self)
    }

    /// Sets the value of `key`; both are copied. Throws `keyRequired`, `keyTooLarge`, `valueTooLarge`,
    /// `incompatibleValue` when `key` names a bucket, and `damagedPage`.
    public func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(BoltError) {
        let key = ByteView(key)
        let value = ByteView(value)
        try Self.check(key, value)
        let copy = scope.database.arena.take(key.count &+ value.count)
        copy.copyMemory(from: key.start, byteCount: key.count)
        (copy + key.count).copyMemory(from: value.start, byteCount: value.count)
        try place(
            Entry(
                key: ByteView(start: UnsafeRawPointer(copy), count: key.count),
                value: ByteView(start: UnsafeRawPointer(copy + key.count), count: value.count), flags: 0))
    }

    /// As ``put(_:_:)-(UnsafeRawBufferPointer,_)`` of borrowed bytes.
    public func put(_ key: [UInt8], _ value: [UInt8]) throws(BoltError) {
        try key.span.withUnsafeBytes { (key) throws(BoltError) in
            try value.span.withUnsafeBytes { (value) throws(BoltError) in try put(key, value) }
        }
    }

    /// Sets the value of `key` without copying either: the caller keeps the bytes valid and unchanged until the
    /// transaction is finished. Throws as `put`.
    public func putBorrowed(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(BoltError) {
        let key = ByteView(key)
        let value = ByteView(value)
        try Self.check(key, value)
        try place(Entry(key: key, value: value, flags: 0))
    }

    /// Removes `key` and says whether it was there. Throws `incompatibleValue` when it names a bucket, and
    /// `damagedPage`.
    @discardableResult
    public func delete(_ key: UnsafeRawBufferPointer) throws(BoltError) -> Bool {
        let key = ByteView(key)
        // Searched first, so that nothing is unfolded and rewritten for a key that is not there.
        guard let element = try find(key) else { return false }
        guard !element.isBucket else { throw .incompatibleValue(key: key.array) }
        try remove(key)
        return true
    }

    /// As ``delete(_:)-(UnsafeRawBufferPointer)`` of borrowed bytes.
    @discardableResult
    public func delete(_ key: [UInt8]) throws(BoltError) -> Bool {
        try key.span.withUnsafeBytes { (key) throws(BoltError) in try delete(key) }
    }

    private static func check(_ key: ByteView, _ value: ByteView) throws(BoltError) {
        guard key.count > 0 else { throw .keyRequired }
        guard key.count <= BoltLimit.keySize else { throw .keyTooLarge(size: key.count) }
        guard value.count <= BoltLimit.valueSize else { throw .valueTooLarge(size: value.count) }
    }

    /// Puts `entry` into its leaf, in place of one with the same key and the same kind.
    private func place(_ entry: Entry) throws(BoltError) {
        guard scope.isOpen else { throw .transactionFinished }
        if let lastLeaf, let last = lastLeaf.entries.last, last.keyView.compare(entry.keyView) < 0 {
            lastLeaf.insert(entry, at: lastLeaf.entries.count)
            return
        }
        let leaf = try unfoldedLeaf(for: entry.keyView)
        let (index, found) = leaf.position(of: entry.keyView)
        guard found else { return leaf.insert(entry, at: index) }
        guard leaf.entries[index].isBucket == entry.isBucket else {
            throw .incompatibleValue(key: entry.keyView.array)
        }
        leaf.replace(at: index, with: entry)
    }

    private func remove(_ key: ByteView) throws(BoltError) {
        guard scope.isOpen else { throw .transactionFinished }
        let leaf = try unfoldedLeaf(for: key)
        let (index, found) = leaf.position(of: key)
        if found { leaf.remove(at: index) }
    }

    private func find(_ key: ByteView) throws(BoltError) -> LeafElement? {
        guard scope.isOpen else { throw .transactionFinished }
        guard var node = rootNode else { return try scope.space.find(key, from: try scope.space.root(of: header)) }
        while !node.isLeaf {
            let entry = node.entries[node.childIndex(for: key)]
            guard let child = self.node(at: entry) else {
                return try scope.space.find(key, from: try scope.space.page(entry.child))
            }
            node = child
        }
        let (index, found) = node.position(of: key)
        guard found else { return nil }
        let entry = node.entries[index]
        return LeafElement(
            flags: entry.flags, key: entry.keyView, value: entry.valueView, page: node.run.start, index: index)
    }
}

// Nested buckets.
extension WritableBucket {
    /// The nested bucket `name`, or nil when there is none. Throws `damagedPage`.
    public func bucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket? {
        if let bucket = buckets[name] { return bucket }
        let found = try name.span.withUnsafeBytes { (name) throws(BoltError) -> LeafElement? in
            try find(ByteView(name))
        }
        guard let element = found, element.isBucket else { return nil }
        let bucket = WritableBucket(scope: scope, header: try element.bucketHeader())
        buckets[name] = bucket
        return bucket
    }

    /// The nested bucket `name`, made when there is none. Throws `incompatibleValue`, `keyRequired`, `keyTooLarge` and
    /// `damagedPage`.
    public func createBucket(ifAbsent name: [UInt8]) throws(BoltError) -> WritableBucket {
        if let bucket = try bucket(name) { return bucket }
        return try newBucket(name)
    }

    /// Makes the nested bucket `name`. Throws `bucketExists` and as ``createBucket(ifAbsent:)``.
    public func createBucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket {
        guard try bucket(name) == nil else { throw .bucketExists(name: name) }
        return try newBucket(name)
    }

    private func newBucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket {
        let bucket = WritableBucket(scope: scope, header: BucketHeader(root: 0, sequence: 0, inline: nil))
        bucket.rootNode = Node(isLeaf: true)
        let value = bucket.inlineValue(of: Node(isLeaf: true))
        let key = try name.span.withUnsafeBytes { (name) throws(BoltError) -> ByteView in
            let view = ByteView(name)
            try Self.check(view, value)
            return scope.database.arena.copy(view)
        }
        try place(Entry(key: key, value: value, flags: Format.bucketFlag))
        buckets[name] = bucket
        return bucket
    }

    /// Deletes the nested bucket `name` with all that is in it. Throws `bucketNotFound`, and `damagedPage`, after which
    /// the transaction can only be rolled back.
    public func deleteBucket(_ name: [UInt8]) throws(BoltError) {
        guard let bucket = try bucket(name) else { throw .bucketNotFound(name: name) }
        do throws(BoltError) {
            try bucket.freeEverything(depth: 1)
        } catch {
            scope.damage = error
            throw error
        }
        buckets[name] = nil
        try name.span.withUnsafeBytes { (name) throws(BoltError) in try remove(ByteView(name)) }
    }

    /// The names of the nested buckets, in order. Throws `damagedPage`.
    public func bucketNames() throws(BoltError) -> [[UInt8]] {
        var names: [[UInt8]] = []
        var cursor = cursor()
        var element = try cursor.first()
        while let (key, value) = element {
            if value == nil { names.append([UInt8](key)) }
            element = try cursor.next()
        }
        return names
    }

    /// Frees the pages that the bucket had when the transaction began, and those of its nested buckets.
    private func freeEverything(depth: Int) throws(BoltError) {
        guard depth < BoltLimit.bucketDepth else { throw .bucketsTooDeep }
        for name in try bucketNames() { try bucket(name)?.freeEverything(depth: depth + 1) }
        guard header.root != 0 else { return }
        var waiting = [header.root]
        while let id = waiting.popLast() {
            let page = try scope.space.page(id)
            // A page that is reached twice, in a cycle say, is refused here.
            try scope.database.freePages.free(PageRun(start: id, count: scope.space.pages(of: page)))
            if !page.isLeaf { for index in 0..<page.count { waiting.append(page.child(index)) } }
        }
    }

    /// Notes where the nested bucket `name` is now.
    func setBucket(_ name: [UInt8], value: ByteView) throws(BoltError) {
        let key = name.span.withUnsafeBytes { scope.database.arena.copy(ByteView($0)) }
        try place(Entry(key: key, value: value, flags: Format.bucketFlag))
    }
}

// Unfolding pages into nodes.
extension WritableBucket {
    /// The unfolded node of branch entry `entry`, or nil when the child is as it is in the file.
    @inline(__always)
    func node(at entry: Entry) -> Node? {
        entry.nodeNumber == 0 ? nil : nodes[Int(entry.nodeNumber) - 1]
    }

    func unfoldedRoot() throws(BoltError) -> Node {
        if let rootNode { return rootNode }
        let page = try scope.space.root(of: header)
        // An inline bucket's page is part of its parent's value, so there are no pages of its own to free.
        let run = PageRun(start: header.root, count: header.inline == nil ? scope.space.pages(of: page) : 0)
        let node = try Node(page, run: run)
        rootNode = node
        return node
    }

    /// The unfolded child of `parent` at `index`.
    func unfoldedChild(of parent: Node, at index: Int) throws(BoltError) -> Node {
        let entry = parent.entries[index]
        if let node = node(at: entry) { return node }
        let page = try scope.space.page(entry.child)
        let node = try Node(page, run: PageRun(start: entry.child, count: scope.space.pages(of: page)))
        nodes.append(node)
        parent.entries[index].nodeNumber = UInt32(nodes.count)
        return node
    }

    /// The unfolded leaf where `key` is or belongs.
    private func unfoldedLeaf(for key: ByteView) throws(BoltError) -> Node {
        var node = try unfoldedRoot()
        var isLast = true
        var depth = 0
        while !node.isLeaf {
            depth += 1
            guard depth < BoltLimit.treeDepth else { throw .damagedPage(id: node.run.start, defect: .tooDeep) }
            let index = node.childIndex(for: key)
            if index + 1 < node.entries.count { isLast = false }
            node = try unfoldedChild(of: node, at: index)
        }
        if isLast { lastLeaf = node }
        return node
    }
}
