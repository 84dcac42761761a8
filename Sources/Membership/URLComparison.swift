/// Whether two lists of URLs lead to the same places, as etcd compares what `--initial-cluster` says with what others
/// say: the names in them may stand for addresses, but `localhost` and addresses mean themselves.
public struct URLComparison: Sendable {
    /// The address that each host's name was resolved to.
    public var addresses: [String: String]

    /// A comparison by `addresses`.
    public init(addresses: [String: String] = [:]) {
        self.addresses = addresses
    }

    /// The names that must be resolved to compare `left` with `right`; none when they are the same as they stand.
    public static func namesToResolve(_ left: [String], _ right: [String]) -> Set<String> {
        guard left.count == right.count, left.sorted() != right.sorted() else { return [] }
        let hosts = (left + right).compactMap { text -> String? in
            guard let url = try? ServiceURL(parsing: text), url.scheme == .http || url.scheme == .https else {
                return nil
            }
            return url.host
        }
        return Set(hosts.filter { $0 != "localhost" && !$0.isEmpty && !isAddress($0) })
    }

    private static func isAddress(_ host: String) -> Bool {
        if host.contains(":") { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }

    /// What tells `left` from `right`, in etcd's words; nil when they are the same.
    public func difference(_ left: [String], _ right: [String]) -> String? {
        let (left, right) = (left.sorted(), right.sorted())
        guard left.count == right.count else { return "len(\(Self.list(left))) != len(\(Self.list(right)))" }
        if left == right { return nil }
        for name in Self.namesToResolve(left, right).sorted() where addresses[name] == nil {
            return "lookup \(name): no such host"
        }
        let resolved = (left.map(resolve).sorted(), right.map(resolve).sorted())
        for (one, other) in zip(resolved.0, resolved.1) where one != other {
            return "resolved urls: \"\(one)\" != \"\(other)\""
        }
        return nil
    }

    private func resolve(_ text: String) -> String {
        guard var url = try? ServiceURL(parsing: text), let address = addresses[url.host] else { return text }
        url.host = address
        return url.text
    }

    private static func list(_ urls: [String]) -> String {
        "[\(urls.map { "\"\($0)\"" }.joined(separator: " "))]"
    }
}
