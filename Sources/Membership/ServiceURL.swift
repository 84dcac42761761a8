/// A URL at which a member listens or is reached: a scheme, a host and a port, or a socket's path.
public struct ServiceURL: Equatable, Hashable, Sendable {
    /// What is wrong with a URL, in words for the person who wrote it.
    public struct Invalid: Error, Equatable, CustomStringConvertible {
        public var description: String
    }

    /// The schemes that etcd knows.
    public enum Scheme: String, Sendable {
        case http, https, unix, unixs
    }

    public var scheme: Scheme
    /// The host's name or address, without the brackets of an IPv6 address; for a socket its path.
    public var host: String
    /// The TCP port; zero for a socket.
    public var port: Int

    /// Reads `scheme://host:port`.
    public init(parsing text: String) throws(Invalid) {
        // A socket's path may stand behind the colon alone.
        for scheme in [Scheme.unix, .unixs] where text.hasPrefix("\(scheme.rawValue):/") && !text.contains("://") {
            self.scheme = scheme
            host = String(text.dropFirst(scheme.rawValue.count + 1))
            port = 0
            return
        }
        guard let colon = text.range(of: "://") else {
            throw Invalid(description: "URL \"\(text)\" has no scheme (http, https, unix or unixs)")
        }
        let name = String(text[..<colon.lower])
        guard let scheme = Scheme(rawValue: name) else {
            throw Invalid(description: "URL scheme must be http, https, unix, or unixs: \(text)")
        }
        self.scheme = scheme
        var rest = text[colon.upper...]
        if scheme == .unix || scheme == .unixs {
            guard !rest.isEmpty else { throw Invalid(description: "URL \"\(text)\" names no socket") }
            host = String(rest)
            port = 0
            return
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard !rest.contains("/") else { throw Invalid(description: "URL must not contain a path: \(text)") }
        guard let mark = rest.lastIndex(of: ":"), !rest[mark...].contains("]") else {
            throw Invalid(description: "URL address does not have the form \"host:port\": \(text)")
        }
        guard let number = Int(rest[rest.index(after: mark)...]), (0...65535).contains(number) else {
            throw Invalid(description: "URL \"\(text)\" has no port from 0 to 65535")
        }
        var address = rest[..<mark]
        if address.hasPrefix("[") && address.hasSuffix("]") { address = address.dropFirst().dropLast() }
        host = String(address)
        port = number
    }

    /// The URL as text.
    public var text: String {
        switch scheme {
        case .unix, .unixs: "\(scheme.rawValue)://\(host)"
        case .http, .https: "\(scheme.rawValue)://\(authority)"
        }
    }

    /// Host and port as they stand in the URL.
    public var authority: String {
        switch scheme {
        case .unix, .unixs: host
        case .http, .https: host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }
}

extension String {
    /// Where `mark` first stands.
    fileprivate func range(of mark: String) -> (lower: Index, upper: Index)? {
        var lower = startIndex
        while lower < endIndex {
            if self[lower...].hasPrefix(mark) { return (lower, index(lower, offsetBy: mark.count)) }
            lower = index(after: lower)
        }
        return nil
    }
}
