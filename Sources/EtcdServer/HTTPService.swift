import EtcdAPI
import GRPC
import Metrics
import NIOCore

/// What the member answers over plain HTTP: its version, its health and its metrics.
final class HTTPService: Sendable {
    private let gateways: Gateways
    private let member: MemberThread
    private let status: MemberStatus
    private let metrics: MemberMetrics

    /// Nil when version 2 is not served.
    private let v2: StoreV2Service?

    init(
        gateways: Gateways, member: MemberThread, status: MemberStatus, metrics: MemberMetrics, v2: StoreV2Service?
    ) {
        self.v2 = v2
        self.gateways = gateways
        self.member = member
        self.status = status
        self.metrics = metrics
    }

    /// Answers on a client port.
    func answer(_ call: HTTPCall) {
        if let v2, v2.takes(call.request.path) { return v2.answer(call) }
        switch call.request.path {
        case "/version": version(call)
        case "/health": health(call)
        case "/metrics": metrics(call)
        default: call.respond(HTTPResponse(status: 404, text: "404 page not found\n"))
        }
    }

    /// Who is told of the rest of a request whose answer is a stream; nil when it is none.
    func stream(_ call: HTTPCall) -> (any HTTPStreamHandler)? { v2?.watch(call) }

    private func json(_ call: HTTPCall, status: Int = 200, _ body: [UInt8]) {
        call.eventLoop.execute {
            call.respond(HTTPResponse(status: status, headers: [("content-type", "application/json")], body: body))
        }
    }

    private func refuseAllBut(_ methods: [String], _ call: HTTPCall) -> Bool {
        if methods.contains(call.request.method) { return false }
        let headers = [("allow", methods.joined(separator: ", ")), ("content-type", "text/plain; charset=utf-8")]
        call.respond(HTTPResponse(status: 405, headers: headers, body: Array("Method Not Allowed\n".utf8)))
        return true
    }

    private func version(_ call: HTTPCall) {
        if refuseAllBut(["GET", "HEAD"], call) { return }
        member.perform { [self] member in
            let cluster = member.core.applier.cluster.version?.description ?? "not_decided"
            json(call, Array("{\"etcdserver\":\"\(EtcdVersion.server)\",\"etcdcluster\":\"\(cluster)\"}".utf8))
        }
    }

    private func health(_ call: HTTPCall) {
        if refuseAllBut(["GET", "HEAD"], call) { return }
        if status.hasAlarm.load(ordering: .relaxed) {
            unhealthy(call, status.isCorrupt.load(ordering: .relaxed) ? "ALARM CORRUPT" : "ALARM NOSPACE")
        } else if status.leader.load(ordering: .relaxed) == 0 {
            unhealthy(call, "RAFT NO LEADER")
        } else {
            gateways[call.eventLoop].readLinearizably { [self] view in
                switch view {
                case .success: json(call, Array("{\"health\":\"true\",\"reason\":\"\"}".utf8))
                case .failure(let error): unhealthy(call, "QGET ERROR:\(error.message)")
                }
            }
            gateways[call.eventLoop].flush()
        }
    }

    private func unhealthy(_ call: HTTPCall, _ reason: String) {
        json(call, status: 503, Array("{\"health\":\"false\",\"reason\":\"\(reason)\"}".utf8))
    }

    private func metrics(_ call: HTTPCall) {
        if refuseAllBut(["GET", "HEAD"], call) { return }
        call.respond(
            HTTPResponse(
                status: 200, headers: [("content-type", Registry.contentType)],
                body: Array(metrics.registry.text().utf8)))
    }
}
