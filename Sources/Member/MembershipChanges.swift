import EtcdAPI
import Membership
import Raft
import RaftMessages

/// What became of a change of the members.
public struct MembershipChangeResult: Sendable {
    /// The id that the change was proposed under.
    public var id: UInt64
    /// The members after it, in ascending order of their ids.
    public var members: Result<[Membership.Member], MembershipChangeError>
}

/// Why a change of the members was not made.
public enum MembershipChangeError: Error, Equatable, Sendable {
    /// It makes no sense for the members as they are, or is not safe now.
    case refused(Cluster.Refusal)
    /// Only the leader can tell; it is to be asked.
    case notLeader
    /// It was not applied in time, though it may be later.
    case timedOut(EtcdError)

    /// What a client is told.
    public var clientError: EtcdError {
        switch self {
        case .notLeader: .notLeader
        case .timedOut(let error): error
        case .refused(let refusal):
            switch refusal {
            case .idRemoved, .idNotFound: .memberNotFound
            case .idExists: .memberExists
            case .peerURLExists: .peerURLExists
            case .memberNotLearner: .memberNotLearner
            case .tooManyLearners: .tooManyLearners
            case .notEnoughStarted: .memberNotEnoughStarted
            case .unhealthy: .unhealthy
            case .learnerNotReady: .learnerNotReady
            case .malformed(let what): EtcdError(.unknown, what)
            }
        }
    }
}

// MARK: - Proposing

extension MemberCore {
    /// Proposes a new member that its peers will reach at `peerURLs`, which are in ascending order. Its id follows from
    /// them and from the time `unixSeconds`, so that a member which comes back after its removal is another one.
    /// - Returns: The id of the change, under which ``Output/changes`` tells what became of it.
    public func addMember(
        peerURLs: [String], isLearner: Bool, unixSeconds: Int64, now: Int64
    ) throws(MembershipChangeError) -> UInt64 {
        if settings.strictReconfigurationCheck {
            try refusing { () throws(Cluster.Refusal) in try check(now: now).add(isLearner: isLearner) }
        }
        let id = Identity.member(peerURLs: peerURLs, token: "", addedAt: unixSeconds)
        let member = Membership.Member(id: id, peerURLs: peerURLs, isLearner: isLearner)
        return propose(isLearner ? .addLearnerNode : .addNode, id, MemberJSON.encode(member), now: now)
    }

    /// Proposes that the member `id` be removed, and returns the id of the change.
    public func removeMember(_ id: UInt64, now: Int64) throws(MembershipChangeError) -> UInt64 {
        if settings.strictReconfigurationCheck {
            try refusing { () throws(Cluster.Refusal) in try check(now: now).remove(id) }
        }
        return propose(.removeNode, id, [], now: now)
    }

    /// Proposes that the member `id` be reached at `peerURLs` from now on, and returns the id of the change.
    public func updateMember(_ id: UInt64, peerURLs: [String], now: Int64) -> UInt64 {
        let isLearner = applier.cluster.members[id]?.isLearner ?? false
        let member = Membership.Member(id: id, peerURLs: peerURLs, isLearner: isLearner)
        return propose(.updateNode, id, MemberJSON.encode(member), now: now)
    }

    /// Proposes that the learner `id` become a voter, and returns the id of the change. Only the leader knows how far the
    /// learner is.
    public func promoteMember(_ id: UInt64, now: Int64) throws(MembershipChangeError) -> UInt64 {
        let progress = raft.status.progress
        guard isLeader, let own = progress[settings.memberID] else { throw .notLeader }
        try refusing { () throws(Cluster.Refusal) in
            guard let learner = progress[id] else { throw .idNotFound }
            try ReconfigurationCheck.learner(match: learner.match, leaderMatch: own.match)
            if settings.strictReconfigurationCheck { try check(now: now).promote() }
        }
        return propose(.addNode, id, MemberJSON.promotion(of: id), now: now)
    }

    private func check(now: Int64) -> ReconfigurationCheck {
        ReconfigurationCheck(applier.cluster, ownID: settings.memberID, now: now, activeSince: peerActiveSince)
    }

    private func refusing(_ check: () throws(Cluster.Refusal) -> Void) throws(MembershipChangeError) {
        do throws(Cluster.Refusal) {
            try check()
        } catch {
            throw .refused(error)
        }
    }

    private func propose(
        _ type: ConfigurationChangeType, _ memberID: UInt64, _ context: [UInt8], now: Int64
    ) -> UInt64 {
        let id = nextRequestID()
        membershipChanges.add(
            ConfigurationChange(id: id, type: type, nodeID: memberID, context: context), now: now)
        return id
    }

    /// Gives Raft the next change, when there is a leader to take it.
    func proposeMembershipChange(now: Int64) {
        proposeForwardedChanges(now: now)
        guard let change = membershipChanges.next(now: now), leader != 0, !waitsForHandover(change, now: now) else {
            return
        }
        if isLeader && !raft.takesConfigurationChange { return }
        // A leader that drops the change leaves an empty entry before the one that follows it.
        let marker = isLeader ? nil : entryWithoutEffect()
        // What is dropped for want of a leader is proposed again with the next turn.
        guard (try? raft.proposeConfigurationChange(change, followedBy: marker)) != nil else { return }
        membershipChanges.noteProposed(change.id, marker: marker)
    }

    /// Keeps a change that another member has passed on, when Raft would drop it now.
    /// - Returns: Whether it was kept.
    func keepsForLater(_ message: Message) -> Bool {
        guard isLeader, message.entries.contains(where: { $0.type == .configurationChange }),
            !raft.takesConfigurationChange
        else { return false }
        return forwardedChanges.add(message)
    }

    /// Gives Raft what other members have passed on: to append it, or to pass it on when another leads now.
    private func proposeForwardedChanges(now: Int64) {
        guard !forwardedChanges.isEmpty else { return }
        forwardedChanges.dropExpired(now: now, timeout: settings.requestTimeout)
        while leader != 0, !isLeader || raft.takesConfigurationChange, let message = forwardedChanges.takeFirst() {
            // Another loss is as one on the network.
            try? raft.step(message)
        }
    }

    /// An entry of this member was applied while a change waits: it may show that Raft dropped that.
    func noteEntry(_ entry: Entry, now: Int64) {
        guard membershipChanges.noteMarker(entry.data, isBehindEmptyEntry: lastEmptyIndex + 1 == entry.index) else {
            return
        }
        membershipChanges.postpone(until: now + settings.electionMilliseconds / Int64(max(1, settings.electionTicks)))
    }

    /// A leader that is to be removed hands over first, so that the others need not wait for an election timeout: they
    /// take nothing from it once they have applied its removal. One that does not within that time is removed anyway.
    private func waitsForHandover(_ change: ConfigurationChange, now: Int64) -> Bool {
        guard change.type == .removeNode, change.nodeID == leader else { return false }
        if let start = membershipChanges.handoverStart(of: change.id) {
            return now < start + settings.electionMilliseconds
        }
        let own = confState.voters.contains(settings.memberID) ? settings.memberID : nil
        guard let target = isLeader ? bestFollower : own else { return false }
        raft.transferLeadership(to: target)
        membershipChanges.noteHandover(change.id, now: now)
        return true
    }

    func expireMembershipChanges(now: Int64) {
        for (id, start) in membershipChanges.takeExpired(now: now, timeout: settings.requestTimeout) {
            let error = timeoutError(ofRequestFrom: start)
            output.changes.append(MembershipChangeResult(id: id, members: .failure(.timedOut(error))))
        }
    }
}

// MARK: - Applying

extension MemberCore {
    func applyConfigurationChange(_ entry: Entry) {
        let change = (try? ConfigurationChange(decoding: entry.data)) ?? ConfigurationChange()
        let refusal = carryOut(change, entry)
        guard membershipChanges.finish(change.id) else { return }
        let members = applier.cluster.sortedMembers
        output.changes.append(
            MembershipChangeResult(
                id: change.id, members: refusal.map { .failure(.refused($0)) } ?? .success(members)))
    }

    /// Makes the change in Raft and in the list of members, or in neither.
    private func carryOut(_ change: ConfigurationChange, _ entry: Entry) -> Cluster.Refusal? {
        do throws(Cluster.Refusal) {
            try applier.cluster.validate(change, maximumLearners: settings.maximumLearners)
            try reconfigure(change)
            let effect = try applier.applyConfigurationChange(change, entry: entry).get()
            output.membership.append(effect)
            if effect == .removed(settings.memberID) { output.removedSelf = true }
            return nil
        } catch {
            endChange()
            applier.noteApplied(entry)
            return error
        }
    }

    private func reconfigure(_ change: ConfigurationChange) throws(Cluster.Refusal) {
        do throws(ConfigurationChangeError) {
            confState = try raft.applyConfigurationChange(change.asV2)
        } catch {
            // Without the strict check somebody may ask for the removal of the last voter.
            throw .malformed("\(error)")
        }
    }

    /// A change in the form for several members at once, which no etcd proposes: its members stop at one, for it cannot
    /// say where those that it adds are reached. Here it has no effect, in Raft or in the list of members.
    func applyConfigurationChangeV2(_ entry: Entry) {
        endChange()
        applier.noteApplied(entry)
    }

    /// Ends Raft's wait for a change that is not made; a change of no member says so.
    private func endChange() {
        do throws(ConfigurationChangeError) {
            confState = try raft.applyConfigurationChange(ConfigurationChange(nodeID: 0).asV2)
        } catch {
            preconditionFailure("a change of no member contradicts the configuration: \(error)")
        }
    }
}
