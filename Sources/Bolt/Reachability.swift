import Disk

/// Finds the pages that a state's trees use, for files that do not store their free list.
struct Reachability {
    /// Pages are fetched from the disk by pieces of this size. Touching them one by one in the mapping would read a cold
    /// file in single pages, which takes minutes for a few gigabytes.
    private static let pieceSize = 1 << 20

    private let space: PageSpace
    private let file: any DiskFile
    private var fetched = PageBits()
    private let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceSize, alignment: 4096)
    private var used = PageBits()
    private var waiting: [PageView] = []

    /// The pages of `space` that neither the trees below `root` nor the free list's own page use, in ascending order.
    static func freeIDs(in space: PageSpace, of file: any DiskFile, root: UInt64) throws(BoltError) -> [UInt64] {
        var walk = Reachability(space: space, file: file)
        defer { walk.piece.deallocate() }
        try walk.visit(root)
        try walk.finish()
        return (Format.firstDataPage..<space.pageCount).filter { !walk.used.contains($0) }
    }

    private init(space: PageSpace, file: any DiskFile) {
        self.space = space
        self.file = file
    }

    private mutating func fetch(_ id: UInt64) throws(BoltError) {
        guard id < space.pageCount else { return }
        let index = Int(id) * space.pageSize / Self.pieceSize
        guard !fetched.contains(UInt64(index)) else { return }
        fetched.insert(UInt64(index))
        _ = try onDisk { () throws(DiskError) in try file.read(into: piece, at: index * Self.pieceSize) }
    }

    private mutating func visit(_ id: UInt64) throws(BoltError) {
        try fetch(id)
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
