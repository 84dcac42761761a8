import Applier
import EtcdAPI
import GRPC
import Member
import Membership
import SwiftProtobuf

/// `etcdserverpb.Cluster`.
final class ClusterService: Sendable {
    private let gateways: Gateways
    private let member: MemberThread
    private let promotion: Promotion

    init(gateways: Gateways, member: MemberThread, promotion: Promotion) {
        self.gateways = gateways
        self.member = member
        self.promotion = promotion
    }

    var methods: [String: Method] {
        [
            EtcdMethod.memberAdd.path: .unary { [self] call, message in add(call, message) },
            EtcdMethod.memberRemove.path: .unary { [self] call, message in remove(call, message) },
            EtcdMethod.memberUpdate.path: .unary { [self] call, message in update(call, message) },
            EtcdMethod.memberPromote.path: .unary { [self] call, message in promote(call, message) },
            EtcdMethod.memberList.path: .unary { [self] call, message in list(call, message) },
        ]
    }

    private func add(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_MemberAddRequest(serializedBytes: message)
            let urls = try Self.peerURLs(request.peerUrls)
            let seconds = Int64(Clock.unixMilliseconds / 1_000)
            member.perform { [self] member in
                member.change { core, now throws(MembershipChangeError) in
                    try core.addMember(peerURLs: urls, isLearner: request.isLearner, unixSeconds: seconds, now: now)
                } _: { [self] result in
                    answer(call, result) { header, members in
                        var response = Etcdserverpb_MemberAddResponse()
                        response.header = header
                        response.members = members
                        // No other member has the same.
                        if let added = members.first(where: { $0.peerUrls == urls }) { response.member = added }
                        return response
                    }
                }
            }
        }
    }

    private func remove(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_MemberRemoveRequest(serializedBytes: message)
            member.perform { [self] member in
                member.change { core, now throws(MembershipChangeError) in
                    try core.removeMember(request.id, now: now)
                } _: { [self] result in
                    answer(call, result) { header, members in
                        var response = Etcdserverpb_MemberRemoveResponse()
                        response.header = header
                        response.members = members
                        return response
                    }
                }
            }
        }
    }

    private func update(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_MemberUpdateRequest(serializedBytes: message)
            // etcd takes whatever comes, and its members stop at URLs that are none.
            let urls = try Self.peerURLs(request.peerUrls)
            member.perform { [self] member in
                member.change { core, now in
                    core.updateMember(request.id, peerURLs: urls, now: now)
                } _: { [self] result in
                    answer(call, result) { header, members in
                        var response = Etcdserverpb_MemberUpdateResponse()
                        response.header = header
                        response.members = members
                        return response
                    }
                }
            }
        }
    }

    private func promote(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_MemberPromoteRequest(serializedBytes: message)
            Task { [self] in
                answer(call, await promotion.promote(request.id)) { header, members in
                    var response = Etcdserverpb_MemberPromoteResponse()
                    response.header = header
                    response.members = members
                    return response
                }
            }
        }
    }

    private func list(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_MemberListRequest(serializedBytes: message)
            guard request.linearizable else {
                answerList(call)
                return
            }
            gateways[call.eventLoop].readLinearizably { [self] view in
                switch view {
                case .success: answerList(call)
                case .failure(let error): call.fail(Status(error))
                }
            }
        }
    }

    private func answerList(_ call: UnaryCall) {
        member.perform { member in
            var response = Etcdserverpb_MemberListResponse()
            response.header = Self.header(member)
            response.members = member.core.applier.cluster.sortedMembers.map { Etcdserverpb_Member($0) }
            call.reply(response)
        }
    }

    private func answer<Response: SwiftProtobuf.Message & Sendable>(
        _ call: UnaryCall, _ result: Result<[Membership.Member], MembershipChangeError>,
        _ response: @escaping @Sendable (Etcdserverpb_ResponseHeader, [Etcdserverpb_Member]) -> Response
    ) {
        switch result {
        case .success(let members):
            member.perform { member in
                call.reply(response(Self.header(member), members.map { Etcdserverpb_Member($0) }))
            }
        case .failure(let error): call.reply(error.clientError)
        }
    }

    /// etcd leaves the revision out of these headers: the list is not in the store.
    private static func header(_ member: MemberThread) -> Etcdserverpb_ResponseHeader {
        var header = member.header()
        header.revision = 0
        return Etcdserverpb_ResponseHeader(header)
    }

    /// The peer URLs of a request in ascending order.
    private static func peerURLs(_ texts: [String]) throws(EtcdError) -> [String] {
        guard !texts.isEmpty else { throw .memberBadURLs }
        var urls: [String] = []
        for text in texts {
            // A path is none of a peer's URL, not even an empty one.
            guard let url = try? ServiceURL(parsing: text), !text.hasSuffix("/") else { throw .memberBadURLs }
            urls.append(url.text)
        }
        return urls.sorted()
    }
}

extension Etcdserverpb_Member {
    /// The generated form of `member`.
    init(_ member: Membership.Member) {
        self.init()
        id = member.id
        name = member.name
        peerUrls = member.peerURLs
        clientUrls = member.clientURLs
        isLearner = member.isLearner
    }
}
