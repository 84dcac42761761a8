import Configuration
import Glibc
import Logging
import Membership

/// The address by which others reach this machine, for a member that listens at all addresses and was not told which to
/// name.
enum DefaultHost {
    /// `configuration` with that address where etcd would put it: in place of `localhost` in advertised URLs that are the
    /// defaults while the member listens at 0.0.0.0.
    static func advertise(in configuration: MemberConfiguration, logger: Logger) -> MemberConfiguration {
        guard configuration.wantsDefaultHost else { return configuration }
        guard let host = address() else {
            logger.info("failed to detect default host")
            return configuration
        }
        logger.info("detected default host for advertise", metadata: ["host": .string(host)])
        var changed = configuration
        changed.advertise(defaultHost: host)
        return changed
    }

    /// The address that the machine would send from to one far away; nil when it knows no way there.
    private static func address() -> String? {
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = in_port_t(9).bigEndian
        // An address of RFC 5737, which is nobody's.
        inet_pton(AF_INET, "198.51.100.1", &target.sin_addr)
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // Connecting a datagram socket sends nothing: it only looks up the way.
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isKnown = withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) == 0 }
        }
        var own = sockaddr_in()
        var length = size
        let isNamed = withUnsafeMutablePointer(to: &own) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) == 0 }
        }
        guard isKnown, isNamed else { return nil }
        var text = [CChar](repeating: 0, count: Int(INET_ADDRSTRLEN))
        guard inet_ntop(AF_INET, &own.sin_addr, &text, socklen_t(text.count)) != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
