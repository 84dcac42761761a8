import Configuration
import EtcdAPI
import GRPC
import Member
import Membership
import Metrics
import StoreV2

/// The version-2 API over plain HTTP (`--enable-v2`), as etcd 3.4 serves it: keys, members, machines and statistics. There
/// is no `/v2/auth`, so version-2 keys have no users. Where etcd 3.4 has switched its users on, nobody is let in.
final class StoreV2Service: Sendable {
    let member: MemberThread
    let status: MemberStatus
    let name: String
    /// Where long answers are made.
    let large: LargeReads
    let metrics: StoreV2Metrics

    static let keysPath = "/v2/keys"
    static let membersPath = "/v2/members"
    static let clusterHeader = "x-etcd-cluster-id"

    /// A service of the member called `name`; nil unless the API is switched on.
    init?(
        _ configuration: MemberConfiguration, member: MemberThread, status: MemberStatus, large: LargeReads,
        metrics: StoreV2Metrics
    ) {
        guard configuration.v2.isEnabled else { return nil }
        self.metrics = metrics
        self.member = member
        self.status = status
        self.large = large
        name = configuration.name
        member.perform { $0.countMessages() }
    }

    /// Whether a request to `path` is this service's to answer.
    func takes(_ path: String) -> Bool { path == "/v2" || path.hasPrefix("/v2/") }

    /// Answers a request whose body has come.
    func answer(_ call: HTTPCall) {
        guard let path = cleanPath(call) else { return }
        if let rest = Self.rest(of: path, behind: Self.keysPath) {
            keys(call, rest)
        } else if let rest = Self.rest(of: path, behind: Self.membersPath) {
            members(call, String(decoding: rest.drop { $0 == UInt8(ascii: "/") }, as: UTF8.self))
        } else {
            switch String(decoding: path, as: UTF8.self) {
            case "/v2/machines": machines(call)
            case "/v2/stats/self": selfStatistics(call)
            case "/v2/stats/leader": leaderStatistics(call)
            case "/v2/stats/store": storeStatistics(call)
            default: Self.text(call, 404, "404 page not found\n")
            }
        }
    }

    /// What answers a request that reads keys or waits for them, before its body has come; nil when it is another one.
    func stream(_ call: HTTPCall) -> (any HTTPStreamHandler)? {
        guard ["GET", "HEAD"].contains(call.request.method), call.request.path.hasPrefix(Self.keysPath),
            let path = try? Form.unescaped(call.request.escapedPath.utf8),
            let rest = Self.rest(of: path, behind: Self.keysPath), Self.cleaned(path) == path,
            let parsed = try? keysRequest(call, rest)
        else { return nil }
        if parsed.kind == .watch {
            metrics.watchRequests.add()
            return StoreV2Watch(call, parsed.request, service: self)
        }
        return StoreV2Read(call, parsed, self)
    }

    /// What stands behind `prefix`, which must end there or at a slash.
    static func rest(of path: [UInt8], behind prefix: String) -> [UInt8]? {
        guard path.starts(with: prefix.utf8) else { return nil }
        let rest = path.dropFirst(prefix.utf8.count)
        return rest.isEmpty || rest.first == UInt8(ascii: "/") ? Array(rest) : nil
    }

    // MARK: Keys

    private func keysRequest(_ call: HTTPCall, _ path: [UInt8]) throws(StoreV2Error) -> KeysRequest {
        let request = call.request
        var form = Form()
        var mistake: String?
        let type = request.header("content-type")?.split(separator: ";").first?.lowercased() ?? ""
        let hasForm = type.filter { $0 != " " } == "application/x-www-form-urlencoded"
        if hasForm && ["POST", "PUT", "PATCH"].contains(request.method) { mistake = form.add(request.body) }
        let query = request.target.utf8.drop { $0 != UInt8(ascii: "?") }.dropFirst()
        let other = form.add(Array(query))
        mistake = mistake ?? other
        if let mistake { throw StoreV2Error(.invalidForm, mistake) }
        return try KeysRequest(method: request.method, path: path, form: form, now: Clock.unixNanoseconds)
    }

    private func keys(_ call: HTTPCall, _ path: [UInt8]) {
        if refuseAllBut(["HEAD", "GET", "PUT", "POST", "DELETE"], call) { return }
        let parsed: KeysRequest
        do throws(StoreV2Error) {
            parsed = try keysRequest(call, path)
        } catch {
            return refuse(call, error)
        }
        // What only reads or waits was taken before its body came.
        guard parsed.kind == .logged else {
            return refuse(call, StoreV2Error(.invalidField, "a request that reads has no body"))
        }
        outcome(of: parsed, method: call.request.method) { [self] in
            answer(call, $0, $1, hidesNodes: parsed.hidesNodes)
        }
    }

    /// Calls `body`, on the member's thread or at once on the caller's, with what comes of a request that does not wait.
    func outcome(
        of parsed: KeysRequest, method: String,
        _ then: @escaping @Sendable (Result<StoreV2Event, StoreV2Error>, Place) -> Void
    ) {
        var request = parsed.request
        let isQuorumRead = parsed.kind == .logged && method == "GET"
        let counted = metrics.begin(isQuorumRead ? "QGET" : method, at: Clock.nanoseconds)
        if parsed.kind == .read || isQuorumRead {
            metrics.reads[request.recursive ? "getRecursive" : "get"].add()
        }
        let body: @Sendable (Result<StoreV2Event, StoreV2Error>, Place) -> Void = { result, place in
            if case .failure(let error) = result {
                counted.ended(at: Clock.nanoseconds, failure: error.code.status)
            } else {
                counted.ended(at: Clock.nanoseconds, failure: nil)
            }
            then(result, place)
        }
        guard parsed.kind == .logged else {
            return member.perform { [request] member in
                body(Result { () throws(StoreV2Error) in try member.readStoreV2(request) }, Place(member))
            }
        }
        request.id = status.nextRequestID()
        // As much as the entry takes, but for a few bytes.
        let bytes = request.path.count + request.value.count + request.previousValue.count
        guard status.pendingBytes.load(ordering: .relaxed) < Gateways.pendingByteLimit else {
            return body(.failure(StoreV2Error(EtcdError.tooManyRequests)), Place())
        }
        status.pendingBytes.add(bytes, ordering: .relaxed)
        member.perform { [request, status] member in
            member.propose(request) { result in
                status.pendingBytes.subtract(bytes, ordering: .relaxed)
                body(result, Place(member))
            }
        }
    }

    /// What the headers of an answer say of the log.
    struct Place: Sendable {
        var index: UInt64 = 0
        var term: UInt64 = 0

        /// Of a request that is refused before the log is asked.
        init() {}

        init(_ member: MemberThread) {
            index = member.core.committedIndex
            term = member.core.term
        }

        func headers(storeIndex: UInt64, clusterID: UInt64) -> [(name: String, value: String)] {
            [
                ("content-type", "application/json"), (StoreV2Service.clusterHeader, Identity.text(clusterID)),
                ("x-etcd-index", "\(storeIndex)"), ("x-raft-index", "\(index)"), ("x-raft-term", "\(term)"),
            ]
        }
    }

    private func answer(
        _ call: HTTPCall, _ result: Result<StoreV2Event, StoreV2Error>, _ place: Place, hidesNodes: Bool
    ) {
        let clusterID = status.clusterID
        call.eventLoop.execute { [self] in
            switch result {
            case .success(let event):
                let hides = hidesNodes && [.set, .compareAndSwap, .create, .update].contains(event.action)
                call.respond(
                    HTTPResponse(
                        status: event.isCreation ? 201 : 200,
                        headers: place.headers(storeIndex: event.storeIndex, clusterID: clusterID),
                        body: KeysText.body(
                            event, trimming: KeyTree.keysPath, now: Clock.unixNanoseconds, hidesNodes: hides)))
            case .failure(let error): refuse(call, error)
            }
        }
    }

    private func refuse(_ call: HTTPCall, _ error: StoreV2Error) {
        call.respond(Self.refusal(error, clusterID: status.clusterID))
    }

    /// The answer that tells of `error`.
    static func refusal(_ error: StoreV2Error, clusterID: UInt64) -> HTTPResponse {
        HTTPResponse(
            status: error.code.status,
            headers: [
                ("content-type", "application/json"), (clusterHeader, Identity.text(clusterID)),
                ("x-etcd-index", "\(error.index)"),
            ],
            body: KeysText.body(error, trimming: KeyTree.keysPath))
    }

    // MARK: Parts of answers

    /// Go's server says "Method Not Allowed" in this way.
    func refuseAllBut(_ methods: [String], _ call: HTTPCall) -> Bool {
        if methods.contains(call.request.method) { return false }
        Self.text(call, 405, "Method Not Allowed\n", headers: [("allow", methods.joined(separator: ","))])
        return true
    }

    static func text(
        _ call: HTTPCall, _ status: Int, _ text: String, headers: [(name: String, value: String)] = []
    ) {
        let fields = [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")]
        call.respond(HTTPResponse(status: status, headers: headers + fields, body: Array(text.utf8)))
    }

    /// The decoded path of a request; nil when it was answered because its path has a shorter form, as Go's server does.
    private func cleanPath(_ call: HTTPCall) -> [UInt8]? {
        guard let path = try? Form.unescaped(call.request.escapedPath.utf8) else {
            Self.text(call, 400, "400 Bad Request")
            return nil
        }
        let clean = Self.cleaned(path)
        guard clean != path else { return path }
        let query = String(decoding: call.request.target.utf8.drop { $0 != UInt8(ascii: "?") }, as: UTF8.self)
        let location = Self.escaped(clean) + query
        var response = HTTPResponse(status: 301, headers: [("location", location)])
        if ["GET", "HEAD"].contains(call.request.method) {
            response.headers.append(("content-type", "text/html; charset=utf-8"))
            let shown = location.replacing("&", with: "&amp;").replacing("\"", with: "&#34;").replacing(
                "'", with: "&#39;"
            )
            .replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            response.body = Array("<a href=\"\(shown)\">Moved Permanently</a>.\n\n".utf8)
        }
        call.respond(response)
        return nil
    }

    private static func cleaned(_ path: [UInt8]) -> [UInt8] {
        let clean = KeyPath.clean(path)
        return path.last == UInt8(ascii: "/") && clean.count > 1 ? clean + [UInt8(ascii: "/")] : clean
    }

    /// A path as it stands in a URL.
    private static func escaped(_ path: [UInt8]) -> String {
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~$&+,/:;=@".utf8)
        return path.reduce(into: "") { text, byte in
            if plain.contains(byte) {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                text += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
    }
}
