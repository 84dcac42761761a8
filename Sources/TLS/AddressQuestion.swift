import Glibc
import NIOCore
import NIOPosix

/// Whether a connection comes from where the certificate that it shows is for.
///
/// As in etcd: an address among the certificate's names must be the connection's, or else a DNS name must lead to it,
/// backwards from the address (where `*.` stands for anything) or forwards from the name. A certificate without such names
/// is for every place.
struct AddressQuestion: Sendable {
    private let host: String
    private let dnsNames: [String]
    private let immediate: String?

    /// Threads that wait for name servers. Only those with a valid certificate can make them wait.
    private static let threads: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
        return pool
    }()

    /// The question about a certificate with `names` that comes from `address`; nil when the answer is that it is welcome.
    init?(_ names: CertificateNames, _ address: SocketAddress?) {
        if names.addresses.isEmpty, names.dnsNames.isEmpty { return nil }
        // A Unix domain socket has no address to compare.
        guard let address, let host = address.ipAddress else { return nil }
        self.host = host
        dnsNames = names.dnsNames
        if !names.addresses.isEmpty {
            if names.isFor(host) { return nil }
            let valid = names.addresses.map(Self.text).joined(separator: ", ")
            immediate = "x509: certificate is valid for \(valid), not \(host)"
        } else {
            immediate = nil
        }
    }

    private static func text(_ address: [UInt8]) -> String {
        var bytes = address
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard bytes.count == 4 || bytes.count == 16,
            inet_ntop(family, &bytes, &text, socklen_t(text.count)) != nil
        else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Calls `completion`, on any thread, with the reason for a refusal, or nil for a welcome.
    func answer(_ completion: @escaping @Sendable (String?) -> Void) {
        guard !dnsNames.isEmpty else { return completion(immediate) }
        Self.threads.submit { state in
            guard state == .active else { return completion("the member stops") }
            completion(isHostNamed() ? nil : "tls: \"\(host)\" does not match any of DNSNames \(Self.list(dnsNames))")
        }
    }

    /// A list as Go prints one.
    private static func list(_ names: [String]) -> String {
        "[" + names.map { "\"\($0)\"" }.joined(separator: " ") + "]"
    }

    private func isHostNamed() -> Bool {
        let wildcards = dnsNames.filter { $0.hasPrefix("*.") }.map { String($0.dropFirst()) }
        let names = dnsNames.filter { !$0.hasPrefix("*.") }
        for found in Self.namesOf(host) {
            let name = found.hasSuffix(".") ? String(found.dropLast()) : found
            if wildcards.contains(where: { name.hasSuffix($0) }) || names.contains(name) { return true }
        }
        return names.contains { name in Self.addresses(of: name).contains { $0 == HostAddress(host) } }
    }

    /// The names that lead back from an address.
    private static func namesOf(_ host: String) -> [String] {
        guard let address = HostAddress(host) else { return [] }
        var entry = hostent()
        var result: UnsafeMutablePointer<hostent>?
        var code: Int32 = 0
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        let family = address.bytes.count == 4 ? AF_INET : AF_INET6
        let status = address.bytes.withUnsafeBytes { bytes in
            gethostbyaddr_r(
                bytes.baseAddress, socklen_t(bytes.count), family, &entry, &buffer, buffer.count, &result, &code)
        }
        guard status == 0, let found = result?.pointee else { return [] }
        return withExtendedLifetime(buffer) {
            var names = found.h_name.map { [String(cString: $0)] } ?? []
            var alias = found.h_aliases
            while let text = alias?.pointee {
                names.append(String(cString: text))
                alias = alias?.advanced(by: 1)
            }
            return names
        }
    }

    private static func addresses(of name: String) -> [HostAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var addresses: [HostAddress] = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let status = getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            if status == 0,
                let address = HostAddress(
                    String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            {
                addresses.append(address)
            }
            next = entry.pointee.ai_next
        }
        return addresses
    }
}
