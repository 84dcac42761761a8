import EtcdAPI
import GRPC
import JSONMapping
import Metrics
import NIOCore

/// `/health`, `/livez` and `/readyz`: whether the member answers, lives, and can be given work.
///
/// Source: etcd.io/docs/v3.6/op-guide/monitoring.
final class HealthChecks: Sendable {
    /// One thing that is looked at, in the order in which it is told.
    enum Check: String, CaseIterable {
        case dataCorruption = "data_corruption"
        case serializableRead = "serializable_read"
        case linearizableRead = "linearizable_read"
        case nonLearner = "non_learner"
    }

    private static let checks: [String: [Check]] = [
        "livez": [.serializableRead], "readyz": Check.allCases,
    ]

    private let gateways: Gateways
    private let status: MemberStatus
    private let metrics: ServerMetrics

    init(gateways: Gateways, status: MemberStatus, metrics: ServerMetrics) {
        self.gateways = gateways
        self.status = status
        self.metrics = metrics
    }

    /// Whether `path` is one of these; if so, `call` is answered.
    func answer(_ call: HTTPCall) -> Bool {
        let path = call.request.path
        if path == "/health" {
            if !refusesMethod(call) { health(call) }
            return true
        }
        let parts = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard let kind = parts.first, let all = Self.checks[kind], parts.count <= 2 else { return false }
        if parts.count == 2 {
            guard let one = all.first(where: { $0.rawValue == parts[1] }) else { return false }
            if !refusesMethod(call) { run([one], kind, call) }
        } else if !refusesMethod(call) {
            let excluded = HTTPQuery(call.request.query).all("exclude")
            run(all.filter { !excluded.contains($0.rawValue) }, kind, call)
        }
        return true
    }

    private func refusesMethod(_ call: HTTPCall) -> Bool {
        if call.request.method == "GET" { return false }
        call.respond(.methodNotAllowed("GET"))
        return true
    }

    // MARK: /health

    private func health(_ call: HTTPCall) {
        let query = HTTPQuery(call.request.query)
        let excluded = query.all("exclude")
        let isSerializable = query.first("serializable") == "true"
        if status.isOutOfSpace.load(ordering: .relaxed), !excluded.contains("NOSPACE") {
            return report(call, "ALARM NOSPACE")
        }
        if status.isCorrupt.load(ordering: .relaxed), !excluded.contains("CORRUPT") {
            return report(call, "ALARM CORRUPT")
        }
        if isSerializable { return report(call, nil) }
        if status.leader.load(ordering: .relaxed) == 0 { return report(call, "RAFT NO LEADER") }
        readLinearizably(call) { [self] error in report(call, error.map { "RANGE ERROR:\($0)" }) }
    }

    private func report(_ call: HTTPCall, _ reason: String?) {
        let body = "{\"health\":\"\(reason == nil)\",\"reason\":\(JSONString.quoted(reason ?? ""))}"
        if reason == nil {
            metrics.healthSuccesses.add()
            call.respond(HTTPResponse(status: 200, text: body))
        } else {
            metrics.healthFailures.add()
            call.respond(.plain(status: 503, body + "\n"))
        }
    }

    /// Says on the call's event loop why what the cluster agreed on cannot be read, or nil.
    private func readLinearizably(_ call: HTTPCall, _ body: @escaping @Sendable (String?) -> Void) {
        let gateway = gateways[call.eventLoop]
        gateway.readLinearizably { view in
            switch view {
            case .success: body(nil)
            case .failure(let error): body(error.message)
            }
        }
        gateway.flush()
    }

    // MARK: /livez, /readyz

    private func run(_ checks: [Check], _ kind: String, _ call: HTTPCall) {
        if checks.contains(.linearizableRead) {
            readLinearizably(call) { [self] in finish(checks, kind, call, linearizable: $0) }
        } else {
            finish(checks, kind, call, linearizable: nil)
        }
    }

    private func finish(_ checks: [Check], _ kind: String, _ call: HTTPCall, linearizable: String?) {
        var text = ""
        var isGood = true
        for check in checks {
            let failure: String? =
                switch check {
                case .dataCorruption:
                    status.isCorrupt.load(ordering: .relaxed) ? "alarm activated: CORRUPT" : nil
                // The published view is there to be read from the start.
                case .serializableRead: nil
                case .linearizableRead: linearizable
                case .nonLearner: status.isLearner.load(ordering: .relaxed) ? "not supported for learner" : nil
                }
            if let failure {
                isGood = false
                text += "[-]\(check.rawValue) failed: \(failure)\n"
            } else {
                text += "[+]\(check.rawValue) ok\n"
            }
            metrics.healthChecks[kind, check.rawValue].set(failure == nil)
            metrics.healthCheckTotals[kind, check.rawValue, failure == nil ? "success" : "error"].add()
        }
        guard isGood else { return call.respond(.plain(status: 503, text + "\n")) }
        let isVerbose = HTTPQuery(call.request.query).first("verbose") != nil
        call.respond(.plain(status: 200, (isVerbose ? text : "") + "ok\n"))
    }
}

extension HTTPResponse {
    /// Another method than `allowed` was used.
    static func methodNotAllowed(_ allowed: String) -> HTTPResponse {
        .plain(status: 405, "Method Not Allowed\n", headers: [("Allow", allowed)])
    }
}
