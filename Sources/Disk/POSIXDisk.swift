import Glibc
import Synchronization

/// The machine's file system.
public struct POSIXDisk: Disk {
    /// Files and directories hold other people's secrets, so only their owner may read them.
    private static let fileMode: mode_t = 0o600
    private static let directoryMode: mode_t = 0o700

    /// Whether what is to be durable is waited for. Without, a crash of the machine may cost anything that was written.
    private let synchronizes: Bool

    /// The file system of the machine.
    public init(synchronizes: Bool = true) {
        self.synchronizes = synchronizes
    }

    public func open(_ path: String, _ access: FileAccess) throws(DiskError) -> any DiskFile {
        let flags: Int32
        switch access {
        case .read: flags = O_RDONLY | O_CLOEXEC
        case .write: flags = O_RDWR | O_CLOEXEC
        case .create: flags = O_RDWR | O_CREAT | O_CLOEXEC
        }
        let descriptor = retrying { Glibc.open(path, flags, Self.fileMode) }
        guard descriptor >= 0 else { throw DiskError(errnoOf: "open", path) }
        return POSIXFile(descriptor: descriptor, path: path, synchronizes: synchronizes)
    }

    public func createDirectory(_ path: String) throws(DiskError) {
        if Glibc.mkdir(path, Self.directoryMode) == 0 { return }
        if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try createDirectory(String(path[..<slash]))
            if Glibc.mkdir(path, Self.directoryMode) == 0 { return }
        }
        let failure = DiskError(errnoOf: "mkdir", path)
        guard failure.code == EEXIST else { throw failure }
        var information = stat()
        guard stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFDIR else {
            throw DiskError(operation: "mkdir", path: path, code: ENOTDIR, reason: "not a directory")
        }
    }

    public func list(_ path: String) throws(DiskError) -> [String] {
        guard let directory = opendir(path) else { throw DiskError(errnoOf: "open", path) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    public func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

    public func rename(_ path: String, to newPath: String) throws(DiskError) {
        guard Glibc.rename(path, newPath) == 0 else { throw DiskError(errnoOf: "rename", path) }
    }

    public func remove(_ path: String) throws(DiskError) {
        if unlink(path) == 0 { return }
        let failure = DiskError(errnoOf: "remove", path)
        guard failure.code == EISDIR || failure.code == EPERM else { throw failure }
        for name in try list(path) { try remove("\(path)/\(name)") }
        guard rmdir(path) == 0 else { throw DiskError(errnoOf: "rmdir", path) }
    }

    public func synchronizeDirectory(_ path: String) throws(DiskError) {
        guard synchronizes else { return }
        let descriptor = retrying { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw DiskError(errnoOf: "open", path) }
        defer { _ = Glibc.close(descriptor) }
        guard retrying({ fsync(descriptor) }) == 0 else { throw DiskError(errnoOf: "fsync", path) }
    }

    public func freeBytes(_ path: String) throws(DiskError) -> Int {
        var information = statvfs()
        guard retrying({ statvfs(path, &information) }) == 0 else { throw DiskError(errnoOf: "statvfs", path) }
        let (bytes, overflow) = UInt64(information.f_bavail).multipliedReportingOverflow(
            by: UInt64(information.f_frsize))
        return overflow ? .max : Int(clamping: bytes)
    }
}

/// An open file of the machine's file system.
final class POSIXFile: DiskFile {
    let path: String
    /// The descriptor, or -1 when the file is closed.
    private let descriptor: Atomic<Int32>
    private let synchronizes: Bool

    init(descriptor: Int32, path: String, synchronizes: Bool) {
        self.descriptor = Atomic(descriptor)
        self.path = path
        self.synchronizes = synchronizes
    }

    deinit { close() }

    private var number: Int32 { descriptor.load(ordering: .relaxed) }

    func size() throws(DiskError) -> Int {
        var information = stat()
        guard fstat(number, &information) == 0 else { throw DiskError(errnoOf: "stat", path) }
        return Int(information.st_size)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        var done = 0
        while done < buffer.count {
            guard let base = buffer.baseAddress else { break }
            let got = retrying { pread(number, base + done, buffer.count - done, off_t(offset + done)) }
            guard got >= 0 else { throw DiskError(errnoOf: "read", path) }
            if got == 0 { break }
            done += got
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            guard let base = bytes.baseAddress else { break }
            let put = retrying { pwrite(number, base + done, bytes.count - done, off_t(offset + done)) }
            guard put >= 0 else { throw DiskError(errnoOf: "write", path) }
            done += put
        }
    }

    func synchronize() throws(DiskError) {
        guard synchronizes else { return }
        guard retrying({ fdatasync(number) }) == 0 else { throw DiskError(errnoOf: "fdatasync", path) }
    }

    func truncate(to length: Int) throws(DiskError) {
        guard retrying({ ftruncate(number, off_t(length)) }) == 0 else { throw DiskError(errnoOf: "truncate", path) }
    }

    func allocate(_ length: Int) throws(DiskError) {
        // A file system that cannot reserve (EOPNOTSUPP) still gets the length, as etcd does.
        let result = posix_fallocate(number, 0, off_t(length))
        if result == EOPNOTSUPP || result == EINVAL {
            if try size() < length { try truncate(to: length) }
        } else if result != 0 {
            throw DiskError(operation: "allocate", path: path, code: result, reason: String(cString: strerror(result)))
        }
    }

    func lock(wait: Bool) throws(DiskError) -> Bool {
        // flock is what bbolt takes on its file; etcd's WAL files take the same kind of lock here.
        if retrying({ flock(number, wait ? LOCK_EX : LOCK_EX | LOCK_NB) }) == 0 { return true }
        if errno == EWOULDBLOCK { return false }
        throw DiskError(errnoOf: "lock", path)
    }

    func isNamed(_ path: String, on disk: any Disk) throws(DiskError) -> Bool {
        var own = stat()
        var named = stat()
        guard fstat(number, &own) == 0 else { throw DiskError(errnoOf: "stat", self.path) }
        guard stat(path, &named) == 0 else {
            if errno == ENOENT { return false }
            throw DiskError(errnoOf: "stat", path)
        }
        return own.st_dev == named.st_dev && own.st_ino == named.st_ino
    }

    func map(length: Int) throws(DiskError) -> any FileMapping {
        guard let base = mmap(nil, length, PROT_READ, MAP_SHARED, number, 0), base != MAP_FAILED else {
            throw DiskError(errnoOf: "mmap", path)
        }
        // Page lookups jump about the file; reading ahead of them would fill the page cache for nothing.
        madvise(base, length, MADV_RANDOM)
        return POSIXMapping(UnsafeRawBufferPointer(start: base, count: length))
    }

    func close() {
        let open = descriptor.exchange(-1, ordering: .relaxed)
        guard open >= 0 else { return }
        // A mapping keeps the open file, and with it the lock, alive beyond the descriptor.
        flock(open, LOCK_UN)
        _ = Glibc.close(open)
    }
}

/// A file mapped by `mmap`; unmapped when the last reference goes.
final class POSIXMapping: FileMapping, @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }
}

extension DiskError {
    /// The error that the last system call left in `errno`.
    init(errnoOf operation: String, _ path: String) {
        let code = errno
        self.init(operation: operation, path: path, code: code, reason: String(cString: strerror(code)))
    }
}

/// Repeats a system call that a signal interrupted.
private func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result == -1 && errno == EINTR { continue }
        return result
    }
}
