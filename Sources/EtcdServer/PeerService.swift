import Membership
import PeerTransport

/// What the member answers on its peer port apart from Raft's traffic.
final class PeerService: Sendable {
    let member: MemberThread
    private let gateways: Gateways
    let status: MemberStatus
    let hashes: HashStore

    init(member: MemberThread, gateways: Gateways, status: MemberStatus, hashes: HashStore) {
        self.member = member
        self.gateways = gateways
        self.status = status
        self.hashes = hashes
    }

    /// Answers `call`, sooner or later.
    func answer(_ call: PeerCall) {
        switch call.request.path {
        case "/version": version(call)
        case "/members": members(call)
        case HashStore.path: hashKV(call)
        case LeaseForwarder.renewalPath: renewLease(call)
        case LeaseForwarder.questionPath: leaseTimeToLive(call)
        case let path where path.hasPrefix(Promotion.path): promote(call)
        case "/downgrade/enabled": downgradeEnabled(call)
        default: call.respond(PeerResponse(status: 404, text: "404 page not found\n"))
        }
    }

    /// Refuses `call` unless its method is one of `methods`.
    func refuseAllBut(_ methods: [String], _ call: PeerCall) -> Bool {
        if methods.contains(call.request.method) { return false }
        var response = PeerResponse(status: 405, text: "Method Not Allowed\n")
        response.headers.append(("allow", methods.joined(separator: ", ")))
        call.respond(response)
        return true
    }

    private func version(_ call: PeerCall) {
        if refuseAllBut(["GET", "HEAD"], call) { return }
        member.perform { member in
            let cluster = member.core.applier.cluster.version?.description ?? "not_decided"
            let storage = member.core.applier.toldStorageVersion
            let text =
                "{\"etcdserver\":\"\(EtcdVersion.server)\",\"etcdcluster\":\"\(cluster)\",\"storage\":\"\(storage)\"}"
            call.respond(
                PeerResponse(status: 200, headers: [("content-type", "application/json")], body: Array(text.utf8)))
        }
    }

    /// Whether the cluster is being taken back, asked by those who join it.
    private func downgradeEnabled(_ call: PeerCall) {
        if refuseAllBut(["GET"], call) { return }
        let headers = [("x-etcd-cluster-id", Identity.text(status.clusterID))]
        gateways.readLinearizably { [member] view in
            switch view {
            case .success:
                member.perform { member in
                    let isEnabled = member.core.applier.cluster.downgradeTarget != nil
                    call.respond(
                        PeerResponse(
                            status: 200, headers: headers + [("content-type", "text/plain")],
                            body: Array("\(isEnabled)".utf8)))
                }
            case .failure(let error):
                call.respond(
                    PeerResponse(status: 500, headers: headers, body: Array("failed linearized read: \(error)\n".utf8)))
            }
        }
    }

    private func members(_ call: PeerCall) {
        if refuseAllBut(["GET", "HEAD"], call) { return }
        member.perform { member in
            let cluster = member.core.applier.cluster
            call.respond(
                PeerResponse(
                    status: 200,
                    headers: [("content-type", "application/json"), ("x-etcd-cluster-id", Identity.text(cluster.id))],
                    body: MemberJSON.encode(cluster.sortedMembers) + Array("\n".utf8)))
        }
    }
}
