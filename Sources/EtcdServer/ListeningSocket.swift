import Configuration
import Glibc
import Member
import Membership

/// A socket that listens and takes no connection yet: those that come wait in the system's queue until the member serves.
final class ListeningSocket {
    /// Connections that the system keeps for a member that is busy or starting.
    private static let backlog: Int32 = 4096

    let url: ServiceURL
    private var descriptor: Int32
    private let options: SocketOptions

    /// Listens at `url`; says which address cannot be had, and why.
    init(_ url: ServiceURL, _ options: SocketOptions) throws(StartError) {
        self.url = url
        self.options = options
        descriptor = -1
        if url.scheme == .unix || url.scheme == .unixs {
            try bind(to: try Self.address(ofSocket: url.host))
        } else {
            try bindToTCP()
        }
        guard Glibc.listen(descriptor, Self.backlog) == 0 else { throw failure("listen") }
    }

    deinit {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        if url.scheme == .unix || url.scheme == .unixs { unlink(url.host) }
    }

    /// Hands the descriptor over; whoever takes it closes it.
    func take() -> Int32 {
        defer { descriptor = -1 }
        return descriptor
    }

    /// Removes the files of the sockets that `configuration` listens at, as Go does when it closes one.
    static func removeFiles(of configuration: MemberConfiguration) {
        let urls = configuration.listenClientURLs + configuration.listenPeerURLs + configuration.monitoring.listenURLs
        for url in urls + configuration.listenClientHTTPURLs where url.scheme == .unix || url.scheme == .unixs {
            unlink(url.host)
        }
    }

    private func failure(_ operation: String) -> StartError {
        let reason = String(cString: strerror(errno)).lowercased()
        return StartError("listen \(url.scheme == .unix ? "unix" : "tcp") \(url.authority): \(operation): \(reason)")
    }

    private func bindToTCP() throws(StartError) {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        let host = url.host.isEmpty ? nil : url.host
        let result = getaddrinfo(host, String(url.port), &hints, &found)
        guard result == 0, let first = found else {
            throw StartError("listen tcp \(url.authority): \(String(cString: gai_strerror(result)))")
        }
        defer { freeaddrinfo(found) }
        // IPv4 first, as `localhost` has meant it for every client so far.
        var candidates: [UnsafeMutablePointer<addrinfo>] = []
        var next: UnsafeMutablePointer<addrinfo>? = first
        while let candidate = next {
            candidates.append(candidate)
            next = candidate.pointee.ai_next
        }
        let chosen = candidates.first { $0.pointee.ai_family == AF_INET } ?? first
        descriptor = socket(chosen.pointee.ai_family, chosen.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw failure("socket") }
        var on: Int32 = 1
        // As Go does for every listener, so that a restart need not wait for old connections.
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        // Connections have it from their listener. NIO sets it later, which is too late for those that come while the member
        // starts: each of their small messages would wait for the acknowledgement of the last one.
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        if options.reusesPort {
            guard setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, socklen_t(MemoryLayout<Int32>.size)) == 0
            else { throw failure("setsockopt") }
        }
        guard Glibc.bind(descriptor, chosen.pointee.ai_addr, chosen.pointee.ai_addrlen) == 0 else {
            throw failure("bind")
        }
    }

    private static func address(ofSocket path: String) throws(StartError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { target in
            guard bytes.count < target.count else { return false }
            target.copyBytes(from: bytes)
            return true
        }
        guard fits else { throw StartError("listen unix \(path): the path is too long for a socket") }
        return address
    }

    private func bind(to address: sockaddr_un) throws(StartError) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw failure("socket") }
        // A socket that an earlier run left behind would refuse this one.
        unlink(url.host)
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw failure("bind") }
    }
}
