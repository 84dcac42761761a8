import Glibc

/// Tells one state of a file from another without reading it.
struct FileStamp: Equatable, Sendable {
    private var device: UInt64
    private var inode: UInt64
    private var size: Int64
    private var modified: Int64
    private var changed: Int64

    /// The present state of the file at `path`; nil when there is none.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        modified = Self.nanoseconds(status.st_mtim)
        changed = Self.nanoseconds(status.st_ctim)
    }

    /// Whether the file was last changed so long ago that another change would show. File systems count time in ticks of
    /// some milliseconds, and two changes in one tick look like one.
    var isSettled: Bool {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        // A change in the future, by a clock that was set back since, is as long ago as one in the past.
        return abs(Self.nanoseconds(now) - changed) > Self.settlingNanoseconds
    }

    private static let settlingNanoseconds: Int64 = 100_000_000

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}

/// Reads whole files.
enum SmallFile {
    /// The bytes of the file at `path`, at most ``TLSLimit/fileBytes``.
    static func read(_ path: String) throws(TLSError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: Self.reason()) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = piece.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            guard count >= 0 else { throw .unreadable(path: path, reason: Self.reason()) }
            if count == 0 { return bytes }
            guard bytes.count + count <= TLSLimit.fileBytes else { throw .tooLarge(path: path) }
            bytes += piece[..<count]
        }
    }

    private static func reason() -> String { String(cString: strerror(errno)).lowercased() }
}
