/// Finds the watchers of a key: a dictionary for single keys, an interval tree for ranges.
///
/// Watchers of the same key or range form a chain through their rows, so that the index holds one entry for them all.
struct WatcherIndex {
    private var chainOfKey: [WatchedKey: Int32] = [:]
    private var ranges = IntervalTree()
    /// All watchers of the index.
    private(set) var members = WatcherList()

    mutating func insert(_ slot: Int32, in table: inout WatcherTable) {
        members.append(slot, in: &table)
        var head: Int32 = -1
        switch table[slot].keys {
        case .key(let key):
            head = chainOfKey.updateValue(slot, forKey: WatchedKey(bytes: key)) ?? -1
        case .range(let start, let end):
            let (node, isNew) = ranges.insert(start: start, end: end, value: slot)
            table[slot].node = node
            if !isNew {
                head = ranges[node]
                ranges[node] = slot
            }
        }
        table[slot].previousSame = -1
        table[slot].nextSame = head
        if head >= 0 { table[head].previousSame = slot }
    }

    mutating func remove(_ slot: Int32, in table: inout WatcherTable) {
        members.remove(slot, in: &table)
        let previous = table[slot].previousSame
        let next = table[slot].nextSame
        if next >= 0 { table[next].previousSame = previous }
        if previous >= 0 {
            table[previous].nextSame = next
            return
        }
        switch table[slot].keys {
        case .key(let key):
            chainOfKey[WatchedKey(bytes: key)] = next >= 0 ? next : nil
        case .range(let start, let end):
            if next >= 0 {
                ranges[table[slot].node] = next
            } else {
                ranges.remove(start: start, end: end)
            }
        }
    }

    /// Appends the first watcher of each chain that watches `key`.
    func appendChains(of key: [UInt8], to chains: inout [Int32]) {
        if !chainOfKey.isEmpty, let head = chainOfKey[WatchedKey(bytes: key)] { chains.append(head) }
        if !ranges.isEmpty { ranges.appendValues(containing: key, to: &chains) }
    }
}
