import Applier
import EtcdAPI
import GRPC
import Membership
import SwiftProtobuf

/// `Maintenance.Downgrade`: the way of the cluster back to an earlier version.
final class DowngradeService: Sendable {
    private let gateways: Gateways
    private let member: MemberThread
    private let status: MemberStatus

    init(gateways: Gateways, member: MemberThread, status: MemberStatus) {
        self.gateways = gateways
        self.member = member
        self.status = status
    }

    var methods: [String: Method] {
        [EtcdMethod.downgrade.path: .unary { [self] call, message in downgrade(call, message) }]
    }

    private func downgrade(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_DowngradeRequest(serializedBytes: message)
            if case .UNRECOGNIZED = request.action { throw EtcdError(.unknown, "etcdserver: unknown method") }
            // What the cluster is and where it goes must be what all members agree on.
            gateways[call.eventLoop].readLinearizably { [self] view in
                switch view {
                case .success: member.perform { [self] member in answer(request, call, member) }
                case .failure(let error): call.fail(Status(error))
                }
            }
        }
    }

    private func answer(_ request: Etcdserverpb_DowngradeRequest, _ call: UnaryCall, _ member: MemberThread) {
        let core = member.core
        do throws(EtcdError) {
            switch request.action {
            case .enable: propose(try core.checkDowngrade(to: request.version), call, member)
            case .cancel:
                guard core.applier.cluster.downgradeTarget != nil else { throw .noInflightDowngrade }
                propose(nil, call, member)
            default:
                _ = try core.checkDowngrade(to: request.version)
                var response = Etcdserverpb_DowngradeResponse()
                response.header = Etcdserverpb_ResponseHeader(member.header())
                response.version = core.clusterVersion?.series ?? ""
                call.reply(response)
            }
        } catch {
            call.reply(error)
        }
    }

    private func propose(_ target: ClusterVersion?, _ call: UnaryCall, _ member: MemberThread) {
        let id = status.nextRequestID()
        let entry = member.core.downgradeEntry(target, id: id)
        status.pendingBytes.add(entry.count, ordering: .relaxed)
        let proposal = Gateway.Proposal(id: id, kind: .downgradeInfoSet, entry: entry, cost: 0, call: call)
        member.send(
            .proposals(
                Gateway.Proposals(
                    gateway: gateways[call.eventLoop], proposals: [proposal], arrival: Clock.nanoseconds)))
    }
}
