import Glibc
import LogOutput
import Logging

/// systemd, which waits to be told that a `Type=notify` service is ready.
enum ServiceManager {
    /// Sends `state` to the socket that `NOTIFY_SOCKET` names, in the file system or in the abstract space; does nothing
    /// when nobody waits.
    static func tell(_ state: String, _ logger: Logger) {
        guard let path = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), !path.isEmpty else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let bytes = Array(state.utf8)
        guard UnixSocket.connect(descriptor, to: path),
            send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
        else {
            logger.error(
                "failed to notify systemd",
                metadata: ["state": .string(state), "error": .string(String(cString: strerror(errno)).lowercased())])
            return
        }
    }
}
