/// One revision of one key as the index knows it.
struct KeyState {
    /// The transaction that made it.
    var main: Int64
    /// The transaction that created the key in this generation; 0 for a tombstone whose generation was compacted before a
    /// restart.
    var created: Int64
    /// The number of changes in this generation up to here, the tombstone included.
    var version: Int64
    /// The change within the transaction.
    var sub: UInt32
    var flags: UInt32

    static let tombstoneFlag: UInt32 = 1
    static let leasedFlag: UInt32 = 2

    var isTombstone: Bool { flags & Self.tombstoneFlag != 0 }
    /// Whether the stored key-value names a lease.
    var isLeased: Bool { flags & Self.leasedFlag != 0 }
    var revision: Revision { Revision(main: main, sub: Int64(sub)) }

    init(main: Int64, sub: Int64, created: Int64, version: Int64, flags: UInt32 = 0) {
        precondition(sub <= Int64(UInt32.max), "a transaction has fewer than 2^32 changes")
        self.main = main
        self.created = created
        self.version = version
        self.sub = UInt32(truncatingIfNeeded: sub)
        self.flags = flags
    }
}

/// A run of older states of a key, linked to the run before it.
///
/// A state is written once. The owner writes behind the states that any published record counts, so runs are shared
/// between all versions of a record without copying.
struct HistoryRun {
    let address: UnsafeMutableRawPointer

    struct Header {
        var previous: HistoryRun?
        /// The number of states in all runs before this one.
        var base: Int
        var capacity: Int
    }

    private static let headerSize = 32
    /// Runs double up to this many states (128 KiB), so that a key overwritten a million times costs no copying and its
    /// compacted runs are freed piece by piece.
    static let largestCapacity = 4096
    static let smallestCapacity = 2

    static func allocate(previous: HistoryRun?, base: Int, capacity: Int) -> HistoryRun {
        let run = HistoryRun(
            address: .allocate(byteCount: headerSize + capacity * MemoryLayout<KeyState>.stride, alignment: 8))
        run.address.initializeMemory(
            as: Header.self, to: Header(previous: previous, base: base, capacity: capacity))
        return run
    }

    var header: Header { address.load(as: Header.self) }

    var states: UnsafeMutablePointer<KeyState> {
        (address + Self.headerSize).assumingMemoryBound(to: KeyState.self)
    }
}

/// All that the index knows of a key: the newest state in place, older ones in runs.
struct KeyRecord {
    var current: KeyState
    private(set) var history: HistoryRun?
    /// Older states have the numbers `historyStart ..< historyEnd`; those before were compacted.
    private(set) var historyStart: UInt32
    private(set) var historyEnd: UInt32

    init(_ current: KeyState) {
        self.current = current
        history = nil
        historyStart = 0
        historyEnd = 0
    }

    /// The state number from which on a compaction begins to count anew, long before the numbers end: a key that is set
    /// a thousand times a second gets there in 25 days.
    private static let renumberingPoint: UInt32 = 1 << 31

    /// The number of older states.
    var historyCount: Int { Int(historyEnd - historyStart) }

    /// Whether compaction could find something to drop here.
    var hasGarbage: Bool { historyEnd != historyStart || current.isTombstone }

    /// The state that a reader at the main revision sees: the newest one at or below it, which may be a tombstone.
    @inline(__always)
    func state(at revision: Int64) -> KeyState? {
        if current.main <= revision { return current }
        return historyEnd == historyStart ? nil : olderState(at: revision)
    }

    private func olderState(at revision: Int64) -> KeyState? {
        var end = Int(historyEnd)
        var next = history
        while let run = next, end > historyStart {
            let header = run.header
            let first = max(header.base, Int(historyStart))
            if run.states[first - header.base].main <= revision {
                var low = first
                var high = end
                while high - low > 1 {
                    let middle = (low + high) / 2
                    if run.states[middle - header.base].main <= revision { low = middle } else { high = middle }
                }
                return run.states[low - header.base]
            }
            end = header.base
            next = header.previous
        }
        return nil
    }

    /// Calls `body` with every state from the oldest on.
    func forEachState(_ body: (KeyState) -> Void) {
        for index in 0..<historyCount { body(older(index)) }
        body(current)
    }

    /// The older state number `index`, counted from the oldest kept.
    func older(_ index: Int) -> KeyState {
        let number = Int(historyStart) + index
        var next = history
        while let run = next {
            let header = run.header
            if header.base <= number { return run.states[number - header.base] }
            next = header.previous
        }
        preconditionFailure("every state between a record's start and end lies in one of its runs")
    }

    /// Makes `state` the newest one; the one before becomes history. Done by the owner, on the newest version of the
    /// record alone.
    mutating func append(_ state: KeyState) {
        precondition(
            (current.main, current.sub) < (state.main, state.sub), "a key's revisions ascend")
        let end = Int(historyEnd)
        if let run = history, end < run.header.base + run.header.capacity {
            (run.states + (end - run.header.base)).initialize(to: current)
        } else {
            let capacity = min(max(historyCount, HistoryRun.smallestCapacity), HistoryRun.largestCapacity)
            let run = HistoryRun.allocate(previous: history, base: end, capacity: capacity)
            run.states.initialize(to: current)
            history = run
        }
        precondition(historyEnd < .max, "a key has fewer than 2^32 uncompacted revisions")
        historyEnd += 1
        current = state
    }

    /// Drops the `count` oldest states; `release` gets the memory that the record no longer needs.
    mutating func dropOldest(_ count: Int, release: (HistoryRun) -> Void) {
        precondition(count <= historyCount, "only older states are dropped")
        guard let newest = history else { return }
        let oldStart = historyStart
        historyStart += UInt32(count)
        let remaining = historyCount
        guard remaining * 4 <= newest.header.capacity || historyEnd > Self.renumberingPoint else {
            let newStart = Int(historyStart)
            Self.forEachRun(newest, fromStart: oldStart) { run in
                if run.header.base + run.header.capacity <= newStart { release(run) }
            }
            return
        }
        // A run that is mostly dropped would hold its memory for a few states, so those move to a run of their own.
        var fresh: HistoryRun?
        if remaining > 0 {
            let run = HistoryRun.allocate(previous: nil, base: 0, capacity: max(remaining, HistoryRun.smallestCapacity))
            for index in 0..<remaining { (run.states + index).initialize(to: older(index)) }
            fresh = run
        }
        Self.forEachRun(newest, fromStart: oldStart, release)
        history = fresh
        historyStart = 0
        historyEnd = UInt32(remaining)
    }

    /// Gives back all of the record's runs.
    func releaseHistory(_ release: (HistoryRun) -> Void) {
        guard let history else { return }
        Self.forEachRun(history, fromStart: historyStart, release)
    }

    /// Calls `body` with the newest run and those before it down to the one that holds the state number `start`. The link
    /// behind that one leads to memory that was given back.
    private static func forEachRun(_ newest: HistoryRun, fromStart start: UInt32, _ body: (HistoryRun) -> Void) {
        var next: HistoryRun? = newest
        while let run = next {
            let header = run.header
            next = header.base <= Int(start) ? nil : header.previous
            body(run)
        }
    }
}
