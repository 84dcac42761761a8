/// A branch or leaf page that lies in memory, with its header checked; each element is checked against the page's bounds
/// when it is read.
struct PageView {
    /// The page's number; of an inline page, the number of the page that holds it.
    let id: UInt64
    let base: UnsafeRawPointer
    /// The page's bytes, overflow pages included.
    let byteCount: Int
    let count: Int
    let isLeaf: Bool

    /// The tree page at `base` with `byteCount` bytes.
    @inline(__always)
    init(id: UInt64, at base: UnsafeRawPointer, byteCount: Int) throws(BoltError) {
        let flags = base.loadU16(8)
        let count = Int(base.loadU16(10))
        guard flags == Format.leafFlag || flags == Format.branchFlag else {
            throw .damagedPage(id: id, defect: .wrongFlags(flags))
        }
        guard Format.pageHeaderSize &+ count &* Format.elementSize <= byteCount else {
            throw .damagedPage(id: id, defect: .elementCount(count))
        }
        self.id = id
        self.base = base
        self.byteCount = byteCount
        self.count = count
        self.isLeaf = flags == Format.leafFlag
        if !isLeaf && count == 0 { throw .damagedPage(id: id, defect: .emptyBranch) }
    }

    @inline(__always)
    private func element(_ index: Int) -> UnsafeRawPointer {
        base + (Format.pageHeaderSize &+ index &* Format.elementSize)
    }

    /// The key of element `index`, which must be below ``count``.
    @inline(__always)
    func key(_ index: Int) throws(BoltError) -> ByteView {
        let element = element(index)
        // A leaf element has its flags before position and key size.
        let fields = isLeaf ? 4 : 0
        let position = Int(element.loadU32(fields))
        let size = Int(element.loadU32(fields &+ 4))
        let offset = element - base
        guard offset &+ position &+ size <= byteCount else {
            throw .damagedPage(id: id, defect: .elementBounds(index: index))
        }
        return ByteView(start: element + position, count: size)
    }

    /// The child of branch element `index`.
    @inline(__always)
    func child(_ index: Int) -> UInt64 { element(index).loadU64(8) }

    /// The flags of leaf element `index`.
    @inline(__always)
    func flags(_ index: Int) -> UInt32 { element(index).loadU32(0) }

    /// Leaf element `index`.
    @inline(__always)
    func leaf(_ index: Int) throws(BoltError) -> LeafElement {
        let element = element(index)
        let position = Int(element.loadU32(4))
        let keySize = Int(element.loadU32(8))
        let valueSize = Int(element.loadU32(12))
        let offset = element - base
        guard offset &+ position &+ keySize &+ valueSize <= byteCount else {
            throw .damagedPage(id: id, defect: .elementBounds(index: index))
        }
        let key = element + position
        return LeafElement(
            flags: element.loadU32(0), key: ByteView(start: key, count: keySize),
            value: ByteView(start: key + keySize, count: valueSize), page: id, index: index)
    }

    /// The index of the branch element whose subtree covers `key`: the last one that does not sort after it, or the
    /// first.
    @inline(__always)
    func childIndex(for key: ByteView) throws(BoltError) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) &>> 1
            if try self.key(middle).compare(key) <= 0 { low = middle &+ 1 } else { high = middle }
        }
        return low == 0 ? 0 : low &- 1
    }

    /// The index of the first leaf element that does not sort before `key`, and whether its key equals `key`.
    @inline(__always)
    func position(of key: ByteView) throws(BoltError) -> (index: Int, found: Bool) {
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) &>> 1
            let order = try self.key(middle).compare(key)
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle &+ 1 } else { high = middle }
        }
        return (low, false)
    }
}

/// An element of a leaf: a key with a value, or the name of a bucket with the bucket's header.
struct LeafElement {
    let flags: UInt32
    let key: ByteView
    let value: ByteView
    /// Where it was found, for errors.
    let page: UInt64
    let index: Int

    @inline(__always)
    var isBucket: Bool { flags & Format.bucketFlag != 0 }

    /// The bucket that the value describes.
    func bucketHeader() throws(BoltError) -> BucketHeader {
        guard value.count >= Format.bucketHeaderSize else {
            throw .damagedPage(id: page, defect: .bucketTooShort(index: index))
        }
        let root = value.start.loadU64(0)
        let sequence = value.start.loadU64(8)
        guard root == 0 else { return BucketHeader(root: root, sequence: sequence, inline: nil) }
        guard value.count >= Format.bucketHeaderSize + Format.pageHeaderSize else {
            throw .damagedPage(id: page, defect: .bucketTooShort(index: index))
        }
        let inline = try PageView(
            id: page, at: value.start + Format.bucketHeaderSize, byteCount: value.count - Format.bucketHeaderSize)
        guard inline.isLeaf else {
            throw .damagedPage(id: page, defect: .wrongFlags(Format.branchFlag))
        }
        return BucketHeader(root: 0, sequence: sequence, inline: inline)
    }
}

/// Where a bucket's tree is.
struct BucketHeader {
    /// The root page, or 0 when the bucket is inline.
    var root: UInt64
    var sequence: UInt64
    /// The whole tree of an inline bucket.
    var inline: PageView?
}

/// The pages of one transaction: a mapping of the file, up to the transaction's high-water mark.
struct PageSpace: @unchecked Sendable {
    let base: UnsafeRawPointer
    let pageSize: Int
    /// One past the last page; the file is at least that long.
    let pageCount: UInt64
    /// Keeps the mapped bytes valid.
    let mapping: AnyObject

    /// The tree page `id`.
    @inline(__always)
    func page(_ id: UInt64) throws(BoltError) -> PageView {
        guard id >= Format.firstDataPage && id < pageCount else {
            throw .damagedPage(id: id, defect: .outOfBounds(limit: pageCount))
        }
        let start = base + Int(truncatingIfNeeded: id) &* pageSize
        let header = start.loadU64(0)
        guard header == id else { throw .damagedPage(id: id, defect: .wrongID(header)) }
        let overflow = start.loadU32(12)
        guard UInt64(overflow) < pageCount &- id else {
            throw .damagedPage(id: id, defect: .overflow(pages: overflow, limit: pageCount))
        }
        return try PageView(id: id, at: start, byteCount: (Int(overflow) &+ 1) &* pageSize)
    }

    /// The root page of the bucket.
    @inline(__always)
    func root(of bucket: BucketHeader) throws(BoltError) -> PageView {
        if let inline = bucket.inline { return inline }
        return try page(bucket.root)
    }

    /// How many pages the tree page `view` fills.
    func pages(of view: PageView) -> UInt64 { UInt64(view.byteCount / pageSize) }
}
