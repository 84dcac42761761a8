import EtcdAPI
import Logging
import Member
import Membership
import RaftMessages

/// Who waits for a change of the members, or for the leadership to move. Belongs to the member's thread.
struct MembershipWaiters {
    typealias Change = @Sendable (Result<[Membership.Member], MembershipChangeError>) -> Void

    /// A removed member stops this much later, in milliseconds: until then it tells the others what is committed.
    static let removalDelay: Int64 = 1_000

    fileprivate var changes: [UInt64: Change] = [:]
    fileprivate var handovers: [UInt64: @Sendable (EtcdError?) -> Void] = [:]
    fileprivate var lastHandover: UInt64 = 0
    /// When this member, which was removed, stops.
    fileprivate(set) var stopsAt: Int64?
}

/// Changes of the members and of the leadership, on the member's thread.
extension MemberThread {
    /// Has `propose` propose a change, and calls `answer` when it is applied or refused.
    func change(
        _ propose: (MemberCore, _ now: Int64) throws(MembershipChangeError) -> UInt64,
        _ answer: @escaping MembershipWaiters.Change
    ) {
        do throws(MembershipChangeError) {
            membership.changes[try propose(core, Clock.milliseconds)] = answer
        } catch {
            if case .refused(let refusal) = error {
                logger.warning(
                    "rejecting a change of the members",
                    metadata: ["local-member-id": .string(localID), "error": .string("\(refusal)")])
            }
            answer(.failure(error))
        }
    }

    /// Promotes the learner `id`, which only the leader can.
    func promote(_ id: UInt64, _ answer: @escaping MembershipWaiters.Change) {
        let metrics = running.metrics.server
        change({ core, now throws(MembershipChangeError) in try core.promoteMember(id, now: now) }) { result in
            switch result {
            case .success: metrics.learnerPromotions.add()
            case .failure(.notLeader): break
            case .failure(let error): metrics.failedLearnerPromotions[error.clientError.message].add()
            }
            answer(result)
        }
    }

    /// Hands the leadership to `target`, and calls `answer` when it is there or did not get there.
    func moveLeader(to target: UInt64, _ answer: @escaping @Sendable (EtcdError?) -> Void) {
        membership.lastHandover += 1
        let token = membership.lastHandover
        let from = core.leader
        do throws(EtcdError) {
            try core.moveLeader(to: target, token: token, now: Clock.milliseconds)
        } catch {
            answer(error)
            return
        }
        let fields: Logger.Metadata = [
            "local-member-id": .string(localID), "current-leader-member-id": .string(Identity.text(from)),
            "transferee-member-id": .string(Identity.text(target)),
        ]
        let logger = logger
        logger.info("leadership transfer starting", metadata: fields)
        membership.handovers[token] = { error in
            if let error {
                var fields = fields
                fields["error"] = .string(error.message)
                logger.warning("leadership transfer failed", metadata: fields)
            } else {
                logger.info("leadership transfer finished", metadata: fields)
            }
            answer(error)
        }
    }

    /// Hands the leadership over before this member stops, as far as it leads and there is somebody.
    func handOver(_ done: @escaping @Sendable () -> Void) {
        guard core.isLeader, core.confState.voters.count > 1 else {
            done()
            return
        }
        guard let successor = core.successor else {
            logger.warning(
                "leadership transfer failed",
                metadata: ["local-member-id": .string(localID), "error": .string(EtcdError.unhealthy.message)])
            done()
            return
        }
        moveLeader(to: successor) { _ in done() }
    }

    /// Answers those whose change or handover is over, and notes a removal of this member.
    func finishMembership(_ output: MemberCore.Output, now: Int64) {
        for result in output.changes { membership.changes.removeValue(forKey: result.id)?(result.members) }
        for (token, error) in output.handovers { membership.handovers.removeValue(forKey: token)?(error) }
        if output.removedSelf && membership.stopsAt == nil { membership.stopsAt = now + MembershipWaiters.removalDelay }
    }

    /// Stops this member when the time has come after its removal.
    func stopIfRemoved(now: Int64) {
        guard let time = membership.stopsAt, now >= time else { return }
        stopAsRemoved()
    }

    /// This member is no longer part of the cluster: says so and has the process end.
    func stopAsRemoved() {
        membership.stopsAt = nil
        guard !isRemoved else { return }
        isRemoved = true
        logger.warning(
            "server error", metadata: ["error": "the member has been permanently removed from the cluster"])
        logger.warning("data-dir used by this member must be removed")
        removed()
    }

    /// Answers all that wait when the member stops.
    func endMembership() {
        for answer in membership.changes.values { answer(.failure(.timedOut(.stopped))) }
        membership.changes = [:]
        for answer in membership.handovers.values { answer(.stopped) }
        membership.handovers = [:]
    }
}
