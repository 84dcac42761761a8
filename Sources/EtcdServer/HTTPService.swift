import Auth
import Configuration
import GRPC
import JSONGateway
import JSONMapping
import LogOutput
import Metrics
import NIOCore

/// What the member answers over plain HTTP, besides the API in JSON: its version, health, metrics and variables.
final class HTTPService: Sendable {
    private let member: MemberThread
    private let metrics: MemberMetrics
    private let health: HealthChecks
    private let gateway: JSONGateway?
    private let settings: HTTPSettings
    private let auth: AuthPublisher
    /// Nil when version 2 is not served.
    private let v2: StoreV2Service?
    private let audit: AuditTrail?

    init(
        gateways: Gateways, member: MemberThread, status: MemberStatus, metrics: MemberMetrics,
        settings: HTTPSettings, auth: AuthPublisher, v2: StoreV2Service?, audit: AuditTrail?, bodyLimit: Int
    ) {
        self.member = member
        self.metrics = metrics
        self.settings = settings
        self.auth = auth
        self.v2 = v2
        self.audit = audit
        health = HealthChecks(gateways: gateways, status: status, metrics: metrics.server)
        gateway =
            settings.servesGateway
            ? JSONGateway(errors: settings.hasNewGatewayErrors ? .second : .first, limit: bodyLimit) : nil
    }

    /// What a listener for clients answers, with or without TLS.
    func handlers(isSecure: Bool) -> HTTPHandlers {
        let access = HTTPAccess(settings, isSecure: isSecure, auth: auth)
        return HTTPHandlers(
            answer: { [self] call in
                access.mark(call)
                if let refusal = access.refusal(of: call.request) {
                    if refusal.status >= 400 { audit?.follow(call) }
                    return call.respond(refusal)
                }
                answer(call)
            },
            stream: { [gateway, v2, audit] call in
                // What is refused waits for its body, so that the connection can be used again.
                guard access.refusal(of: call.request) == nil else { return nil }
                access.mark(call)
                if let stream = gateway?.stream(call) { return stream }
                guard let stream = v2?.stream(call) else { return nil }
                audit?.follow(call, isWatch: stream is StoreV2Watch)
                return stream
            },
            webSocket: { [gateway] request in
                guard gateway != nil, access.refusal(of: request) == nil else { return nil }
                return JSONGateway.webSocketRequest(request)
            })
    }

    /// What a listener for metrics alone answers.
    var monitoring: HTTPHandlers {
        HTTPHandlers { [self] call in
            if call.request.path == "/metrics" { return metrics(call) }
            if !health.answer(call) { call.respond(.notFound) }
        }
    }

    private func answer(_ call: HTTPCall) {
        let path = call.request.path
        if let v2, v2.takes(path) {
            audit?.follow(call)
            return v2.answer(call)
        }
        if let cleaned = Self.redirection(of: path, servesGateway: gateway != nil) {
            return redirect(call, cleaned)
        }
        if let gateway, JSONGateway.owns(path) { return gateway.refuse(call) }
        if health.answer(call) { return }
        switch path {
        case "/version": version(call)
        case "/metrics": metrics(call)
        case "/debug/vars": variables(call)
        case "/config/local/log": setLogLevel(call)
        case let path where settings.servesProfiles && path.hasPrefix("/debug/pprof"):
            call.respond(.plain(status: 501, "There are no Go profiles of this program; use perf.\n"))
        default: call.respond(.notFound)
        }
    }

    private func variables(_ call: HTTPCall) {
        guard call.request.method == "GET" else { return call.respond(.methodNotAllowed("GET")) }
        member.perform { [member] _ in
            let text = DebugVariables.text(member)
            call.respond(
                HTTPResponse(
                    status: 200, headers: [("Content-Type", "application/json; charset=utf-8")],
                    body: Array(text.utf8)))
        }
    }

    private func version(_ call: HTTPCall) {
        guard call.request.method == "GET" else { return call.respond(.methodNotAllowed("GET")) }
        member.perform { member in
            let cluster = member.core.applier.cluster.version?.description ?? "not_decided"
            let storage = member.core.applier.toldStorageVersion
            let body =
                "{\"etcdserver\":\"\(EtcdVersion.server)\",\"etcdcluster\":\"\(cluster)\",\"storage\":\"\(storage)\"}"
            call.respond(
                HTTPResponse(
                    status: 200, headers: [("Content-Type", "application/json")], body: Array(body.utf8)))
        }
    }

    private func metrics(_ call: HTTPCall) {
        let response = HTTPResponse(
            status: 200, headers: [("Content-Type", Registry.contentType)], body: Array(metrics.scrape().utf8))
        call.respond(response.compressed(for: call.request))
    }

    /// As etcd 3.4 has it; later ones have no such path.
    private func setLogLevel(_ call: HTTPCall) {
        audit?.follow(call)
        guard call.request.method == "PUT" else { return call.respond(.methodNotAllowed("PUT")) }
        func refuse(_ text: String) {
            let body = "{\"message\":\(JSONString.quoted(text))}"
            call.respond(
                HTTPResponse(status: 400, headers: [("Content-Type", "application/json")], body: Array(body.utf8)))
        }
        guard let level = JSONObject.text(of: "level", in: call.request.body) else {
            return refuse("Invalid json body")
        }
        guard LogLevel.set(named: level) else { return refuse("Invalid log level \(level)") }
        call.respond(HTTPResponse(status: 204))
    }

    // MARK: Redirections

    /// Where a path with empty, `.` or `..` parts leads, as Go's servers say; nil when it is clean.
    static func redirection(of path: String, servesGateway: Bool) -> String? {
        if servesGateway, path == "/v3" { return "/v3/" }
        guard path.hasPrefix("/") else { return nil }
        let isDirty =
            path.contains("//") || path.contains("/./") || path.contains("/../") || path.hasSuffix("/.")
            || path.hasSuffix("/..")
        guard isDirty else { return nil }
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        let cleaned = "/" + parts.joined(separator: "/")
        return path.hasSuffix("/") && cleaned != "/" ? cleaned + "/" : cleaned
    }

    private func redirect(_ call: HTTPCall, _ path: String) {
        let query = call.request.query
        let escaped = HTTPRequest.escaped(path)
        let target = query.isEmpty ? escaped : "\(escaped)?\(query)"
        let body = "<a href=\"\(Self.escaped(target))\">Moved Permanently</a>.\n\n"
        let hasBody = call.request.method == "GET" || call.request.method == "HEAD"
        let type = hasBody ? [(name: "Content-Type", value: "text/html; charset=utf-8")] : []
        call.respond(
            HTTPResponse(
                status: 301, headers: type + [("Location", target)], body: hasBody ? Array(body.utf8) : []))
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&#34;"
            case "'": result += "&#39;"
            default: result.append(character)
            }
        }
        return result
    }
}

extension HTTPResponse {
    /// What is at no path.
    static var notFound: HTTPResponse { .plain(status: 404, "404 page not found\n") }
}
