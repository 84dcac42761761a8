import Applier
import EtcdAPI
import GRPC
import SwiftProtobuf

/// `etcdserverpb.Cluster`, as far as it reads.
final class ClusterService: Sendable {
    private let gateways: Gateways
    private let member: MemberThread

    init(gateways: Gateways, member: MemberThread) {
        self.gateways = gateways
        self.member = member
    }

    var methods: [String: Method] {
        [EtcdMethod.memberList.path: .unary { [self] call, message in list(call, message) }]
    }

    private func list(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_MemberListRequest(serializedBytes: message)
            guard request.linearizable else {
                answer(call)
                return
            }
            gateways[call.eventLoop].readLinearizably { [self] view in
                switch view {
                case .success: answer(call)
                case .failure(let error): call.fail(Status(error))
                }
            }
        }
    }

    private func answer(_ call: UnaryCall) {
        member.perform { member in
            var response = Etcdserverpb_MemberListResponse()
            // etcd leaves the revision out: the list is not in the store.
            var header = member.header()
            header.revision = 0
            response.header = Etcdserverpb_ResponseHeader(header)
            response.members = member.core.applier.cluster.sortedMembers.map { member in
                var listed = Etcdserverpb_Member()
                listed.id = member.id
                listed.name = member.name
                listed.peerUrls = member.peerURLs
                listed.clientUrls = member.clientURLs
                listed.isLearner = member.isLearner
                return listed
            }
            call.reply(response)
        }
    }
}
