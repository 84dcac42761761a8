import Glibc
import Logging

/// Where lines go. Called by the writer's thread only.
public protocol LogDestination: AnyObject {
    /// Writes one line, which ends in a newline; false when it could not be, and is lost.
    func write(_ line: String, level: Logger.Level) -> Bool
}

/// Standard error or standard output.
final class DescriptorDestination: LogDestination {
    private let descriptor: Int32

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    func write(_ line: String, level: Logger.Level) -> Bool {
        writeWhole(line, to: descriptor) == line.utf8.count
    }
}

/// Writes `text`, and returns how many bytes of it: all, or fewer when the system refuses.
func writeWhole(_ text: String, to descriptor: Int32) -> Int {
    var text = text
    return text.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
            let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if written < 0 && errno == EINTR { continue }
            if written < 0 && errno == EAGAIN {
                var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wanted, 1, -1)
                continue
            }
            guard written > 0 else { break }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
        return bytes.count - rest.count
    }
}

/// systemd's journal, by its own datagrams.
final class JournalDestination: LogDestination {
    static let standardPath = "/run/systemd/journal/socket"
    /// A datagram that the journal takes without other means; a longer line is cut.
    private static let longest = 128 * 1024

    private let descriptor: Int32

    init(path: String = standardPath) throws(LogFailure) {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0, UnixSocket.connect(descriptor, to: path) else {
            let reason = String(cString: strerror(errno)).lowercased()
            if descriptor >= 0 { close(descriptor) }
            throw LogFailure(description: "can't find journal (\(path): \(reason))")
        }
    }

    deinit { close(descriptor) }

    func write(_ line: String, level: Logger.Level) -> Bool {
        // The line has no newline but its last, so the plain form of a field does.
        let message = line.utf8.dropLast().prefix(Self.longest)
        var datagram = Array("PRIORITY=\(Self.priority(level))\nSYSLOG_IDENTIFIER=etcd\nMESSAGE=".utf8)
        datagram += message
        datagram.append(UInt8(ascii: "\n"))
        return send(descriptor, datagram, datagram.count, Int32(MSG_NOSIGNAL)) == datagram.count
    }

    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}

/// Addresses of sockets in the file system and, with `@` before the name, in Linux's abstract space.
public enum UnixSocket {
    /// Connects `descriptor` to `path`; false, with `errno` set, when that fails.
    public static func connect(_ descriptor: Int32, to path: String) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { target in
            guard bytes.count < target.count else { return false }
            target.copyBytes(from: bytes)
            return true
        }
        guard fits else {
            errno = ENAMETOOLONG
            return false
        }
        // An abstract name ends where the address does; one in the file system with a zero.
        let isAbstract = bytes.first == 0
        let length = MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(length)) == 0
            }
        }
    }
}
