extension Check {
    /// Describes every page that the state of `transaction` reaches, and its buckets, in `line`s for a person to read.
    public static func dump(_ transaction: ReadTransaction, line: @escaping (String) -> Void) {
        let meta = transaction.meta
        line("page size \(meta.pageSize), \(meta.pageCount) pages, transaction \(meta.transaction)")
        let freeList = meta.freeList == Format.noFreeList ? "not stored" : "in page \(meta.freeList)"
        line("root bucket in page \(meta.root), free list \(freeList)")
        var dump = Dump(space: transaction.space, line: line)
        dump.visit(meta.root, indentation: "")
    }

    private struct Dump {
        let space: PageSpace
        let line: (String) -> Void
        /// Pages already shown, so that a cycle ends.
        var shown = PageBits()
        var depth = 0

        mutating func visit(_ id: UInt64, indentation: String) {
            do {
                let page = try space.page(id)
                guard !shown.contains(id), depth < BoltLimit.treeDepth else {
                    return line("\(indentation)page \(id): again")
                }
                shown.insert(id)
                try show(page, name: "page \(id)", indentation: indentation)
            } catch {
                line("\(indentation)\(error)")
            }
        }

        private mutating func show(_ page: PageView, name: String, indentation: String) throws(BoltError) {
            depth += 1
            defer { depth -= 1 }
            let kind = page.isLeaf ? "leaf" : "branch"
            line("\(indentation)\(name): \(kind), \(page.count) elements, \(page.byteCount) bytes")
            for index in 0..<page.count {
                guard page.isLeaf else {
                    line("\(indentation)  \(BoltError.quoted(try page.key(index).array)) → page \(page.child(index))")
                    visit(page.child(index), indentation: indentation + "    ")
                    continue
                }
                let leaf = try page.leaf(index)
                let key = BoltError.quoted(leaf.key.array)
                guard leaf.isBucket else {
                    line("\(indentation)  \(key): \(leaf.value.count) bytes")
                    continue
                }
                let bucket = try leaf.bucketHeader()
                line("\(indentation)  bucket \(key), sequence \(bucket.sequence)")
                if let inline = bucket.inline {
                    try show(inline, name: "inline page", indentation: indentation + "    ")
                } else {
                    visit(bucket.root, indentation: indentation + "    ")
                }
            }
        }
    }
}
