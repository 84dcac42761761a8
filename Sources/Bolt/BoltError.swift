import Disk

/// Why a Bolt file could not be opened, read or written.
public enum BoltError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The disk refused.
    indirect case disk(DiskError)
    /// The file is not a Bolt file that can be read: no valid meta page, or one that contradicts the file.
    case invalidFile(path: String, reason: String)
    /// A page is not what its place in the file demands.
    case damagedPage(id: UInt64, defect: PageDefect)
    /// A key is empty.
    case keyRequired
    /// A key of `size` bytes exceeds ``BoltLimit/keySize``.
    case keyTooLarge(size: Int)
    /// A value of `size` bytes exceeds ``BoltLimit/valueSize``.
    case valueTooLarge(size: Int)
    /// A bucket of this name exists already.
    case bucketExists(name: [UInt8])
    /// There is no bucket of this name.
    case bucketNotFound(name: [UInt8])
    /// The key names a bucket where a value was meant, or a value where a bucket was meant.
    case incompatibleValue(key: [UInt8])
    /// Buckets are nested deeper than deletion and copying follow.
    case bucketsTooDeep
    /// The database was opened for reading alone.
    case readOnly
    /// The database has been closed.
    case closed
    /// The transaction has been committed or rolled back.
    case transactionFinished
    /// An earlier commit failed at a point where the file may hold either state, so nothing more is written to it.
    case writesRefused(reason: String)

    public var description: String {
        switch self {
        case .disk(let error): return error.description
        case .invalidFile(let path, let reason): return "\(path): \(reason)"
        case .damagedPage(let id, let defect): return "page \(id): \(defect)"
        case .keyRequired: return "key required"
        case .keyTooLarge(let size): return "key too large: \(size) bytes, at most \(BoltLimit.keySize)"
        case .valueTooLarge(let size): return "value too large: \(size) bytes, at most \(BoltLimit.valueSize)"
        case .bucketExists(let name): return "bucket already exists: \(Self.quoted(name))"
        case .bucketNotFound(let name): return "bucket not found: \(Self.quoted(name))"
        case .incompatibleValue(let key): return "incompatible value at key \(Self.quoted(key))"
        case .bucketsTooDeep: return "buckets nested deeper than \(BoltLimit.bucketDepth)"
        case .readOnly: return "database is open for reading only"
        case .closed: return "database is closed"
        case .transactionFinished: return "transaction is finished"
        case .writesRefused(let reason): return "no more writes after a failed commit: \(reason)"
        }
    }

    /// The bytes as text where they are printable ASCII, in hexadecimal otherwise.
    static func quoted(_ bytes: [UInt8]) -> String {
        if bytes.allSatisfy({ (0x20...0x7E).contains($0) }) {
            return "\"\(String(decoding: bytes, as: UTF8.self))\""
        }
        return "0x" + bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined()
    }
}

/// What is wrong with a page.
public enum PageDefect: Equatable, Sendable, CustomStringConvertible {
    /// The page number is a meta page's or is not below `limit`, the end of the file's pages.
    case outOfBounds(limit: UInt64)
    /// The header names another page.
    case wrongID(UInt64)
    /// The flags are not those of the page's place.
    case wrongFlags(UInt16)
    /// The overflow pages run past the end of the file's pages.
    case overflow(pages: UInt32, limit: UInt64)
    /// The table of `count` elements does not fit in the page.
    case elementCount(Int)
    /// The key or value of element `index` lies outside the page.
    case elementBounds(index: Int)
    /// A branch page without children.
    case emptyBranch
    /// The path to the page is longer than any real tree's, which means a cycle.
    case tooDeep
    /// The bucket in element `index` is shorter than its header or its inline page.
    case bucketTooShort(index: Int)
    /// The page is reached twice.
    case usedTwice
    /// The page would be freed although it is free.
    case freedTwice
    /// A leaf among ever so many without elements.
    case emptyLeaf
    /// The keys of the leaf do not sort after (or, going backward, before) those of the leaf visited before.
    case disorder
    /// The free list's entry `index` is out of bounds or out of order.
    case freeListEntry(index: Int)

    public var description: String {
        switch self {
        case .outOfBounds(let limit): return "out of bounds, pages end at \(limit)"
        case .wrongID(let id): return "its header says page \(id)"
        case .wrongFlags(let flags): return "unexpected flags 0x\(String(flags, radix: 16))"
        case .overflow(let pages, let limit): return "\(pages) overflow pages run past the end at \(limit)"
        case .elementCount(let count): return "\(count) elements do not fit"
        case .elementBounds(let index): return "element \(index) lies outside the page"
        case .emptyBranch: return "branch without children"
        case .tooDeep: return "tree deeper than \(BoltLimit.treeDepth) levels"
        case .bucketTooShort(let index): return "bucket in element \(index) is too short"
        case .usedTwice: return "used twice"
        case .freedTwice: return "freed twice"
        case .emptyLeaf: return "one of more than \(BoltLimit.emptyLeaves) adjacent leaves without elements"
        case .disorder: return "its keys are out of order with the neighbouring leaf's"
        case .freeListEntry(let index): return "free list entry \(index) is out of bounds or out of order"
        }
    }
}

/// Runs `body` and gives a refusal of the disk as a ``BoltError``.
@inline(__always)
func onDisk<Result>(_ body: () throws(DiskError) -> Result) throws(BoltError) -> Result {
    do { return try body() } catch { throw BoltError.disk(error) }
}
