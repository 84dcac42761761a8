/// A page that the transaction changes, unfolded so that elements can be put in and taken out. Keys and values point into
/// the mapped file or the transaction's ``Arena``.
final class Node {
    /// The pages it was read from, freed when it is written anew; empty for a node that has none.
    var run: PageRun
    let isLeaf: Bool
    var entries: [Entry]
    /// Bytes that the entries take in a page, without the page header.
    var contentSize: Int
    /// Whether elements have been removed, so that it may have to be merged with a neighbour.
    var hasShrunk = false

    init(isLeaf: Bool) {
        self.run = PageRun(start: 0, count: 0)
        self.isLeaf = isLeaf
        self.entries = []
        self.contentSize = 0
    }

    /// The node of `page`, which fills `run`.
    init(_ page: PageView, run: PageRun) throws(BoltError) {
        self.run = run
        self.isLeaf = page.isLeaf
        self.contentSize = 0
        var entries: [Entry] = []
        entries.reserveCapacity(page.count + 1)
        for index in 0..<page.count {
            let entry: Entry
            if page.isLeaf {
                let leaf = try page.leaf(index)
                entry = Entry(key: leaf.key, value: leaf.value, flags: leaf.flags)
            } else {
                entry = Entry(key: try page.key(index), child: page.child(index))
            }
            contentSize += entry.size
            entries.append(entry)
        }
        self.entries = entries
    }

    /// Bytes of the page that the node makes.
    var size: Int { Format.pageHeaderSize + contentSize }

    /// The index of the branch entry whose subtree covers `key`.
    func childIndex(for key: ByteView) -> Int {
        let (index, found) = position(of: key)
        return found || index == 0 ? index : index - 1
    }

    /// The index of the first entry that does not sort before `key`, and whether its key equals `key`.
    func position(of key: ByteView) -> (index: Int, found: Bool) {
        entries.withUnsafeBufferPointer { entries in
            var low = 0
            var high = entries.count
            while low < high {
                let middle = (low &+ high) &>> 1
                let order = entries[middle].keyView.compare(key)
                if order == 0 { return (middle, true) }
                if order < 0 { low = middle &+ 1 } else { high = middle }
            }
            return (low, false)
        }
    }

    func insert(_ entry: Entry, at index: Int) {
        contentSize += entry.size
        if index == entries.count { entries.append(entry) } else { entries.insert(entry, at: index) }
    }

    func replace(at index: Int, with entry: Entry) {
        contentSize += entry.size - entries[index].size
        entries[index] = entry
    }

    func remove(at index: Int) {
        contentSize -= entries[index].size
        entries.remove(at: index)
        hasShrunk = true
    }

    /// Takes over the entries of `right`, the next sibling.
    func absorb(_ right: Node) {
        entries.append(contentsOf: right.entries)
        contentSize += right.contentSize
        hasShrunk = true
    }
}

/// An element of a node. In a leaf it has a value, in a branch a child.
struct Entry {
    private var key: UnsafeRawPointer
    private var value: UnsafeRawPointer
    private var keySize: UInt32
    private var valueSize: UInt32
    let flags: UInt32
    /// One more than the index of the child's node among the bucket's nodes, or 0 when the child is unchanged.
    var nodeNumber: UInt32 = 0
    /// The child's page.
    var child: UInt64 = 0

    init(key: ByteView, value: ByteView, flags: UInt32) {
        self.key = key.start
        self.keySize = UInt32(truncatingIfNeeded: key.count)
        self.value = value.start
        self.valueSize = UInt32(truncatingIfNeeded: value.count)
        self.flags = flags
    }

    init(key: ByteView, child: UInt64) {
        self.init(key: key, value: ByteView(start: key.start, count: 0), flags: 0)
        self.child = child
    }

    @inline(__always)
    var keyView: ByteView { ByteView(start: key, count: Int(keySize)) }
    @inline(__always)
    var valueView: ByteView { ByteView(start: value, count: Int(valueSize)) }
    @inline(__always)
    var size: Int { Format.elementSize &+ Int(keySize) &+ Int(valueSize) }
    @inline(__always)
    var isBucket: Bool { flags & Format.bucketFlag != 0 }
}

extension Node {
    /// Writes the entries of `range` as page `id` at `page`, which has room for them and `overflow` further pages.
    func store(_ range: Range<Int>, at page: UnsafeMutableRawPointer, id: UInt64, overflow: Int) {
        page.storePageHeader(
            id: id, flags: isLeaf ? Format.leafFlag : Format.branchFlag, count: range.count, overflow: overflow)
        var element = page + Format.pageHeaderSize
        var content = element + range.count * Format.elementSize
        entries.withUnsafeBufferPointer { entries in
            for index in range {
                let entry = entries[index]
                let key = entry.keyView
                let value = entry.valueView
                let position = UInt32(truncatingIfNeeded: content - element)
                if isLeaf {
                    element.storeU32(entry.flags, 0)
                    element.storeU32(position, 4)
                    element.storeU32(UInt32(truncatingIfNeeded: key.count), 8)
                    element.storeU32(UInt32(truncatingIfNeeded: value.count), 12)
                } else {
                    element.storeU32(position, 0)
                    element.storeU32(UInt32(truncatingIfNeeded: key.count), 4)
                    element.storeU64(entry.child, 8)
                }
                content.copyMemory(from: key.start, byteCount: key.count)
                content += key.count
                content.copyMemory(from: value.start, byteCount: value.count)
                content += value.count
                element += Format.elementSize
            }
        }
    }

    /// Content of this size, or more, is cut into pages of as little as one element.
    private static let hugeContent = 1 << 31

    /// Where to cut the entries into pages: each cut but the last fills `fillPercent` of a page, none has fewer than two
    /// elements (bbolt's rule), and a node that fits in a page, or has too few elements to cut, stays whole.
    func cuts(pageSize: Int, fillPercent: Double) -> [(range: Range<Int>, size: Int)] {
        let percent = min(max(fillPercent, BoltLimit.fillPercents.lowerBound), BoltLimit.fillPercents.upperBound)
        let threshold = Int(Double(pageSize) * percent)
        var cuts: [(range: Range<Int>, size: Int)] = []
        var start = 0
        var rest = contentSize
        while true {
            let count = entries.count - start
            // Positions in a page are 32 bits, so huge elements do not share one.
            let fewest = rest > Self.hugeContent ? 1 : BoltLimit.minimumElementsPerPage
            let fits = Format.pageHeaderSize + rest <= pageSize && count <= BoltLimit.elementsPerPage
            if fits || count <= 2 * fewest { break }
            var end = start
            var size = Format.pageHeaderSize
            while end < entries.count - fewest && end - start < BoltLimit.elementsPerPage {
                let next = entries[end].size
                if end - start >= fewest && size + next > threshold { break }
                size += next
                end += 1
            }
            cuts.append((start..<end, size))
            rest -= size - Format.pageHeaderSize
            start = end
        }
        cuts.append((start..<entries.count, Format.pageHeaderSize + rest))
        return cuts
    }
}
