import Glibc
import Synchronization

/// A disk in memory that crashes and fails on demand, for tests and the simulator.
///
/// It is as forgetful as POSIX allows a disk to be. A write is durable after its file was synchronised; a name is
/// durable after its directory was. ``crash(random:)`` keeps, drops or tears everything else: each write on its own, by
/// sectors of 512 bytes; changes of a file's length, and of a directory's names, in their order up to some point. A
/// rename within a directory is atomic; one across directories is a new name and a removal, each as durable as its own
/// directory.
///
/// Locks are advisory and belong to an open file, as `flock`'s do. One that has to wait blocks its thread.
public final class MemoryDisk: Disk {
    /// The most that a single file may hold. Address space alone is reserved for it, no memory.
    public static let largestFile = 1 << 34

    private let lock = Mutex(())
    private let world: MemoryWorld
    let stallObserver: (@Sendable (Stall) -> Void)?

    /// An empty disk. `seed` decides where stalls fall; `stallObserver` is told of each before the call goes on, on the
    /// calling thread and outside of the disk's lock, so it may block or advance a simulated clock.
    public init(seed: UInt64 = 0, stallObserver: (@Sendable (Stall) -> Void)? = nil) {
        world = MemoryWorld(seed: seed)
        self.stallObserver = stallObserver
    }

    /// What goes wrong from now on.
    public var faults: Faults {
        get { withWorld { $0.faults } }
        set { withWorld { $0.faults = newValue } }
    }

    /// How many operations the disk has been asked for, refused ones included. Closing and `exists` are not counted.
    public var operations: Int { withWorld { $0.operations } }

    /// The bytes that all files take, as ``Faults/spaceLimit`` counts them.
    public var bytesUsed: Int { withWorld { $0.bytesUsed } }

    /// Cuts the power: what was not synchronised survives in part, as `random` decides, open files become invalid
    /// (each call on them fails with `EBADF`), locks are dropped, and faults are cleared. Existing mappings stay
    /// readable but show nothing new.
    public func crash(random: inout some RandomNumberGenerator) {
        var choice = CrashChoice(&random)
        withWorld { $0.crash(&choice) }
    }

    /// The process that used the disk is gone: its open files become invalid as in a crash and their locks are dropped,
    /// but all that it had written stays.
    public func endProcess() {
        withWorld { $0.endProcess() }
    }

    /// Whether ``Faults/powerLoss`` has struck: every operation fails until ``crash(random:)``.
    public var hasLostPower: Bool { withWorld { $0.powerIsLost } }

    public func open(_ path: String, _ access: FileAccess) throws(DiskError) -> any DiskFile {
        try perform("open", path) { world throws(DiskError) in
            let node = try world.openFile(path, access)
            return MemoryFile(disk: self, node: node, epoch: world.epoch, path: path, isWritable: access != .read)
        }
    }

    public func createDirectory(_ path: String) throws(DiskError) {
        try perform("mkdir", path) { world throws(DiskError) in try world.createDirectory(path) }
    }

    public func list(_ path: String) throws(DiskError) -> [String] {
        try perform("open", path) { world throws(DiskError) in
            try world.directory(path, "open").names.keys.sorted()
        }
    }

    public func exists(_ path: String) -> Bool {
        withWorld { $0.node(path) != nil }
    }

    public func rename(_ path: String, to newPath: String) throws(DiskError) {
        try perform("rename", path) { world throws(DiskError) in try world.rename(path, newPath) }
    }

    public func remove(_ path: String) throws(DiskError) {
        try perform("remove", path) { world throws(DiskError) in try world.remove(path) }
    }

    public func synchronizeDirectory(_ path: String) throws(DiskError) {
        try perform("fsync", path) { world throws(DiskError) in
            try world.directory(path, "fsync").synchronize()
        }
    }

    public func freeBytes(_ path: String) throws(DiskError) -> Int {
        try perform("statvfs", path) { world in
            world.faults.spaceLimit.map { max(0, $0 - world.bytesUsed) } ?? Int.max
        }
    }

    /// Counts an operation, lets the faults at it, and runs it. An operation during which the power goes takes effect,
    /// unsynchronised, and fails all the same.
    func perform<Result: Sendable>(
        _ operation: String, _ path: String, _ body: (MemoryWorld) throws(DiskError) -> Result
    ) throws(DiskError) -> Result {
        if let stall = withWorld({ $0.nextStall(operation, path) }) { stallObserver?(stall) }
        return try withWorld { world throws(DiskError) in
            let verdict = try world.admit(operation, path)
            let isSynchronization = operation.hasSuffix("sync")
            if verdict == .losePower && isSynchronization { throw DiskError(operation, path, EIO) }
            let result = try body(world)
            if verdict == .losePower { throw DiskError(operation, path, EIO) }
            return result
        }
    }

    /// Runs `body` alone with what is on the disk.
    func withWorld<Result: Sendable, Failure: Error>(
        _ body: (MemoryWorld) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try lock.withLock { _ throws(Failure) in try body(world) }
    }
}

extension MemoryDisk {
    /// What a disk does wrong.
    public struct Faults: Sendable {
        /// The operation that fails, counted from 1 for the next one, and its error number; later ones succeed again.
        /// The count goes down with each operation.
        public var failing: (operation: Int, code: Int32)?
        /// The operation during which the power goes, counted like ``failing``: it and all later ones fail with `EIO`
        /// until ``MemoryDisk/crash(random:)``.
        public var powerLoss: Int?
        /// The bytes that all files together may take; what exceeds it fails with `ENOSPC`.
        public var spaceLimit: Int?
        /// How many of 1000 operations stall.
        public var stallsPerThousand = 0
        /// The longest stall, in nanoseconds.
        public var longestStall: UInt64 = 10_000_000_000

        /// A faultless disk.
        public init() {}
    }

    /// An operation that takes long.
    public struct Stall: Sendable, Equatable {
        public var operation: String
        public var path: String
        public var nanoseconds: UInt64
    }
}

/// The random decisions of a crash, whatever generator they come from.
struct CrashChoice {
    private var state: UInt64

    init(_ random: inout some RandomNumberGenerator) {
        state = random.next()
    }

    init(seed: UInt64) {
        state = seed
    }

    /// The next number of the SplitMix64 sequence.
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound` - 1.
    mutating func below(_ bound: Int) -> Int {
        Int(truncatingIfNeeded: next() % UInt64(bound))
    }
}

extension DiskError {
    /// A simulated refusal with the system's words for `code`.
    init(_ operation: String, _ path: String, _ code: Int32) {
        self.init(operation: operation, path: path, code: code, reason: String(cString: strerror(code)))
    }
}
