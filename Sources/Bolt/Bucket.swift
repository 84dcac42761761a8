/// A bucket of a ``ReadTransaction``. What it returns is valid until the transaction is closed.
public struct Bucket: @unchecked Sendable {
    let transaction: ReadTransaction
    let space: PageSpace
    let header: BucketHeader

    init(transaction: ReadTransaction, header: BucketHeader) {
        self.transaction = transaction
        self.space = transaction.space
        self.header = header
    }

    /// The bucket's sequence number, which belongs to the application.
    public var sequence: UInt64 { header.sequence }

    /// The value of `key`, or nil when there is none or `key` names a bucket. Throws `damagedPage`.
    public func get(_ key: UnsafeRawBufferPointer) throws(BoltError) -> UnsafeRawBufferPointer? {
        guard let element = try find(ByteView(key)), !element.isBucket else { return nil }
        return element.value.buffer
    }

    /// The value of `key`, or nil when there is none or `key` names a bucket. Throws `damagedPage`.
    public func get(_ key: [UInt8]) throws(BoltError) -> UnsafeRawBufferPointer? {
        try key.span.withUnsafeBytes { (key) throws(BoltError) in try get(key) }
    }

    /// A cursor over the keys and nested buckets, in order.
    public func cursor() -> Cursor {
        Cursor(space: space, owner: transaction, header: header, editing: nil)
    }

    /// The nested bucket `name`, or nil when there is none. Throws `damagedPage`.
    public func bucket(_ name: [UInt8]) throws(BoltError) -> Bucket? {
        try name.span.withUnsafeBytes { (name) throws(BoltError) -> Bucket? in
            guard let element = try find(ByteView(name)), element.isBucket else { return nil }
            return Bucket(transaction: transaction, header: try element.bucketHeader())
        }
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

    private func find(_ key: ByteView) throws(BoltError) -> LeafElement? {
        try space.find(key, from: try space.root(of: header))
    }
}

extension PageSpace {
    /// The leaf element with `key` in the tree whose root page is `root`.
    @inline(__always)
    func find(_ key: ByteView, from root: PageView) throws(BoltError) -> LeafElement? {
        var page = root
        var depth = 0
        while !page.isLeaf {
            depth &+= 1
            guard depth < BoltLimit.treeDepth else { throw .damagedPage(id: page.id, defect: .tooDeep) }
            page = try self.page(page.child(try page.childIndex(for: key)))
        }
        let (index, found) = try page.position(of: key)
        return found ? try page.leaf(index) : nil
    }
}
