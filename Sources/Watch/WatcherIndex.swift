/// Finds the watchers of a key: a dictionary for single keys, an interval tree for ranges.
///
/// Watchers of the same key or range form a chain through their rows, in the order of joining, so that the index holds
/// one entry for them all. The links back form a ring: the first one's leads to the last.
struct WatcherIndex {
    private var chainOfKey: [WatchedKey: Int32] = [:]
    private var ranges = IntervalTree()
    /// All watchers of the index.
    private(set) var members = WatcherList()

    mutating func insert(_ slot: Int32, in table: inout WatcherTable) {
        members.append(slot, in: &table)
        var head: Int32
        switch table[slot].keys {
        case .key(let key):
            head = chainOfKey[WatchedKey(bytes: key), default: slot]
            if head == slot { chainOfKey[WatchedKey(bytes: key)] = slot }
        case .range(let start, let end):
            let node = ranges.insert(start: start, end: end, value: slot)
            table[slot].node = node
            head = ranges[node]
        }
        table[slot].nextSame = -1
        let last = head == slot ? slot : table[head].previousSame
        table[slot].previousSame = last
        if head != slot {
            table[last].nextSame = slot
            table[head].previousSame = slot
        }
    }

    mutating func remove(_ slot: Int32, in table: inout WatcherTable) {
        members.remove(slot, in: &table)
        let previous = table[slot].previousSame
        let next = table[slot].nextSame
        if table[previous].nextSame == slot {
            table[previous].nextSame = next
            // The first watcher's link back leads to the last one.
            let behind = next >= 0 ? next : head(ofChainWith: slot, in: table)
            table[behind].previousSame = previous
        } else {
            if next >= 0 { table[next].previousSame = previous }
            setHead(next, ofChainWith: slot, in: table)
        }
    }

    private func head(ofChainWith slot: Int32, in table: WatcherTable) -> Int32 {
        switch table[slot].keys {
        case .key(let key):
            guard let head = chainOfKey[WatchedKey(bytes: key)] else {
                preconditionFailure("a watcher in an index has a chain there")
            }
            return head
        case .range: return ranges[table[slot].node]
        }
    }

    /// Makes `head` the first of a chain; -1 ends the chain.
    private mutating func setHead(_ head: Int32, ofChainWith slot: Int32, in table: WatcherTable) {
        switch table[slot].keys {
        case .key(let key):
            chainOfKey[WatchedKey(bytes: key)] = head >= 0 ? head : nil
        case .range(let start, let end):
            if head >= 0 {
                ranges[table[slot].node] = head
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
