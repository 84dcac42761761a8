/// Disjoint runs of free pages, merged with their neighbours, found by start, by end and by length (the idea of bbolt's
/// hash-map free list: taking and returning a run costs the same however many pages are free).
struct SpanMap {
    private var lengthByStart: [UInt64: UInt64] = [:]
    private var startByEnd: [UInt64: UInt64] = [:]
    private var startsByLength: [UInt64: Set<UInt64>] = [:]
    /// The pages of all runs together.
    private(set) var pageCount: UInt64 = 0

    /// The runs, in no order.
    var runs: [PageRun] { lengthByStart.map { PageRun(start: $0.key, count: $0.value) } }

    /// Adds `run`, which touches none of the pages here, and joins it to its neighbours.
    mutating func insert(_ run: PageRun) {
        var run = run
        pageCount += run.count
        if let start = startByEnd[run.start], let length = lengthByStart[start] {
            remove(PageRun(start: start, count: length))
            run = PageRun(start: start, count: length + run.count)
        }
        if let length = lengthByStart[run.end] {
            remove(PageRun(start: run.end, count: length))
            run.count += length
        }
        add(run)
    }

    /// Takes `count` pages: from the run that starts at `near` when it is long enough, from a run of just that length, or
    /// from the longest run. Nil when no run is long enough.
    mutating func take(_ count: UInt64, near: UInt64) -> PageRun? {
        if let length = lengthByStart[near], length >= count {
            return cut(PageRun(start: near, count: length), count)
        }
        if let start = startsByLength[count]?.first {
            return cut(PageRun(start: start, count: count), count)
        }
        guard let longest = startsByLength.keys.max(), longest > count, let start = startsByLength[longest]?.first
        else {
            return nil
        }
        return cut(PageRun(start: start, count: longest), count)
    }

    private mutating func cut(_ run: PageRun, _ count: UInt64) -> PageRun {
        remove(run)
        if run.count > count { add(PageRun(start: run.start + count, count: run.count - count)) }
        pageCount -= count
        return PageRun(start: run.start, count: count)
    }

    private mutating func add(_ run: PageRun) {
        lengthByStart[run.start] = run.count
        startByEnd[run.end] = run.start
        startsByLength[run.count, default: []].insert(run.start)
    }

    private mutating func remove(_ run: PageRun) {
        lengthByStart[run.start] = nil
        startByEnd[run.end] = nil
        startsByLength[run.count]?.remove(run.start)
        if startsByLength[run.count]?.isEmpty == true { startsByLength[run.count] = nil }
    }
}
