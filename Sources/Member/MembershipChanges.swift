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

/// Changes of the members that this member was asked for and that are not applied.
///
/// Raft makes one change at a time and drops what comes meanwhile without a word, so only one is with it and the others
/// wait here. One that Raft was given is not given again: it may still be under way, and would then be made twice.
struct MembershipChangeQueue {
    private enum Stage {
        case waiting
        case proposed
        /// Proposed under a leader that is gone; it may be applied yet, but the next need not wait for it.
        case inDoubt
    }

    private struct Entry {
        var change: ConfigurationChange
        var start: Int64
        var stage = Stage.waiting
        /// When the leader, whom it removes, was asked to hand over.
        var handoverStart: Int64?
    }

    private var entries: [Entry] = []

    /// The change to be proposed next, if none is with Raft.
    var next: ConfigurationChange? {
        if entries.contains(where: { $0.stage == .proposed }) { return nil }
        return entries.first { $0.stage == .waiting }?.change
    }

    mutating func add(_ change: ConfigurationChange, now: Int64) {
        entries.append(Entry(change: change, start: now))
    }

    mutating func noteProposed(_ id: UInt64) {
        if let position = position(of: id) { entries[position].stage = .proposed }
    }

    /// When the leader was asked to hand over for the sake of the change `id`.
    func handoverStart(of id: UInt64) -> Int64? { position(of: id).flatMap { entries[$0].handoverStart } }

    mutating func noteHandover(_ id: UInt64, now: Int64) {
        if let position = position(of: id) { entries[position].handoverStart = now }
    }

    /// Another leader was elected, or none is known.
    mutating func noteLeaderLost() {
        for position in entries.indices where entries[position].stage == .proposed {
            entries[position].stage = .inDoubt
        }
    }

    /// Notes that the change `id` was applied.
    /// - Returns: Whether it was one of these.
    mutating func finish(_ id: UInt64) -> Bool {
        guard let position = position(of: id) else { return false }
        entries.remove(at: position)
        return true
    }

    /// Takes out the changes that have waited for `timeout` milliseconds, with the times at which they came.
    mutating func takeExpired(now: Int64, timeout: Int64) -> [(id: UInt64, start: Int64)] {
        // They came in order, and so they expire.
        let expired = entries.prefix { now >= $0.start + timeout }
        defer { entries.removeFirst(expired.count) }
        return expired.map { ($0.change.id, $0.start) }
    }

    private func position(of id: UInt64) -> Int? { entries.firstIndex { $0.change.id == id } }
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
        guard let change = membershipChanges.next, leader != 0, !waitsForHandover(change, now: now) else { return }
        if isLeader && !raft.takesConfigurationChange { return }
        // What is dropped for want of a leader is proposed again with the next turn.
        guard (try? raft.proposeConfigurationChange(change)) != nil else { return }
        membershipChanges.noteProposed(change.id)
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
