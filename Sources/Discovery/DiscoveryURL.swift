/// Where a version-2 discovery service is, and under which key the cluster has its list.
public struct DiscoveryURL: Equatable, Sendable {
    public var isSecure: Bool
    public var host: String
    public var port: Int
    /// The path of the cluster's directory, beginning with `/`.
    public var path: String

    /// Reads `http[s]://host[:port]/path`.
    public init(parsing text: String) throws(DiscoveryError) {
        let scheme = text.hasPrefix("https://") ? "https://" : "http://"
        guard text.hasPrefix(scheme) else { throw .badURL("\"\(text)\" begins with neither http:// nor https://") }
        isSecure = scheme == "https://"
        let rest = text.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" }
        let directory = rest.dropFirst(authority.count).prefix { $0 != "?" && $0 != "#" }
        let names = directory.split(separator: "/")
        guard !names.isEmpty else { throw .badURL("\"\(text)\" names no token") }
        path = "/" + names.joined(separator: "/")
        // What stands before an @ would be a user, which such services do not have.
        guard !authority.isEmpty, !authority.contains("@") else { throw .badURL("\"\(text)\" names no host") }
        let isBracketed = authority.hasPrefix("[")
        let end = isBracketed ? authority.firstIndex(of: "]") : authority.lastIndex(of: ":") ?? authority.endIndex
        guard let end else { throw .badURL("\"\(text)\" names no host") }
        host = String(isBracketed ? authority[..<end].dropFirst() : authority[..<end])
        let behind = authority[end...].drop { $0 == "]" }
        guard !host.isEmpty, behind.isEmpty || behind.first == ":" else { throw .badURL("\"\(text)\" names no host") }
        let digits = behind.dropFirst()
        guard let port = digits.isEmpty ? (isSecure ? 443 : 80) : Int(digits), (1...65535).contains(port) else {
            throw .badURL("\"\(text)\" has no port from 1 to 65535")
        }
        self.port = port
    }

    /// Host and port as a request names them.
    public var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }
}
