import Glibc
import Synchronization

/// The content of a file on a ``MemoryDisk``: as it reads now, as it is on stable storage, and the changes in between.
/// Guarded by the disk's lock.
final class MemoryFileNode {
    private enum Change {
        case write(offset: Int, bytes: [UInt8])
        case length(Int)
    }

    private static let sectorSize = 512

    private(set) var size = 0
    private(set) var live: MemoryRegion
    private var durableSize = 0
    private let durable: MemoryRegion
    private var pending: [Change] = []
    /// The open file that holds the lock.
    var lockOwner: ObjectIdentifier?

    /// An empty file, or nil when the machine has no address space left for it.
    init?() {
        guard let live = MemoryRegion(), let durable = MemoryRegion() else { return nil }
        self.live = live
        self.durable = durable
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        live.write(bytes, at: offset)
        size = max(size, offset + bytes.count)
        pending.append(.write(offset: offset, bytes: [UInt8](bytes)))
    }

    func setLength(_ length: Int) {
        if length < size { live.clear(length..<size) }
        size = length
        pending.append(.length(length))
    }

    func synchronize() {
        for change in pending { apply(change) }
        pending = []
    }

    private func apply(_ change: Change) {
        switch change {
        case .write(let offset, let bytes):
            bytes.withUnsafeBytes { durable.write($0, at: offset) }
            durableSize = max(durableSize, offset + bytes.count)
        case .length(let length):
            if length < durableSize { durable.clear(length..<durableSize) }
            durableSize = length
        }
    }

    /// Keeps what is durable and some of what is pending. Lengths are kept up to some point in their order, as a
    /// journalling file system does. Each write is kept, dropped or kept in some of its sectors; a sector that one
    /// write left on the disk holds the earlier writes to it too, for a disk writes sectors whole.
    func crash(_ choice: inout CrashChoice) {
        let lengths = pending.reduce(0) { if case .length = $1 { $0 + 1 } else { $0 } }
        let keptLengths = choice.below(lengths + 1)
        var survivors: [Change] = []
        var keptSectors: Set<Int> = []
        var lengthsBefore = lengths
        for change in pending.reversed() {
            switch change {
            case .length:
                lengthsBefore -= 1
                if lengthsBefore < keptLengths { survivors.append(change) }
            case .write(let offset, let bytes):
                survivors += keptParts(offset, bytes, &keptSectors, &choice)
            }
        }
        for change in survivors.reversed() { apply(change) }
        pending = []
        lockOwner = nil
        // Mappings of before the crash keep the old content; whoever opens the file anew gets this one.
        guard let fresh = MemoryRegion() else { preconditionFailure("no address space for a file after a crash") }
        fresh.copy(durable, count: durableSize)
        live = fresh
        size = durableSize
    }

    /// The sectors of a write that survive; `keptSectors` are those that hold a later write.
    private func keptParts(
        _ offset: Int, _ bytes: [UInt8], _ keptSectors: inout Set<Int>, _ choice: inout CrashChoice
    ) -> [Change] {
        enum Fate: Int { case dropped, kept, torn }
        let fate = Fate(rawValue: choice.below(3))
        var parts: [Change] = []
        var position = 0
        while position < bytes.count {
            let sector = (offset + position) / Self.sectorSize
            let end = min(bytes.count, (sector + 1) * Self.sectorSize - offset)
            let isKept = fate == .kept || (fate == .torn && choice.below(2) == 0)
            if isKept || keptSectors.contains(sector) {
                keptSectors.insert(sector)
                parts.append(.write(offset: offset + position, bytes: Array(bytes[position..<end])))
            }
            position = end
        }
        return parts
    }
}

/// Address space for a file's largest size, of which only what was written takes memory. It reads as zeros elsewhere.
final class MemoryRegion: FileMapping, @unchecked Sendable {
    private static let pageSize = 4096

    private let base: UnsafeMutableRawPointer

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: MemoryDisk.largestFile) }

    init?() {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let base = mmap(nil, MemoryDisk.largestFile, PROT_READ | PROT_WRITE, flags, -1, 0), base != MAP_FAILED
        else { return nil }
        self.base = base
    }

    deinit { munmap(base, MemoryDisk.largestFile) }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard let source = bytes.baseAddress else { return }
        memcpy(base + offset, source, bytes.count)
    }

    /// Makes `range` read as zeros and gives whole pages of it back.
    func clear(_ range: Range<Int>) {
        let firstPage = (range.lowerBound + Self.pageSize - 1) / Self.pageSize * Self.pageSize
        let pagesEnd = range.upperBound / Self.pageSize * Self.pageSize
        guard firstPage < pagesEnd else {
            memset(base + range.lowerBound, 0, range.count)
            return
        }
        memset(base + range.lowerBound, 0, firstPage - range.lowerBound)
        madvise(base + firstPage, pagesEnd - firstPage, MADV_DONTNEED)
        memset(base + pagesEnd, 0, range.upperBound - pagesEnd)
    }

    /// Copies the first `count` bytes of `other` into this region, which is all zeros; pages of zeros take no memory.
    func copy(_ other: MemoryRegion, count: Int) {
        var offset = 0
        while offset < count {
            let length = min(Self.pageSize, count - offset)
            let page = UnsafeRawBufferPointer(start: other.base + offset, count: length)
            if !page.allSatisfy({ $0 == 0 }) { memcpy(base + offset, other.base + offset, length) }
            offset += length
        }
    }
}

/// A view of a ``MemoryRegion`` that is as long as was asked for.
private final class MemoryView: FileMapping {
    private let region: MemoryRegion
    private let length: Int

    init(_ region: MemoryRegion, length: Int) {
        self.region = region
        self.length = length
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: region.bytes[..<length]) }
}

/// An open file of a ``MemoryDisk``.
///
/// Unchecked: the node is only touched under the disk's lock.
final class MemoryFile: DiskFile, @unchecked Sendable {
    let path: String
    private let disk: MemoryDisk
    private let node: MemoryFileNode
    private let epoch: Int
    private let isWritable: Bool
    private let isOpen = Atomic(true)
    private let askedForLock = Atomic(false)
    /// How long a waiter for a lock sleeps between two tries, in microseconds.
    private static let lockPollInterval: UInt32 = 200

    init(disk: MemoryDisk, node: MemoryFileNode, epoch: Int, path: String, isWritable: Bool) {
        self.disk = disk
        self.node = node
        self.epoch = epoch
        self.path = path
        self.isWritable = isWritable
    }

    deinit { close() }

    /// Runs an operation on this file, if it is still open in this epoch.
    private func perform<Result: Sendable>(
        _ operation: String, writing: Bool = false,
        _ body: (MemoryFileNode, MemoryWorld) throws(DiskError) -> Result
    ) throws(DiskError) -> Result {
        try disk.perform(operation, path) { world throws(DiskError) in
            guard isOpen.load(ordering: .relaxed), world.epoch == epoch, isWritable || !writing else {
                throw DiskError(operation, path, EBADF)
            }
            return try body(node, world)
        }
    }

    func size() throws(DiskError) -> Int {
        try perform("stat") { node, _ in node.size }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        try perform("read") { node, _ throws(DiskError) in
            guard offset >= 0 else { throw DiskError("read", path, EINVAL) }
            let count = max(0, min(buffer.count, node.size - offset))
            if count > 0 {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: node.live.bytes[offset..<(offset + count)]))
            }
            return count
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
        try perform("write", writing: true) { node, world throws(DiskError) in
            guard offset >= 0, bytes.count <= MemoryDisk.largestFile - offset else {
                throw DiskError("write", path, EFBIG)
            }
            if bytes.isEmpty { return }
            try world.take(max(0, offset + bytes.count - node.size), "write", path)
            node.write(bytes, at: offset)
        }
    }

    func synchronize() throws(DiskError) {
        try perform("fdatasync") { node, _ in node.synchronize() }
    }

    func truncate(to length: Int) throws(DiskError) {
        try perform("truncate", writing: true) { node, world throws(DiskError) in
            guard length >= 0, length <= MemoryDisk.largestFile else { throw DiskError("truncate", path, EFBIG) }
            try world.take(length - node.size, "truncate", path)
            node.setLength(length)
        }
    }

    func allocate(_ length: Int) throws(DiskError) {
        try perform("allocate", writing: true) { node, world throws(DiskError) in
            guard length >= 0, length <= MemoryDisk.largestFile else { throw DiskError("allocate", path, EFBIG) }
            guard length > node.size else { return }
            try world.take(length - node.size, "allocate", path)
            node.setLength(length)
        }
    }

    func lock(wait: Bool) throws(DiskError) -> Bool {
        askedForLock.store(true, ordering: .relaxed)
        while true {
            let taken = try perform("lock") { node, _ in
                if node.lockOwner == nil { node.lockOwner = ObjectIdentifier(self) }
                return node.lockOwner == ObjectIdentifier(self)
            }
            if taken || !wait { return taken }
            usleep(Self.lockPollInterval)
        }
    }

    func isNamed(_ path: String, on disk: any Disk) throws(DiskError) -> Bool {
        try perform("stat") { node, world in
            if case .file(let named) = world.node(path) { return named === node }
            return false
        }
    }

    func map(length: Int) throws(DiskError) -> any FileMapping {
        try perform("mmap") { node, _ throws(DiskError) in
            guard length > 0, length <= MemoryDisk.largestFile else { throw DiskError("mmap", path, EINVAL) }
            return MemoryView(node.live, length: length)
        }
    }

    func close() {
        // A file that never asked for the lock has none to give back, and may be closed while the disk is busy.
        guard isOpen.exchange(false, ordering: .relaxed), askedForLock.load(ordering: .relaxed) else { return }
        disk.withWorld { _ in
            if node.lockOwner == ObjectIdentifier(self) { node.lockOwner = nil }
        }
    }
}
