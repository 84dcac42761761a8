/// Disjoint runs of free pages, merged with their neighbours, found by start, by end and by length (the idea of bbolt's
/// hash-map free list: taking and returning a run costs the same however many pages are free).
struct SpanMap {
    private var placeByStart: [UInt64: Place] = [:]
    private var startByEnd: [UInt64: UInt64] = [:]
    private var startsByLength: [UInt64: [UInt64]] = [:]
    /// The pages of all runs together.
    private(set) var pageCount: UInt64 = 0

    /// A run's length, and where it stands in the row of the runs of that length.
    private struct Place {
        var length: UInt64
        var index: Int
    }

    /// The runs, in no order.
    var runs: [PageRun] { placeByStart.map { PageRun(start: $0.key, count: $0.value.length) } }

    /// Adds `run`, which touches none of the pages here, and joins it to its neighbours.
    mutating func insert(_ run: PageRun) {
        var run = run
        pageCount += run.count
        if let start = startByEnd[run.start], let length = placeByStart[start]?.length {
            remove(PageRun(start: start, count: length))
            run = PageRun(start: start, count: length + run.count)
        }
        if let length = placeByStart[run.end]?.length {
            remove(PageRun(start: run.end, count: length))
            run.count += length
        }
        add(run)
    }

    /// Takes `count` pages: from the run that starts at `near` when it is long enough, from a run of just that length, or
    /// from the longest run. Nil when no run is long enough.
    mutating func take(_ count: UInt64, near: UInt64) -> PageRun? {
        if let length = placeByStart[near]?.length, length >= count {
            return cut(PageRun(start: near, count: length), count)
        }
        if let start = startsByLength[count]?.last {
            return cut(PageRun(start: start, count: count), count)
        }
        guard let longest = startsByLength.keys.max(), longest > count, let start = startsByLength[longest]?.last
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
        placeByStart[run.start] = Place(length: run.count, index: startsByLength[run.count, default: []].count)
        startByEnd[run.end] = run.start
        startsByLength[run.count, default: []].append(run.start)
    }

    private mutating func remove(_ run: PageRun) {
        guard let place = placeByStart.removeValue(forKey: run.start) else { return }
        startByEnd[run.end] = nil
        // The last of the row takes the place of the one that goes.
        guard let last = startsByLength[run.count]?.popLast() else { return }
        if last != run.start {
            startsByLength[run.count]?[place.index] = last
            placeByStart[last]?.index = place.index
        }
        if startsByLength[run.count]?.isEmpty == true { startsByLength[run.count] = nil }
    }
}
