import EtcdAPI
import Membership
import Raft

/// A handover of the leadership that somebody waits for.
struct LeadershipHandover {
    var token: UInt64
    var target: UInt64
    var deadline: Int64
}

/// Handing the leadership over: when a client asks for it, and before the leader stops or is removed.
extension MemberCore {
    /// Starts to hand the leadership to the voter `target`; ``Output/handovers`` names `token` when it is done or failed.
    public func moveLeader(to target: UInt64, token: UInt64, now: Int64) throws(EtcdError) {
        guard isLeader else { throw .notLeader }
        guard let member = applier.cluster.members[target], !member.isLearner else { throw .badLeaderTransferee }
        raft.transferLeadership(to: target)
        handovers.append(LeadershipHandover(token: token, target: target, deadline: now + settings.requestTimeout))
    }

    /// The voter that can best lead when this member stops: the one connected for longest. Nil when there is none, or
    /// when this member does not lead.
    public var successor: UInt64? {
        guard isLeader else { return nil }
        let active = applier.cluster.sortedMembers.compactMap { member -> (id: UInt64, since: Int64)? in
            guard member.id != settings.memberID, !member.isLearner else { return nil }
            return peerActiveSince(member.id).map { (member.id, $0) }
        }
        return active.min { $0.since < $1.since }?.id
    }

    func finishHandovers(now: Int64) {
        guard !handovers.isEmpty else { return }
        let transferee = raft.basicStatus.leadTransferee
        handovers.removeAll { handover in
            if leader == handover.target {
                output.handovers.append((handover.token, nil))
                return true
            }
            // Raft gives a transfer up after an election timeout; one that another took the place of is over as well.
            let isOver = isLeader && transferee != handover.target
            guard isOver || now >= handover.deadline else { return false }
            output.handovers.append((handover.token, .timeoutLeaderTransfer))
            return true
        }
    }

    /// The voter that this leader heard lately and that has most of its log; nil when there is none.
    var bestFollower: UInt64? {
        let candidates = raft.status.progress.filter { id, progress in
            id != settings.memberID && !progress.isLearner && progress.recentlyActive
        }
        return candidates.max { ($0.value.match, $0.key) < ($1.value.match, $1.key) }?.key
    }
}
