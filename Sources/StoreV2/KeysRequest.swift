/// A request to the keys of the version-2 API, as it came over HTTP.
public struct KeysRequest: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        /// It goes through the log.
        case logged
        /// It is answered from this member's store.
        case read
        /// It waits for a change.
        case watch
    }

    public var kind: Kind
    /// What is to be done; of reads and watches only the path and the options count.
    public var request: StoreV2Request
    /// Whether an answer to a write tells only its action.
    public var hidesNodes: Bool

    /// Names in a key, beyond which it is refused: directories are made on the way to a key, and each costs memory that
    /// the client's request does not pay for.
    static let depthLimit = 1_000

    /// Reads a request as etcd does.
    ///
    /// - Parameters:
    ///   - path: the path behind `/v2/keys`, decoded.
    ///   - form: the parameters of the query and of the body.
    ///   - now: nanoseconds since 1970.
    public init(method: String, path: [UInt8], form: Form, now: Int64) throws(StoreV2Error) {
        let path = KeyPath.clean(KeyTree.keysPath + [KeyPath.slash] + path)
        guard KeyPath.names(path).count <= Self.depthLimit else {
            throw StoreV2Error(.invalidField, "the key has more than \(Self.depthLimit) names")
        }
        let previousIndex = try Self.index(form, "prevIndex")
        let since = try Self.index(form, "waitIndex")
        var flags: [String: Bool] = [:]
        for name in ["recursive", "sorted", "wait", "dir", "quorum", "stream"] {
            flags[name] = try Self.flag(form, name)
        }
        let waits = flags["wait"] == true
        if waits && method != "GET" {
            throw StoreV2Error(.invalidField, "\"wait\" can only be used with GET requests")
        }
        let previousValue = form["prevValue"]
        if previousValue == [] { throw StoreV2Error(.previousValueRequired, "\"prevValue\" cannot be empty") }
        hidesNodes = try Self.flag(form, "noValueOnSuccess") ?? false
        let ttl = try Self.timeToLive(form)
        let previousExists = try Self.flag(form, "prevExist", quoted: false)
        let refresh = try Self.flag(form, "refresh", quoted: false)
        if refresh == true {
            guard (form["value"] ?? []).isEmpty else {
                throw StoreV2Error(.refreshWithValue, "A value was provided on a refresh")
            }
            guard ttl != nil else { throw StoreV2Error(.refreshWithoutTTL, "No TTL value set") }
        }
        var request: StoreV2Request
        switch method {
        case "PUT": (kind, request) = (.logged, StoreV2Request(.put, path: path))
        case "POST": (kind, request) = (.logged, StoreV2Request(.post, path: path))
        case "DELETE": (kind, request) = (.logged, StoreV2Request(.delete, path: path))
        default:
            request = StoreV2Request(.quorumGet, path: path)
            kind = method == "GET" && flags["quorum"] == true ? .logged : method == "GET" && waits ? .watch : .read
        }
        request.value = form["value"] ?? []
        request.isDirectory = flags["dir"] == true
        request.previousValue = previousValue ?? []
        request.previousIndex = previousIndex
        request.previousExists = previousExists
        request.waits = waits
        request.since = since
        request.recursive = flags["recursive"] == true
        request.sorted = flags["sorted"] == true
        request.quorum = flags["quorum"] == true
        request.stream = flags["stream"] == true
        request.refresh = refresh
        // Go's arithmetic goes round in the same way.
        if let ttl { request.expiration = now &+ Int64(truncatingIfNeeded: ttl) &* 1_000_000_000 }
        self.request = request
    }

    private static func index(_ form: Form, _ name: String) throws(StoreV2Error) -> UInt64 {
        guard let text = form[name] else { return 0 }
        guard let value = number(text) else {
            throw StoreV2Error(.indexIsNoNumber, "invalid value for \"\(name)\"")
        }
        return value
    }

    private static func timeToLive(_ form: Form) throws(StoreV2Error) -> UInt64? {
        guard let text = form["ttl"], !text.isEmpty else { return nil }
        guard let value = number(text) else { throw StoreV2Error(.ttlIsNoNumber, "invalid value for \"ttl\"") }
        return value
    }

    private static func number(_ text: [UInt8]) -> UInt64? {
        // Swift would take a sign too.
        guard text.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return UInt64(String(decoding: text, as: UTF8.self))
    }

    private static func flag(_ form: Form, _ name: String, quoted: Bool = true) throws(StoreV2Error) -> Bool? {
        guard let text = form[name] else { return nil }
        switch String(decoding: text, as: UTF8.self) {
        case "1", "t", "T", "TRUE", "true", "True": return true
        case "0", "f", "F", "FALSE", "false", "False": return false
        default:
            let shown = quoted ? "\"\(name)\"" : name
            throw StoreV2Error(.invalidField, "invalid value for \(shown)")
        }
    }
}
