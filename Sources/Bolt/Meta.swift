import Checksum

/// The content of a meta page: the state that one committed transaction left.
struct Meta: Equatable {
    var pageSize: Int
    /// The root bucket's root page.
    var root: UInt64
    /// The root bucket's sequence.
    var sequence: UInt64
    /// The free list's page, or ``Format/noFreeList``.
    var freeList: UInt64
    /// One past the last page that was ever used: the high-water mark.
    var pageCount: UInt64
    var transaction: UInt64

    /// Bytes of a meta page that matter: the page header and the meta fields with their checksum.
    static let storedSize = Format.pageHeaderSize + 64
    /// Bytes of the meta fields that the checksum covers.
    private static let checkedSize = 56
    /// No file has seen this many transactions; beyond, the numbers could wrap round.
    private static let lastTransaction = UInt64.max >> 1

    init(pageSize: Int, root: UInt64, sequence: UInt64, freeList: UInt64, pageCount: UInt64, transaction: UInt64) {
        self.pageSize = pageSize
        self.root = root
        self.sequence = sequence
        self.freeList = freeList
        self.pageCount = pageCount
        self.transaction = transaction
    }

    /// The meta page in `page`, or nil when it is not a valid one.
    init?(page: UnsafeRawBufferPointer) {
        guard page.count >= Self.storedSize, let start = page.baseAddress else { return nil }
        let fields = start + Format.pageHeaderSize
        guard start.loadU16(8) & Format.metaFlag != 0, fields.loadU32(0) == Format.magic,
            fields.loadU32(4) == Format.version,
            fields.loadU64(Self.checkedSize)
                == FNV1a.hash64(UnsafeRawBufferPointer(start: fields, count: Self.checkedSize))
        else { return nil }
        let pageSize = Int(fields.loadU32(8))
        guard BoltLimit.pageSizes.contains(pageSize), pageSize & (pageSize - 1) == 0,
            fields.loadU64(48) <= Self.lastTransaction
        else { return nil }
        self.init(
            pageSize: pageSize, root: fields.loadU64(16), sequence: fields.loadU64(24), freeList: fields.loadU64(32),
            pageCount: fields.loadU64(40), transaction: fields.loadU64(48))
    }

    /// Writes meta page `slot` (0 or 1) into the ``storedSize`` bytes at `page`.
    func store(at page: UnsafeMutableRawPointer, slot: UInt64) {
        page.storePageHeader(id: slot, flags: Format.metaFlag, count: 0, overflow: 0)
        let fields = page + Format.pageHeaderSize
        fields.storeU32(Format.magic, 0)
        fields.storeU32(Format.version, 4)
        fields.storeU32(UInt32(pageSize), 8)
        fields.storeU32(0, 12)
        fields.storeU64(root, 16)
        fields.storeU64(sequence, 24)
        fields.storeU64(freeList, 32)
        fields.storeU64(pageCount, 40)
        fields.storeU64(transaction, 48)
        let checked = UnsafeRawBufferPointer(start: UnsafeRawPointer(fields), count: Self.checkedSize)
        fields.storeU64(FNV1a.hash64(checked), Self.checkedSize)
    }

    /// The whole meta page for `slot`.
    func page(slot: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: pageSize)
        bytes.withUnsafeMutableBytes { buffer in
            if let start = buffer.baseAddress { store(at: start, slot: slot) }
        }
        return bytes
    }

    /// Whether both describe the same state, transaction numbers aside.
    func describesSameState(as other: Meta) -> Bool {
        var other = other
        other.transaction = transaction
        return self == other
    }
}
