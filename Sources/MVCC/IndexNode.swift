/// A node of the key index: raw memory with a header, the hints, the keys and then a leaf's records or an inner node's
/// children.
///
/// Plain memory instead of objects, because copying a node must not touch a reference count for each of its children and
/// keys: with a million keys each of those is a cache miss. Who may free a node is settled by ``IndexMemory``.
struct IndexNode: Equatable {
    let address: UnsafeMutableRawPointer

    struct Header {
        /// The epoch in which the node was made; the owner changes it only in that epoch.
        var birth: UInt64
        var count: Int32
        /// The number of bytes that all the node's keys begin with, or fewer.
        var prefix: Int32
        var isLeaf: Bool
    }

    /// Records in a leaf: a copy of a leaf is 2 KiB, and a search in it looks at five hints.
    static let leafCapacity = 32
    /// Children of an inner node: a million keys are four levels deep.
    static let innerCapacity = 64
    /// Below a quarter of its capacity a node is merged with a neighbour when both together fill three quarters at most.
    static func isSparse(_ count: Int, _ capacity: Int) -> Bool { count * 4 < capacity }
    static func fitsMerged(_ count: Int, _ capacity: Int) -> Bool { count * 4 <= capacity * 3 }

    private static let headerSize = 32
    static let leafSize = headerSize + leafCapacity * (16 + MemoryLayout<KeyRecord>.stride)
    static let innerSize = headerSize + innerCapacity * 32

    @inline(__always)
    var header: UnsafeMutablePointer<Header> { address.assumingMemoryBound(to: Header.self) }

    @inline(__always)
    var count: Int {
        get { Int(header.pointee.count) }
        nonmutating set { header.pointee.count = Int32(truncatingIfNeeded: newValue) }
    }

    @inline(__always)
    var isLeaf: Bool { header.pointee.isLeaf }

    @inline(__always)
    var capacity: Int { isLeaf ? Self.leafCapacity : Self.innerCapacity }

    @inline(__always)
    var hints: UnsafeMutablePointer<UInt64> {
        (address + Self.headerSize).assumingMemoryBound(to: UInt64.self)
    }

    /// A leaf's keys, or an inner node's separators: child `i` holds keys at or above separator `i` and below the next.
    /// An inner node has no separator 0.
    @inline(__always)
    var keys: UnsafeMutablePointer<KeyBytes> {
        (address + Self.headerSize + capacity * 8).assumingMemoryBound(to: KeyBytes.self)
    }

    @inline(__always)
    var records: UnsafeMutablePointer<KeyRecord> {
        (address + Self.headerSize + Self.leafCapacity * 16).assumingMemoryBound(to: KeyRecord.self)
    }

    @inline(__always)
    var children: UnsafeMutablePointer<IndexNode> {
        (address + Self.headerSize + Self.innerCapacity * 16).assumingMemoryBound(to: IndexNode.self)
    }

    /// The number of live keys below each child.
    @inline(__always)
    var liveCounts: UnsafeMutablePointer<Int> {
        (address + Self.headerSize + Self.innerCapacity * 24).assumingMemoryBound(to: Int.self)
    }

    @inline(__always)
    private var firstKey: Int { isLeaf ? 0 : 1 }

    // MARK: Searching

    /// The first of the node's keys that is not below `key`, and whether it equals it.
    @inline(__always)
    func search(_ key: UnsafeRawBufferPointer) -> (index: Int, found: Bool) {
        var low = firstKey
        var high = count
        if low >= high { return (high, false) }
        let prefix = Int(header.pointee.prefix)
        if prefix > 0 {
            let sample = UnsafeRawBufferPointer(start: keys[low].bytes.baseAddress, count: prefix)
            let order = KeyOrder.compare(
                UnsafeRawBufferPointer(start: key.baseAddress, count: min(prefix, key.count)), sample)
            if order != 0 { return (order < 0 ? low : high, false) }
        }
        let hint = KeyOrder.hint(key, after: prefix)
        while low < high {
            let middle = (low + high) / 2
            let other = hints[middle]
            if other < hint {
                low = middle + 1
            } else if other > hint {
                high = middle
            } else {
                let order = KeyOrder.compare(keys[middle].bytes, key, from: prefix)
                if order == 0 { return (middle, true) }
                if order < 0 { low = middle + 1 } else { high = middle }
            }
        }
        return (low, false)
    }

    /// The place of `key` in a leaf, or nil. Unlike ``search(_:)`` it compares whole keys only where the hints agree, and
    /// so does not look at a second key to see whether the common beginning fits.
    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer) -> Int? {
        let prefix = Int(header.pointee.prefix)
        if key.count < prefix { return nil }
        let hint = KeyOrder.hint(key, after: prefix)
        let hints = hints
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            let other = hints[middle]
            if other < hint {
                low = middle + 1
            } else if other > hint {
                high = middle
            } else {
                let order = KeyOrder.compare(keys[middle].bytes, key)
                if order == 0 { return middle }
                if order < 0 { low = middle + 1 } else { high = middle }
            }
        }
        return nil
    }

    /// The child of an inner node under which `key` belongs.
    @inline(__always)
    func childIndex(_ key: UnsafeRawBufferPointer) -> Int {
        let (index, found) = search(key)
        return found ? index : index - 1
    }

    // MARK: Changing

    /// Brings the prefix and the hints in line with the keys.
    func refreshHints() {
        let first = firstKey
        let end = count
        guard first < end else {
            header.pointee.prefix = 0
            return
        }
        let prefix = KeyOrder.commonPrefix(keys[first].bytes, keys[end - 1].bytes, limit: Int(Int32.max))
        header.pointee.prefix = Int32(truncatingIfNeeded: prefix)
        for index in first..<end { hints[index] = KeyOrder.hint(keys[index].bytes, after: prefix) }
    }

    /// Sets the hint of the new key at `index`, shortening the prefix where the key does not share it.
    private func noteKey(at index: Int) {
        let key = keys[index].bytes
        let prefix = Int(header.pointee.prefix)
        if count - firstKey > 1 {
            let neighbour = keys[index == firstKey ? index + 1 : firstKey].bytes
            if KeyOrder.commonPrefix(key, neighbour, limit: prefix) == prefix {
                hints[index] = KeyOrder.hint(key, after: prefix)
                return
            }
        }
        refreshHints()
    }

    /// Opens a gap of one at `index`; the caller fills it and calls ``noteKey(at:)``.
    private func openGap(at index: Int) {
        precondition(count < capacity, "a node is split before it overflows")
        let moved = count - index
        move(hints, index, moved)
        move(keys, index, moved)
        if isLeaf {
            move(records, index, moved)
        } else {
            move(children, index, moved)
            move(liveCounts, index, moved)
        }
        count += 1
    }

    private func move<Element>(_ base: UnsafeMutablePointer<Element>, _ index: Int, _ moved: Int) {
        (base + index + 1).moveInitialize(from: base + index, count: moved)
    }

    /// Puts a key with its record into a leaf.
    func insert(_ key: KeyBytes, _ record: KeyRecord, at index: Int) {
        openGap(at: index)
        (keys + index).initialize(to: key)
        (records + index).initialize(to: record)
        noteKey(at: index)
    }

    /// Puts a child into an inner node; the separator of the first child is not looked at.
    func insert(_ child: IndexNode, separator: KeyBytes?, live: Int, at index: Int) {
        openGap(at: index)
        if let separator { (keys + index).initialize(to: separator) }
        (children + index).initialize(to: child)
        (liveCounts + index).initialize(to: live)
        if index > 0 { noteKey(at: index) }
    }

    /// Takes the item at `index` out. What it held is the caller's.
    func remove(at index: Int) {
        let moved = count - index - 1
        shift(hints, index, moved)
        shift(keys, index, moved)
        if isLeaf {
            shift(records, index, moved)
        } else {
            shift(children, index, moved)
            shift(liveCounts, index, moved)
        }
        count -= 1
        if !isLeaf && index == 0 { refreshHints() }
    }

    private func shift<Element>(_ base: UnsafeMutablePointer<Element>, _ index: Int, _ moved: Int) {
        (base + index).moveInitialize(from: base + index + 1, count: moved)
    }

    /// Moves the items from `index` on to the end of `other`, a node of the same kind. In an inner node the separator of
    /// the first moved child is not moved along unless the other holds children already; the caller sets it.
    func moveItems(from index: Int, to other: IndexNode) {
        let moved = count - index
        let target = other.count
        (other.keys + target).moveInitialize(from: keys + index, count: moved)
        if isLeaf {
            (other.records + target).moveInitialize(from: records + index, count: moved)
        } else {
            (other.children + target).moveInitialize(from: children + index, count: moved)
            (other.liveCounts + target).moveInitialize(from: liveCounts + index, count: moved)
        }
        other.count = target + moved
        count = index
    }

    /// The number of live keys in and below the node.
    var live: Int {
        var total = 0
        if isLeaf {
            for index in 0..<count where !records[index].current.isTombstone { total += 1 }
        } else {
            for index in 0..<count { total += liveCounts[index] }
        }
        return total
    }
}
