/// A watcher: one row of a ``WatcherTable``.
struct Watcher {
    /// What its client asked for.
    struct Traits: OptionSet {
        var rawValue: UInt8
        static let excludesPuts = Traits(rawValue: 1)
        static let excludesDeletes = Traits(rawValue: 2)
        static let previousKeyValue = Traits(rawValue: 4)
        static let fragments = Traits(rawValue: 8)
        static let progressNotify = Traits(rawValue: 16)
        /// It was sent events since the last progress tick.
        static let busy = Traits(rawValue: 32)
    }

    /// The list or index that a watcher is in.
    enum Place: Equatable {
        /// In none; a new row or a free one.
        case nowhere
        /// In the index of this number, which is the synced one or that of a scan.
        case index(UInt8)
        /// Set aside on its stream, until that can be written again.
        case setAside
        /// Waiting for a scan of history to begin.
        case waiting
    }

    var keys: WatchedKeys
    var watchID: Int64
    /// The first revision that the watcher has not been told of; for one in a scan, the larger of this and the scan's
    /// position.
    var needed: Int64
    var stream: Int32
    var traits: Traits
    var place: Place = .nowhere
    /// Neighbours among the watchers of the same key or range.
    var previousSame: Int32 = -1
    var nextSame: Int32 = -1
    /// The range's node in the index's tree.
    var node: Int32 = -1
    /// Neighbours in the index or list that the watcher is in.
    var previousMember: Int32 = -1
    var nextMember: Int32 = -1
    /// The events matched in the batch under way, as a list of ``EventBatch`` cells.
    var firstCell: Int32 = -1
    var lastCell: Int32 = -1
}

/// A doubly linked list of watchers through their member links; in the order of joining.
struct WatcherList {
    private(set) var first: Int32 = -1
    private(set) var last: Int32 = -1
    private(set) var count = 0

    mutating func append(_ slot: Int32, in table: inout WatcherTable) {
        table[slot].previousMember = last
        table[slot].nextMember = -1
        if last >= 0 { table[last].nextMember = slot } else { first = slot }
        last = slot
        count += 1
    }

    mutating func remove(_ slot: Int32, in table: inout WatcherTable) {
        let previous = table[slot].previousMember
        let next = table[slot].nextMember
        if previous >= 0 { table[previous].nextMember = next } else { first = next }
        if next >= 0 { table[next].previousMember = previous } else { last = previous }
        count -= 1
    }

    /// The members, for a loop that changes the list.
    func members(in table: WatcherTable) -> [Int32] {
        var slots: [Int32] = []
        slots.reserveCapacity(count)
        var slot = first
        while slot >= 0 {
            slots.append(slot)
            slot = table[slot].nextMember
        }
        return slots
    }
}

/// All watchers of a hub, in rows that are named by a small number and used again.
struct WatcherTable {
    private var rows: ContiguousArray<Watcher> = []
    private var free: [Int32] = []

    /// The number of watchers.
    var count: Int { rows.count - free.count }

    subscript(slot: Int32) -> Watcher {
        _read { yield rows[Int(slot)] }
        _modify { yield &rows[Int(slot)] }
    }

    mutating func insert(_ watcher: Watcher) -> Int32 {
        if let slot = free.popLast() {
            rows[Int(slot)] = watcher
            return slot
        }
        let slot = Int32(rows.count)
        rows.append(watcher)
        return slot
    }

    mutating func remove(_ slot: Int32) {
        rows[Int(slot)].keys = .key([])
        rows[Int(slot)].place = .nowhere
        free.append(slot)
    }
}
