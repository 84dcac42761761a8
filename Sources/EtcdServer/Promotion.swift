import EtcdAPI
import Member
import Membership
import NIOCore
import PeerTransport

/// Promotion of learners: only the leader knows how much of its log a learner has, so others ask it over its peer port.
final class Promotion: Sendable {
    /// Between two attempts to reach the leader, in milliseconds.
    private static let pause: Int64 = 100
    /// The path at which a member promotes the one whose decimal id follows.
    static let path = "/members/promote/"

    private let member: MemberThread
    private let peers: PeerTransport

    init(member: MemberThread, peers: PeerTransport) {
        self.member = member
        self.peers = peers
    }

    /// Promotes the learner `id`, here or at the leader.
    func promote(_ id: UInt64) async -> Result<[Membership.Member], MembershipChangeError> {
        let own = await withCheckedContinuation { continuation in
            member.perform { $0.promote(id) { continuation.resume(returning: $0) } }
        }
        guard own == .failure(.notLeader) else { return own }
        let (_, timeout) = await leader()
        let end = Clock.milliseconds + timeout
        while Clock.milliseconds < end {
            let (urls, _) = await leader()
            if !urls.isEmpty, let result = await ask(urls, id, timeout: end - Clock.milliseconds) { return result }
            try? await Task.sleep(for: .milliseconds(Self.pause))
        }
        return .failure(.timedOut(.timeout))
    }

    /// Where the leader is reached, and how long a request may take in all.
    private func leader() async -> (urls: [String], timeout: Int64) {
        await withCheckedContinuation { continuation in
            member.perform { member in
                let core = member.core
                let urls = core.isLeader ? [] : core.applier.cluster.members[core.leader]?.peerURLs ?? []
                continuation.resume(returning: (urls, core.settings.requestTimeout))
            }
        }
    }

    /// Asks the leader; nil when its answer does not settle the matter.
    private func ask(
        _ urls: [String], _ id: UInt64, timeout: Int64
    ) async -> Result<[Membership.Member], MembershipChangeError>? {
        let request = PeerRequest("POST", "\(Self.path)\(id)")
        let answer = try? await peers.request(request, urls: urls, timeout: .milliseconds(max(1, timeout)))
        guard let answer else { return nil }
        let text = String(decoding: answer.body, as: UTF8.self)
        switch answer.status {
        case 200: return MemberJSON.members(answer.body).map { .success($0) }
        case 404: return .failure(.refused(.idNotFound))
        case 412:
            // Both have the same status.
            let refusals: [Cluster.Refusal] = [.learnerNotReady, .memberNotLearner]
            return refusals.first { text.contains($0.description) }.map { .failure(.refused($0)) }
        default: return nil
        }
    }
}

extension PeerService {
    /// Promotes the member that `call` names, if this member leads.
    func promote(_ call: PeerCall) {
        if refuseAllBut(["POST"], call) { return }
        let text = call.request.path.dropFirst(Promotion.path.count)
        member.perform { member in
            let clusterID = ("x-etcd-cluster-id", Identity.text(member.core.applier.cluster.id))
            @Sendable func respond(_ response: PeerResponse) {
                var response = response
                response.headers.append(clusterID)
                call.respond(response)
            }
            guard let id = UInt64(text) else {
                respond(PeerResponse(status: 404, text: "member \(text) not found in cluster\n"))
                return
            }
            let logger = member.logger
            member.promote(id) { result in
                switch result {
                case .success(let members):
                    respond(
                        PeerResponse(
                            status: 200, headers: [("content-type", "application/json")],
                            body: MemberJSON.encode(members) + Array("\n".utf8)))
                case .failure(let error):
                    logger.warning(
                        "failed to promote a member",
                        metadata: [
                            "member-id": .string(Identity.text(id)), "error": .string(error.clientError.message),
                        ])
                    respond(Self.refusal(error))
                }
            }
        }
    }

    private static func refusal(_ error: MembershipChangeError) -> PeerResponse {
        switch error {
        case .refused(let refusal) where refusal == .idNotFound:
            return PeerResponse(status: 404, text: "\(refusal)\n")
        case .refused(let refusal) where refusal == .learnerNotReady || refusal == .memberNotLearner:
            return PeerResponse(status: 412, text: "\(refusal)\n")
        default:
            return PeerResponse(
                status: 500, headers: [("content-type", "application/json")],
                body: Array("{\"message\":\"Internal Server Error\"}".utf8))
        }
    }
}
