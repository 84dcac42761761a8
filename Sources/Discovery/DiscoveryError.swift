/// Why the members of a new cluster could not be found. The descriptions begin with etcd's words.
public enum DiscoveryError: Error, Equatable, Sendable, CustomStringConvertible {
    case badEndpoint
    case sizeNotFound
    case badSize(String)
    case fullCluster
    case duplicateID
    case duplicateName
    case invalidURL(String)
    /// The service refuses for a reason of its own.
    case refused(String)
    case badURL(String)

    public var description: String {
        switch self {
        case .badEndpoint: "discovery: bad discovery endpoint"
        case .sizeNotFound: "discovery: size key not found"
        case .badSize(let text): "discovery: size key is bad (\"\(text)\")"
        case .fullCluster:
            "discovery: cluster is full: as many members as it has room for have registered under the token; "
                + "members are added to a running cluster by member add, and a new one needs a token of its own"
        case .duplicateID:
            "discovery: found duplicate id: this member has registered before, but its data directory is not there; "
                + "use a new discovery token if the earlier bootstrap failed"
        case .duplicateName: "discovery: found duplicate name: two of the registered members have the same name"
        case .invalidURL(let what): "discovery: invalid URL (\(what))"
        case .refused(let what): "discovery: \(what)"
        case .badURL(let what): "discovery: invalid discovery URL: \(what)"
        }
    }
}

/// How long to wait before a service is asked again.
struct Backoff {
    /// Waits no longer than the time after so many tries.
    private static let longest = 8
    private var tries = 0

    /// Seconds to wait before the next try: twice as many as before the last one.
    mutating func next() -> Int {
        tries += 1
        return 1 << min(tries, Self.longest)
    }

    mutating func reset() { tries = 0 }
}
