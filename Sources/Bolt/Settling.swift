// A commit turns a bucket's unfolded nodes back into pages: small ones are merged, large ones split, and each changed
// page is written to a new place, up to the root.
extension WritableBucket {
    /// Settles the top level's bucket and returns its new root page, or nil when nothing has changed.
    func settleRoot() throws(BoltError) -> UInt64? {
        try settleNested(depth: 0)
        guard rootNode != nil else { return nil }
        return try settledTree()
    }

    /// Settles a nested bucket and returns its new value in the parent's leaf, or nil when nothing has changed.
    private func settledValue(depth: Int) throws(BoltError) -> ByteView? {
        guard depth < BoltLimit.bucketDepth else { throw .bucketsTooDeep }
        try settleNested(depth: depth)
        guard rootNode != nil else { return nil }
        try mergeSmallNodes()
        if let rootNode, fitsInline(rootNode) {
            if rootNode.run.count > 0 { try scope.database.freePages.free(rootNode.run) }
            return inlineValue(of: rootNode)
        }
        let root = try settledTree()
        let value = scope.database.arena.take(Format.bucketHeaderSize)
        value.storeU64(root, 0)
        value.storeU64(sequence, 8)
        return ByteView(start: UnsafeRawPointer(value), count: Format.bucketHeaderSize)
    }

    private func settleNested(depth: Int) throws(BoltError) {
        guard !buckets.isEmpty else { return }
        // In order of names, so that equal transactions make equal files.
        for (name, bucket) in buckets.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            if let value = try bucket.settledValue(depth: depth + 1) { try setBucket(name, value: value) }
        }
    }

    /// Whether the bucket is stored in its parent's leaf: bbolt's rule is a lone leaf of at most a quarter page without
    /// nested buckets.
    private func fitsInline(_ root: Node) -> Bool {
        root.isLeaf && root.size <= scope.pageSize / 4 && root.entries.count <= BoltLimit.elementsPerPage
            && !root.entries.contains { $0.isBucket }
    }

    /// The value of an inline bucket: its header and its only page.
    func inlineValue(of root: Node) -> ByteView {
        let size = Format.bucketHeaderSize + root.size
        let value = scope.database.arena.take(size)
        value.storeU64(0, 0)
        value.storeU64(sequence, 8)
        root.store(0..<root.entries.count, at: value + Format.bucketHeaderSize, id: 0, overflow: 0)
        return ByteView(start: UnsafeRawPointer(value), count: size)
    }

    private func settledTree() throws(BoltError) -> UInt64 {
        try mergeSmallNodes()
        guard let rootNode else { preconditionFailure("a changed bucket has an unfolded root") }
        var roots = try settled(rootNode)
        while roots.count > 1 {
            let branch = Node(isLeaf: false)
            branch.entries = roots
            branch.contentSize = roots.reduce(0) { $0 + $1.size }
            roots = try write(branch)
        }
        guard let root = roots.first else { preconditionFailure("a node makes at least one page") }
        return root.child
    }

    /// Writes `node` and the unfolded nodes below it; returns the branch entries for the pages it became.
    private func settled(_ node: Node) throws(BoltError) -> [Entry] {
        if !node.isLeaf {
            var entries: [Entry] = []
            entries.reserveCapacity(node.entries.count + 1)
            for entry in node.entries {
                if let child = self.node(at: entry) {
                    entries += try settled(child)
                } else {
                    entries.append(entry)
                }
            }
            node.entries = entries
            node.contentSize = entries.reduce(0) { $0 + $1.size }
        }
        return try write(node)
    }

    private func write(_ node: Node) throws(BoltError) -> [Entry] {
        let database = scope.database
        if node.run.count > 0 { try database.freePages.free(node.run) }
        node.run = PageRun(start: 0, count: 0)
        var written: [Entry] = []
        for (range, size) in node.cuts(pageSize: scope.pageSize, fillPercent: fillPercent) {
            let pages = (size + scope.pageSize - 1) / scope.pageSize
            let run = database.freePages.take(UInt64(pages))
            let room = try database.writer.room(for: run, used: size, in: database.file)
            node.store(range, at: room, id: run.start, overflow: pages - 1)
            let firstKey =
                range.isEmpty ? ByteView(start: ByteView.nowhere, count: 0) : node.entries[range.lowerBound].keyView
            written.append(Entry(key: firstKey, child: run.start))
        }
        return written
    }
}

// Merging nodes that deletions have left small.
extension WritableBucket {
    private func mergeSmallNodes() throws(BoltError) {
        guard var root = rootNode else { return }
        try mergeSmallChildren(of: root)
        while !root.isLeaf && root.entries.count <= 1 && root.hasShrunk {
            if root.run.count > 0 { try scope.database.freePages.free(root.run) }
            root = root.entries.isEmpty ? Node(isLeaf: true) : try unfoldedChild(of: root, at: 0)
            rootNode = root
        }
    }

    private func mergeSmallChildren(of node: Node) throws(BoltError) {
        guard !node.isLeaf else { return }
        for entry in node.entries {
            if let child = self.node(at: entry) { try mergeSmallChildren(of: child) }
        }
        var index = 0
        while index < node.entries.count {
            guard let child = self.node(at: node.entries[index]), child.hasShrunk, isSmall(child) else {
                index += 1
                continue
            }
            if child.entries.isEmpty {
                try drop(child, from: node, at: index)
            } else if node.entries.count == 1 {
                index += 1
            } else if index > 0 {
                try unfoldedChild(of: node, at: index - 1).absorb(child)
                try drop(child, from: node, at: index)
                index -= 1
            } else {
                let right = try unfoldedChild(of: node, at: 1)
                child.absorb(right)
                try drop(right, from: node, at: 1)
            }
        }
    }

    /// bbolt's rule: at most a quarter page, or too few entries to be a node of its kind.
    private func isSmall(_ node: Node) -> Bool {
        node.size <= scope.pageSize / 4 || node.entries.count < (node.isLeaf ? 1 : 2)
    }

    private func drop(_ child: Node, from parent: Node, at index: Int) throws(BoltError) {
        if child.run.count > 0 { try scope.database.freePages.free(child.run) }
        child.run = PageRun(start: 0, count: 0)
        parent.remove(at: index)
    }
}
