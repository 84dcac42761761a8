import Glibc
import Logging
import Membership

/// Resolves names of hosts by the system's means.
enum HostResolver {
    /// etcd tries for half a minute, every second: names of a cluster that is being made may come late.
    private static let attempts = 30
    private static let pause = Duration.seconds(1)

    /// An address for each of `names`; those that have none in time are missing.
    static func addresses(of names: Set<String>, logger: Logger) async -> [String: String] {
        var found: [String: String] = [:]
        for attempt in 0..<attempts {
            for name in names where found[name] == nil {
                let (address, problem) = await Task.detached { lookup(name) }.value
                found[name] = address
                guard let problem else { continue }
                logger.warning(
                    "failed to resolve URL Host",
                    metadata: ["host": .string(name), "retry-interval": "1s", "error": .string(problem)])
            }
            if found.count == names.count || attempt == attempts - 1 { break }
            try? await Task.sleep(for: pause)
        }
        return found
    }

    /// An address of `name`, or nil when it has none now.
    static func address(of name: String) async -> String? {
        await Task.detached { lookup(name).address }.value
    }

    private static func lookup(_ name: String) -> (address: String?, problem: String?) {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(name, nil, &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard result == 0, let first = list else { return (nil, String(cString: gai_strerror(result))) }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let named = getnameinfo(
            first.pointee.ai_addr, first.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        guard named == 0 else { return (nil, String(cString: gai_strerror(named))) }
        return (String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), nil)
    }
}
