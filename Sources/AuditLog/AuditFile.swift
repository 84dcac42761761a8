import Glibc

/// The file of the audit log: lines go to its end, and when it is full it moves aside, `audit.log` to `audit.log.1`, that
/// to `audit.log.2`, and so on.
final class AuditFile {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private let path: String
    private let sizeLimit: Int
    private let kept: Int
    private var descriptor: CInt = -1
    /// The file's bytes, or those since it could not be moved aside.
    private var size = 0

    /// - Parameters:
    ///   - sizeLimit: bytes after which the file is full.
    ///   - kept: full files that are kept; at least one.
    init(path: String, sizeLimit: Int, kept: Int) throws(Failure) {
        self.path = path
        self.sizeLimit = sizeLimit
        self.kept = max(1, kept)
        try open()
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private func open() throws(Failure) {
        // Nobody but the member's user reads who did what.
        descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("open") }
        size = Int(lseek(descriptor, 0, SEEK_END))
    }

    /// Appends whole lines: all of them, or none.
    func write(_ lines: [UInt8]) throws(Failure) {
        if size > 0 && size + lines.count > sizeLimit { rotate() }
        if descriptor < 0 { try open() }
        var written = 0
        while written < lines.count {
            let count = lines.withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let failure = failure("write")
                // What a full disk still took ends in the middle of a line, to which the next one would be glued.
                if written > 0 { ftruncate(descriptor, lseek(descriptor, 0, SEEK_CUR) - off_t(written)) }
                throw failure
            }
            written += count
        }
        size += written
    }

    private func rotate() {
        for number in stride(from: kept - 1, through: 1, by: -1) {
            // What is not there cannot be moved, which is no mistake.
            rename("\(path).\(number)", "\(path).\(number + 1)")
        }
        // Somebody may have removed the file; then a new one begins as well.
        if rename(path, "\(path).1") == 0 || errno == ENOENT {
            close(descriptor)
            descriptor = -1
        }
        // Whoever cannot move the file aside goes on with it, and tries again after as many bytes: at once, each line
        // would move the older files on.
        size = 0
    }

    private func failure(_ what: String) -> Failure {
        Failure(description: "\(what) \(path): \(String(cString: strerror(errno)))")
    }
}
