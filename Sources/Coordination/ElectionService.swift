import EtcdAPI
import FoundationEssentials
import GRPC

/// `v3electionpb.Election`: offices with names, one leader each, with a value that everybody can see.
public struct ElectionService: Sendable {
    private let waiting: WaitingCalls

    public init(waiting: WaitingCalls) {
        self.waiting = waiting
    }

    public var methods: [String: Method] {
        [
            EtcdMethod.campaign.path: .unary { [waiting] call, message in
                waiting.run(call, message) { try await Self.campaign($0, $1) }
            },
            EtcdMethod.proclaim.path: .unary { [waiting] call, message in
                waiting.run(call, message) { try await Self.proclaim($0, $1) }
            },
            EtcdMethod.leader.path: .unary { [waiting] call, message in
                waiting.run(call, message) { try await Self.leader($0, $1) }
            },
            EtcdMethod.resign.path: .unary { [waiting] call, message in
                waiting.run(call, message) { try await Self.resign($0, $1) }
            },
            EtcdMethod.observe.path: .stream { [waiting] call in ObserveStream(call: call, waiting: waiting) },
        ]
    }

    private static let notLeader = Status(.unknown, "election: not leader")
    private static let noLeader = Status(.unknown, "election: no leader")
    private static let missingLeader = Status(.unknown, "\"leader\" field must be provided")

    private static func campaign(
        _ request: V3electionpb_CampaignRequest, _ calls: CoordinationCalls
    ) async throws -> V3electionpb_CampaignResponse {
        let line = WaitingLine(of: request.name, calls: calls)
        var leader = V3electionpb_LeaderKey()
        leader.name = request.name
        leader.lease = try await calls.session(request.lease)
        leader.key = line.keys.key(of: leader.lease)
        var entry = Etcdserverpb_TxnRequest()
        entry.compare = [.isCreated(leader.key, at: 0)]
        entry.success = [.put(leader.key, request.value, lease: leader.lease)]
        entry.failure = [.get(leader.key)]
        let entered = try await calls.txn(entry)
        leader.rev = entered.header.revision
        do {
            if !entered.succeeded, let own = entered.kvs(of: 0).first {
                leader.rev = own.createRevision
                if own.value != request.value { _ = try await announce(request.value, leader, calls) }
            }
            try await line.waitForTurn(before: leader.rev)
            try Task.checkCancellation()
        } catch {
            // A candidate whom an error of the cluster has stopped stays in the line, as in etcd, and may come back.
            if Task.isCancelled || error as? Status == notLeader { _ = try? await leave(leader, calls) }
            throw error
        }
        var response = V3electionpb_CampaignResponse()
        response.header = entered.header
        response.leader = leader
        return response
    }

    private static func proclaim(
        _ request: V3electionpb_ProclaimRequest, _ calls: CoordinationCalls
    ) async throws -> V3electionpb_ProclaimResponse {
        guard request.hasLeader else { throw missingLeader }
        var response = V3electionpb_ProclaimResponse()
        response.header = try await announce(request.value, request.leader, calls)
        return response
    }

    private static func announce(
        _ value: Data, _ leader: V3electionpb_LeaderKey, _ calls: CoordinationCalls
    ) async throws -> Etcdserverpb_ResponseHeader {
        // Nobody has leased the lease 0, and etcd makes a new one where none is said.
        let lease = try await calls.session(leader.lease)
        var request = Etcdserverpb_TxnRequest()
        request.compare = [.isCreated(leader.key, at: leader.rev)]
        request.success = [.put(leader.key, value, lease: lease)]
        let response = try await calls.txn(request)
        guard response.succeeded else { throw notLeader }
        return response.header
    }

    private static func resign(
        _ request: V3electionpb_ResignRequest, _ calls: CoordinationCalls
    ) async throws -> V3electionpb_ResignResponse {
        guard request.hasLeader else { throw missingLeader }
        var response = V3electionpb_ResignResponse()
        response.header = try await leave(request.leader, calls)
        return response
    }

    /// Gives the office up. One who has lost it has nothing to give up, which is no error.
    private static func leave(
        _ leader: V3electionpb_LeaderKey, _ calls: CoordinationCalls
    ) async throws -> Etcdserverpb_ResponseHeader {
        var request = Etcdserverpb_TxnRequest()
        request.compare = [.isCreated(leader.key, at: leader.rev)]
        request.success = [.delete(leader.key)]
        return try await calls.txn(request).header
    }

    private static func leader(
        _ request: V3electionpb_LeaderRequest, _ calls: CoordinationCalls
    ) async throws -> V3electionpb_LeaderResponse {
        let found = try await calls.range(WaitingLine(of: request.name, calls: calls).first)
        guard let leader = found.kvs.first else { throw noLeader }
        var response = V3electionpb_LeaderResponse()
        response.header = found.header
        response.kv = leader
        return response
    }
}
