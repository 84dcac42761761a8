/// Finds the pages that a state's trees use, for files that do not store their free list.
struct Reachability {
    private let space: PageSpace
    private var used = PageBits()
    private var waiting: [PageView] = []

    /// The pages of `space` that neither the trees below `root` nor the free list's own page use, in ascending order.
    static func freeIDs(in space: PageSpace, root: UInt64) throws(BoltError) -> [UInt64] {
        var walk = Reachability(space: space)
        try walk.visit(root)
        try walk.finish()
        return (Format.firstDataPage..<space.pageCount).filter { !walk.used.contains($0) }
    }

    private init(space: PageSpace) {
        self.space = space
    }

    private mutating func visit(_ id: UInt64) throws(BoltError) {
        let page = try space.page(id)
        // A second visit is an error, so that cycles end and nothing is walked twice.
        for number in id..<id + space.pages(of: page) {
            guard !used.contains(number) else { throw .damagedPage(id: number, defect: .usedTwice) }
            used.insert(number)
        }
        waiting.append(page)
    }

    private mutating func finish() throws(BoltError) {
        while let page = waiting.popLast() {
            for index in 0..<page.count {
                if !page.isLeaf {
                    try visit(page.child(index))
                } else if page.flags(index) & Format.bucketFlag != 0 {
                    let bucket = try page.leaf(index).bucketHeader()
                    if let inline = bucket.inline { waiting.append(inline) } else { try visit(bucket.root) }
                }
            }
        }
    }
}
