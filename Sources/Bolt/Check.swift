/// Something wrong that ``Check`` found.
public struct Finding: Equatable, Sendable, CustomStringConvertible {
    /// The page it is about.
    public var page: UInt64
    public var problem: Problem

    /// What is wrong with a page or its place in the file.
    public enum Problem: Equatable, Sendable {
        /// The page cannot be read as what its place demands.
        case defect(PageDefect)
        /// The key of element `index` does not sort after the one before it.
        case disorder(index: Int)
        /// The key of element `index` sorts before the parent's key for the page.
        case belowParent(index: Int)
        /// The key of element `index` does not sort before the parent's key for the next page.
        case beyondParent(index: Int)
        /// A leaf element has flags that mean nothing.
        case unknownFlags(index: Int, flags: UInt32)
        /// The page is used and also in the free list.
        case usedAndFree
        /// No tree reaches the page, and it is not in the free list.
        case lost
    }

    public var description: String {
        switch problem {
        case .defect(let defect): "page \(page): \(defect)"
        case .disorder(let index): "page \(page): key \(index) does not sort after key \(index - 1)"
        case .belowParent(let index): "page \(page): key \(index) sorts before the parent's key for the page"
        case .beyondParent(let index): "page \(page): key \(index) does not sort before the parent's next key"
        case .unknownFlags(let index, let flags):
            "page \(page): element \(index) has unknown flags 0x\(String(flags, radix: 16))"
        case .usedAndFree: "page \(page): used by a tree and in the free list"
        case .lost: "page \(page): unreachable and not in the free list"
        }
    }
}

/// Walks every page of a state and finds what is wrong: damaged pages, pages used twice, keys out of order within and
/// across pages, and pages that are lost or both used and free.
public struct Check {
    /// Findings kept: a file with more is ruined, and one damaged page can make every other page lost.
    public static let findingLimit = 1000

    private let space: PageSpace
    private var findings: [Finding] = []
    private var used = PageBits()
    private var waiting: [Visit] = []

    /// A page to walk, with the keys between which the parent says its own lie.
    private struct Visit {
        var page: PageView
        var lower: ByteView?
        var upper: ByteView?
    }

    /// What is wrong with the state that `transaction` reads, at most ``findingLimit`` findings. In a file that does not
    /// store its free list, a page that no tree reaches is free by definition. Never throws or traps, whatever the file
    /// holds.
    public static func findings(in transaction: ReadTransaction) -> [Finding] {
        var check = Check(space: transaction.space)
        check.walkTrees(root: transaction.meta.root)
        check.checkStoredFreeList(transaction.meta.freeList)
        return check.findings
    }

    /// As ``findings(in:)-(ReadTransaction)`` of the newest state, and in addition against the free list in memory. Must
    /// not run while a write transaction is open.
    public static func findings(in database: Database) throws(BoltError) -> [Finding] {
        let transaction = try database.beginRead()
        defer { transaction.close() }
        var check = Check(space: transaction.space)
        check.walkTrees(root: transaction.meta.root)
        check.checkStoredFreeList(transaction.meta.freeList)
        guard !database.options.readOnly else { return check.findings }
        for id in Format.firstDataPage..<transaction.meta.pageCount {
            check.checkUse(of: id, isFree: database.freePages.contains(id))
        }
        return check.findings
    }

    private init(space: PageSpace) {
        self.space = space
    }

    private mutating func report(_ page: UInt64, _ problem: Finding.Problem) {
        if findings.count < Self.findingLimit { findings.append(Finding(page: page, problem: problem)) }
    }

    /// Notes a page's error; the caller goes on elsewhere.
    private mutating func report(_ error: BoltError, at page: UInt64) {
        if case .damagedPage(let id, let defect) = error { report(id, .defect(defect)) }
    }

    private mutating func walkTrees(root: UInt64) {
        reach(root, lower: nil, upper: nil)
        while let visit = waiting.popLast() {
            checkKeys(visit)
            for index in 0..<visit.page.count {
                do {
                    if visit.page.isLeaf {
                        try checkLeafElement(visit.page, index)
                    } else {
                        let upper = index + 1 < visit.page.count ? try visit.page.key(index + 1) : visit.upper
                        reach(visit.page.child(index), lower: try visit.page.key(index), upper: upper)
                    }
                } catch {
                    report(error, at: visit.page.id)
                }
            }
        }
    }

    /// Counts page `id` as used and queues it, unless it was reached before.
    private mutating func reach(_ id: UInt64, lower: ByteView?, upper: ByteView?) {
        do {
            let page = try space.page(id)
            if use(PageRun(start: id, count: space.pages(of: page))) {
                waiting.append(Visit(page: page, lower: lower, upper: upper))
            }
        } catch {
            report(error, at: id)
        }
    }

    private mutating func use(_ run: PageRun) -> Bool {
        for id in run.start..<run.end {
            if used.contains(id) {
                report(id, .defect(.usedTwice))
                return false
            }
            used.insert(id)
        }
        return true
    }

    private mutating func checkKeys(_ visit: Visit) {
        var previous: ByteView?
        for index in 0..<visit.page.count {
            // An element that cannot be read is reported when the walk comes to it.
            guard let key = try? visit.page.key(index) else { continue }
            if let previous, previous.compare(key) >= 0 { report(visit.page.id, .disorder(index: index)) }
            if let lower = visit.lower, key.compare(lower) < 0 { report(visit.page.id, .belowParent(index: index)) }
            if let upper = visit.upper, key.compare(upper) >= 0 { report(visit.page.id, .beyondParent(index: index)) }
            previous = key
        }
    }

    private mutating func checkLeafElement(_ page: PageView, _ index: Int) throws(BoltError) {
        let leaf = try page.leaf(index)
        guard leaf.flags & ~Format.bucketFlag == 0 else {
            return report(page.id, .unknownFlags(index: index, flags: leaf.flags))
        }
        guard leaf.isBucket else { return }
        let bucket = try leaf.bucketHeader()
        if let inline = bucket.inline {
            waiting.append(Visit(page: inline, lower: nil, upper: nil))
        } else {
            reach(bucket.root, lower: nil, upper: nil)
        }
    }

    private mutating func checkStoredFreeList(_ page: UInt64) {
        guard page != Format.noFreeList else { return }
        do {
            let ids = try FreeListPage.load(page, in: space)
            _ = use(try FreeListPage.run(of: page, in: space))
            var free = PageBits()
            for id in ids { free.insert(id) }
            for id in Format.firstDataPage..<space.pageCount { checkUse(of: id, isFree: free.contains(id)) }
        } catch {
            report(error, at: page)
        }
    }

    private mutating func checkUse(of id: UInt64, isFree: Bool) {
        if used.contains(id) && isFree { report(id, .usedAndFree) }
        if !used.contains(id) && !isFree { report(id, .lost) }
    }
}
