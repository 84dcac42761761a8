/// A row of adjacent pages.
struct PageRun: Equatable {
    var start: UInt64
    var count: UInt64
    var end: UInt64 { start + count }
}

/// The file's pages that no tree uses: free ones, and ones that were freed but must stay for readers of older states.
///
/// Owned by the one writer. What it costs depends on the pages that a transaction takes and frees, not on how many
/// are free: free runs are found by start, by end and by length.
struct FreePages {
    /// Runs that may be taken.
    private var spans = SpanMap()
    /// One bit for each page that is free or held back; catches a page that is freed twice.
    private var unused = PageBits()
    /// Runs that the last committed transaction freed; not yet sorted by the readers that need them.
    private var recent: [FreedRun] = []
    /// Runs held back, each under one open reader that may read them.
    private var held: [UInt64: [FreedRun]] = [:]
    private var heldCount: UInt64 = 0
    /// The transactions that took pages, by first page, as far as an open reader may be older than them.
    private var takenBy: [UInt64: UInt64] = [:]
    private var takenLog: [(transaction: UInt64, starts: [UInt64])] = []
    /// What the transaction in progress has done.
    private var taken: [PageRun] = []
    private var freed: [PageRun] = []
    /// Where the last run was cut off, so that the pages of one commit lie side by side.
    private var hint: UInt64 = 0
    /// One past the file's last page, the transaction in progress included.
    private(set) var pageCount: UInt64
    private var committedPageCount: UInt64

    /// A freed run, needed by readers of the states from `takenBy` up to, not including, `freedBy`.
    private struct FreedRun {
        var run: PageRun
        var takenBy: UInt64
        var freedBy: UInt64
    }

    /// The free pages of a file with `pageCount` pages; `ids` in ascending order.
    init(pageCount: UInt64, free ids: [UInt64]) {
        self.pageCount = pageCount
        self.committedPageCount = pageCount
        for run in Self.runs(ids) { release(run) }
        for id in ids { unused.insert(id) }
    }

    /// How many pages may be taken.
    var freeCount: UInt64 { spans.pageCount }

    /// How many pages the stored free list has: the free, those held back, and those freed by the transaction in progress.
    var storedCount: UInt64 { spans.pageCount + heldCount + freed.reduce(0) { $0 + $1.count } }

    /// The pages of the stored free list, in ascending order.
    var storedIDs: [UInt64] {
        var runs = spans.runs + freed + recent.map(\.run)
        for list in held.values { runs += list.map(\.run) }
        runs.sort { $0.start < $1.start }
        return runs.flatMap { $0.start..<$0.end }
    }

    /// Whether `id` is free or held back.
    func contains(_ id: UInt64) -> Bool { unused.contains(id) }

    /// Starts a transaction: pages that none of `readers` (states open for reading, ascending) can reach become free.
    mutating func begin(readers: [UInt64]) {
        let oldest = readers.first ?? .max
        while let first = takenLog.first, first.transaction <= oldest {
            for start in first.starts where takenBy[start] == first.transaction { takenBy[start] = nil }
            takenLog.removeFirst()
        }
        var again = recent
        recent = []
        for reader in held.keys where !readers.contains(reader) {
            if let list = held.removeValue(forKey: reader) { again += list }
        }
        var released: [PageRun] = []
        for run in again {
            if let reader = readers.last(where: { $0 < run.freedBy }), reader >= run.takenBy {
                held[reader, default: []].append(run)
            } else {
                heldCount -= run.run.count
                released.append(run.run)
            }
        }
        released.sort { $0.start < $1.start }
        for run in released { release(run) }
    }

    /// Takes `count` adjacent pages, from the free ones or from behind the end of the file.
    mutating func take(_ count: UInt64) -> PageRun {
        var run: PageRun
        if let found = spans.take(count, near: hint) {
            run = found
            for id in run.start..<run.end { unused.remove(id) }
        } else {
            run = PageRun(start: pageCount, count: count)
            pageCount += count
        }
        hint = run.end
        taken.append(run)
        return run
    }

    /// Frees `run` when the transaction in progress commits.
    mutating func free(_ run: PageRun) throws(BoltError) {
        for id in run.start..<run.end {
            guard !unused.contains(id) else {
                for earlier in run.start..<id { unused.remove(earlier) }
                throw .damagedPage(id: id, defect: .freedTwice)
            }
            unused.insert(id)
        }
        freed.append(run)
    }

    /// The transaction in progress has become state `transaction`. With `olderReaders`, notes which pages it took, so that
    /// they need not be held back for those readers.
    mutating func commit(transaction: UInt64, olderReaders: Bool) {
        for run in freed {
            recent.append(
                FreedRun(run: run, takenBy: takenBy.removeValue(forKey: run.start) ?? 0, freedBy: transaction))
            heldCount += run.count
        }
        if olderReaders {
            for run in taken { takenBy[run.start] = transaction }
            takenLog.append((transaction, taken.map(\.start)))
        }
        taken.removeAll(keepingCapacity: true)
        freed.removeAll(keepingCapacity: true)
        committedPageCount = pageCount
    }

    /// Undoes what the transaction in progress has done.
    mutating func rollback() {
        for run in taken where run.start < committedPageCount {
            for id in run.start..<run.end { unused.insert(id) }
            release(run)
        }
        for run in freed {
            for id in run.start..<run.end { unused.remove(id) }
        }
        taken.removeAll(keepingCapacity: true)
        freed.removeAll(keepingCapacity: true)
        pageCount = committedPageCount
    }

    private mutating func release(_ run: PageRun) {
        spans.insert(run)
    }

    /// The ascending `ids` as runs.
    private static func runs(_ ids: [UInt64]) -> [PageRun] {
        var runs: [PageRun] = []
        for id in ids {
            if let last = runs.last, last.end == id {
                runs[runs.count - 1].count += 1
            } else {
                runs.append(PageRun(start: id, count: 1))
            }
        }
        return runs
    }
}

/// A set of page numbers, one bit each: a file of 10 GiB needs 320 KiB.
struct PageBits {
    private var words: [UInt64] = []

    func contains(_ id: UInt64) -> Bool {
        let word = Int(id >> 6)
        return word < words.count && words[word] & (1 << (id & 63)) != 0
    }

    mutating func insert(_ id: UInt64) {
        let word = Int(id >> 6)
        if word >= words.count {
            // Grown by halves so that a growing file costs a constant per page.
            words.append(contentsOf: repeatElement(0, count: max(word + 1, words.count * 3 / 2) - words.count))
        }
        words[word] |= 1 << (id & 63)
    }

    mutating func remove(_ id: UInt64) {
        let word = Int(id >> 6)
        if word < words.count { words[word] &= ~(1 << (id & 63)) }
    }
}
