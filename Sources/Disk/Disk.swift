/// What a store may ask of a disk: the only way by which the pure modules reach files.
///
/// ``POSIXDisk`` is the real one; ``MemoryDisk`` stands in for it in tests and in the simulator, where a crash can lose
/// whatever was not synchronised. Implementations are safe to use from any thread.
public protocol Disk: Sendable {
    /// Opens the file at `path`. Throws a ``DiskError`` when it is absent and `access` does not create it.
    func open(_ path: String, _ access: FileAccess) throws(DiskError) -> any DiskFile

    /// Creates the directory `path` with its missing parents, readable by its owner alone; one that exists is fine.
    func createDirectory(_ path: String) throws(DiskError)

    /// The names in the directory `path`, in ascending order, without `.` and `..`.
    func list(_ path: String) throws(DiskError) -> [String]

    /// Whether there is a file or directory at `path`.
    func exists(_ path: String) -> Bool

    /// Renames a file or directory, replacing a file that has the new name. Durable after
    /// ``synchronizeDirectory(_:)`` of the parent.
    func rename(_ path: String, to newPath: String) throws(DiskError)

    /// Removes a file, or a directory with all that is in it. Durable after ``synchronizeDirectory(_:)`` of the parent.
    func remove(_ path: String) throws(DiskError)

    /// Makes the names in the directory `path` durable.
    func synchronizeDirectory(_ path: String) throws(DiskError)

    /// How many bytes may still be written to files in the directory `path`; `Int.max` where that is not known.
    func freeBytes(_ path: String) throws(DiskError) -> Int
}

/// How a file is opened.
public enum FileAccess: Sendable {
    /// For reading alone.
    case read
    /// For reading and writing; the file must exist.
    case write
    /// For reading and writing; an absent file is created, readable by its owner alone.
    case create
}

/// An open file. Closed by ``close()`` or when the last reference goes.
public protocol DiskFile: AnyObject, Sendable {
    /// The path that the file was opened by.
    var path: String { get }

    /// The file's length in bytes.
    func size() throws(DiskError) -> Int

    /// Fills `buffer` from byte `offset` on and returns how many bytes there were; fewer than asked only at the end of
    /// the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int

    /// Writes all of `bytes` at byte `offset`, lengthening the file where needed.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError)

    /// Returns when all that was written, and the length, is on stable storage.
    func synchronize() throws(DiskError)

    /// Cuts or lengthens the file to `length` bytes; what is added reads as zeros.
    func truncate(to length: Int) throws(DiskError)

    /// Reserves storage for the first `length` bytes and lengthens the file to them.
    func allocate(_ length: Int) throws(DiskError)

    /// Takes the advisory lock on the file; it is released by ``close()``. With `wait` the call returns when the lock is
    /// had; without, it returns false at once when another process or another opening of the file has it.
    func lock(wait: Bool) throws(DiskError) -> Bool

    /// Whether `path` names this very file, and not another that took its place or none.
    func isNamed(_ path: String, on disk: any Disk) throws(DiskError) -> Bool

    /// A view of the file's first `length` bytes that shows later writes. `length` may exceed the file's size, but what
    /// lies past the size must not be read.
    func map(length: Int) throws(DiskError) -> any FileMapping

    /// Closes the file and drops its lock. Mappings stay valid.
    func close()
}

/// A view of a file in memory; it stays valid as long as this object lives.
public protocol FileMapping: AnyObject, Sendable {
    /// The mapped bytes.
    var bytes: UnsafeRawBufferPointer { get }
}

/// A refusal by the disk: what was asked, of which file, and the system's reason.
public struct DiskError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was asked, such as `open` or `fdatasync`.
    public var operation: String
    /// The file or directory.
    public var path: String
    /// The system's error number (`errno`).
    public var code: Int32
    /// The system's words for it.
    public var reason: String

    /// A refusal of `operation` on `path`.
    public init(operation: String, path: String, code: Int32, reason: String) {
        self.operation = operation
        self.path = path
        self.code = code
        self.reason = reason
    }

    public var description: String { "\(operation) \(path): \(reason)" }
}

extension DiskFile {
    /// The `count` bytes from `offset` on, or fewer at the end of the file.
    public func read(at offset: Int, count: Int) throws(DiskError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        let got = try span.withUnsafeMutableBytes { (buffer) throws(DiskError) in
            try self.read(into: buffer, at: offset)
        }
        if got < count { bytes.removeLast(count - got) }
        return bytes
    }

    /// Writes all of `bytes` at byte `offset`.
    public func write(_ bytes: [UInt8], at offset: Int) throws(DiskError) {
        try bytes.span.withUnsafeBytes { (buffer) throws(DiskError) in
            try self.write(buffer, at: offset)
        }
    }
}
