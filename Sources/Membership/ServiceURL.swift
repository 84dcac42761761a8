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

    /// Reads `scheme://host:port`, or `unix:` and a path. What is wrong is said in the words of Go and etcd.
    public init(parsing text: String) throws(Invalid) {
        let (scheme, behind) = try Self.scheme(of: text)
        self.scheme = scheme
        let isRooted = behind.hasPrefix("//")
        let rest = isRooted ? behind.dropFirst(2) : behind
        if scheme == .unix || scheme == .unixs {
            guard !rest.isEmpty else { throw Invalid(description: "URL \"\(text)\" names no socket") }
            host = String(rest)
            port = 0
            return
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        if let space = authority.first(where: { $0 == " " || $0 == "\"" || $0 == "<" || $0 == ">" }) {
            throw Invalid(description: "parse \"\(text)\": invalid character \"\(space)\" in host name")
        }
        let isBracketed = authority.hasPrefix("[")
        guard isRooted, let mark = authority.lastIndex(of: ":"), !authority[mark...].contains("]"),
            isBracketed || authority.firstIndex(of: ":") == mark
        else {
            throw Invalid(description: "URL address does not have the form \"host:port\": \(text)")
        }
        let digits = authority[authority.index(after: mark)...]
        guard digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            throw Invalid(description: "parse \"\(text)\": invalid port \":\(digits)\" after host")
        }
        guard authority.count == rest.count else {
            throw Invalid(description: "URL must not contain a path: \(text)")
        }
        guard let number = Int(digits), (0...65535).contains(number) else {
            throw Invalid(description: "URL \"\(text)\" has no port from 0 to 65535")
        }
        host = String(isBracketed ? authority[..<mark].dropFirst().dropLast() : authority[..<mark])
        port = number
    }

    /// The scheme of a URL, and what stands behind its colon.
    private static func scheme(of text: String) throws(Invalid) -> (scheme: Scheme, rest: Substring) {
        let unknown = Invalid(description: "URL scheme must be http, https, unix, or unixs: \(text)")
        guard let colon = text.firstIndex(of: ":") else { throw unknown }
        let name = text[..<colon]
        if name.isEmpty { throw Invalid(description: "parse \"\(text)\": missing protocol scheme") }
        guard name.first?.isLetter == true else {
            if name.contains("/") { throw unknown }
            throw Invalid(description: "parse \"\(text)\": first path segment in URL cannot contain colon")
        }
        guard let scheme = Scheme(rawValue: name.lowercased()) else { throw unknown }
        return (scheme, text[text.index(after: colon)...])
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
