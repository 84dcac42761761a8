/// Sizes, offsets and marks of the bbolt file format, version 2 (bbolt `internal/common`: page, meta, bucket).
enum Format {
    static let magic: UInt32 = 0xED0C_DAED
    static let version: UInt32 = 2

    /// id u64, flags u16, count u16, overflow u32.
    static let pageHeaderSize = 16
    /// A branch element is pos u32, key size u32, page u64; a leaf element is flags, pos, key size, value size, each u32.
    static let elementSize = 16
    /// root u64, sequence u64; the root of an inline bucket is 0 and its page follows.
    static let bucketHeaderSize = 16

    static let branchFlag: UInt16 = 0x01
    static let leafFlag: UInt16 = 0x02
    static let metaFlag: UInt16 = 0x04
    static let freeListFlag: UInt16 = 0x10

    /// The flag of a leaf element whose value is a bucket.
    static let bucketFlag: UInt32 = 0x01

    /// The free list's page number in a meta page when the free list is not stored in the file.
    static let noFreeList = UInt64.max
    /// The count in a free-list page's header that says the real count is in the first eight bytes.
    static let freeListCountElsewhere = 0xFFFF

    /// The two meta pages are pages 0 and 1; no tree reaches them.
    static let firstDataPage: UInt64 = 2
}

/// Bounds that the format or common sense sets, each with its reason.
public enum BoltLimit {
    /// Longest key, as bbolt's MaxKeySize.
    public static let keySize = 32768
    /// Longest value, as bbolt's MaxValueSize.
    public static let valueSize = (1 << 31) - 2
    /// Smallest and largest page that bbolt looks for when the first meta page is damaged.
    public static let pageSizes = 1024...(16 << 20)
    /// Deepest tree that is followed. Each branch has at least two children in a file that bbolt or this module wrote, so
    /// 64 levels are more than 64-bit page numbers allow; a deeper path is a cycle.
    static let treeDepth = 64
    /// Deepest nesting of buckets that deletion and copying follow; their recursion is one frame per level.
    static let bucketDepth = 100
    /// Most adjacent empty leaves that a cursor passes. Stored trees have none below the root, but a transaction that has
    /// deleted much has one for each leaf it emptied.
    static let emptyLeaves = 1 << 20
    /// Most elements in a page: the header's count is 16 bits and bbolt refuses 0xFFFF.
    static let elementsPerPage = 0xFFFE
    /// Fewest elements that a split leaves in a page, as bbolt's minKeysPerPage.
    static let minimumElementsPerPage = 2
    /// Bounds of ``WritableBucket/fillPercent``, as in bbolt.
    static let fillPercents = 0.1...1.0
}

extension UnsafeRawPointer {
    @inline(__always)
    func loadU16(_ offset: Int) -> UInt16 {
        UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
    @inline(__always)
    func loadU32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    @inline(__always)
    func loadU64(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func storeU16(_ value: UInt16, _ offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt16.self)
    }
    @inline(__always)
    func storeU32(_ value: UInt32, _ offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
    }
    @inline(__always)
    func storeU64(_ value: UInt64, _ offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }

    /// Writes a page header.
    func storePageHeader(id: UInt64, flags: UInt16, count: Int, overflow: Int) {
        storeU64(id, 0)
        storeU16(flags, 8)
        storeU16(UInt16(count), 10)
        storeU32(UInt32(overflow), 12)
    }
}
