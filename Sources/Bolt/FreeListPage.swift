/// The stored free list: a page (with overflow) of ascending page numbers.
enum FreeListPage {
    /// How many pages a list of `count` numbers needs at most.
    static func pages(count: UInt64, pageSize: Int) -> UInt64 {
        UInt64(size(count: Int(count)) / pageSize + 1)
    }

    /// The bytes of a list of `count` numbers.
    static func size(count: Int) -> Int {
        Format.pageHeaderSize + (count >= Format.freeListCountElsewhere ? count + 1 : count) * 8
    }

    /// Writes `ids` as the free list in the pages of `run` at `page`.
    static func store(_ ids: [UInt64], at page: UnsafeMutableRawPointer, run: PageRun) {
        let fits = ids.count < Format.freeListCountElsewhere
        page.storePageHeader(
            id: run.start, flags: Format.freeListFlag, count: fits ? ids.count : Format.freeListCountElsewhere,
            overflow: Int(run.count) - 1)
        var offset = Format.pageHeaderSize
        if !fits {
            page.storeU64(UInt64(ids.count), offset)
            offset += 8
        }
        for id in ids {
            page.storeU64(id, offset)
            offset += 8
        }
    }

    /// The pages that the free list at page `id` fills.
    static func run(of id: UInt64, in space: PageSpace) throws(BoltError) -> PageRun {
        guard id >= Format.firstDataPage && id < space.pageCount else {
            throw .damagedPage(id: id, defect: .outOfBounds(limit: space.pageCount))
        }
        let page = space.base + Int(id) * space.pageSize
        guard page.loadU64(0) == id else { throw .damagedPage(id: id, defect: .wrongID(page.loadU64(0))) }
        guard page.loadU16(8) == Format.freeListFlag else {
            throw .damagedPage(id: id, defect: .wrongFlags(page.loadU16(8)))
        }
        let overflow = page.loadU32(12)
        guard UInt64(overflow) < space.pageCount - id else {
            throw .damagedPage(id: id, defect: .overflow(pages: overflow, limit: space.pageCount))
        }
        return PageRun(start: id, count: UInt64(overflow) + 1)
    }

    /// The numbers in the free list at page `id`.
    static func load(_ id: UInt64, in space: PageSpace) throws(BoltError) -> [UInt64] {
        let run = try run(of: id, in: space)
        let page = space.base + Int(id) * space.pageSize
        let room = (Int(run.count) * space.pageSize - Format.pageHeaderSize) / 8
        var count = UInt64(page.loadU16(10))
        var first = 0
        if count == UInt64(Format.freeListCountElsewhere) {
            count = page.loadU64(Format.pageHeaderSize)
            first = 1
        }
        guard count <= UInt64(room - first) else {
            throw .damagedPage(id: id, defect: .elementCount(Int(clamping: count)))
        }
        var ids: [UInt64] = []
        ids.reserveCapacity(Int(count))
        var previous = Format.firstDataPage - 1
        for index in 0..<Int(count) {
            let entry = page.loadU64(Format.pageHeaderSize + (first + index) * 8)
            guard entry > previous && entry < space.pageCount else {
                throw .damagedPage(id: id, defect: .freeListEntry(index: index))
            }
            ids.append(entry)
            previous = entry
        }
        return ids
    }
}
