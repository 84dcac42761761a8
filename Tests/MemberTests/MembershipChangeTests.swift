import EtcdAPI
import Membership
import RaftMessages
import Testing

@testable import Member

/// Three members of which one leads and each has published a name.
private final class Group {
    var trio: Trio
    let leader: SimulatedMember
    /// The two that follow.
    let followers: [SimulatedMember]
    var members: [SimulatedMember] { trio.members }

    init(arguments: [String] = []) throws {
        trio = try Trio(seed: 1, arguments: arguments)
        let leader = try trio.elect()
        self.leader = leader
        followers = trio.members.filter { $0 !== leader }
        for member in trio.members {
            member.core.publish(PublishedAttributes(name: "m", clientURLs: []), now: member.now)
        }
        try trio.settle()
    }

    func settle() throws { try trio.settle() }

    func tick(_ count: Int) throws {
        for _ in 0..<count { try trio.tick() }
    }
}

extension SimulatedMember {
    fileprivate var id: UInt64 { core.settings.memberID }

    /// What became of the change `id`, once.
    fileprivate func takeChange(_ id: UInt64) -> Result<[Membership.Member], MembershipChangeError>? {
        guard let index = changes.firstIndex(where: { $0.id == id }) else { return nil }
        return changes.remove(at: index).members
    }

    fileprivate func add(_ url: String, isLearner: Bool = false) throws(MembershipChangeError) -> UInt64 {
        try core.addMember(peerURLs: [url], isLearner: isLearner, unixSeconds: 7, now: now)
    }
}

@Suite struct MembershipChangeTests {
    @Test func aChangeIsAnsweredWhenItIsApplied() throws {
        let group = try Group()
        let leader = group.leader
        let change = try leader.add("http://127.0.0.1:9", isLearner: true)
        #expect(leader.takeChange(change) == nil)
        try group.settle()
        let members = try #require(leader.takeChange(change)).get()
        let added = try #require(members.first { $0.peerURLs == ["http://127.0.0.1:9"] })
        #expect(added.isLearner)
        #expect(added.id == Identity.member(peerURLs: added.peerURLs, token: "", addedAt: 7))
        for member in group.members {
            #expect(member.core.applier.cluster.members == leader.core.applier.cluster.members)
            #expect(member.core.confState.learners == [added.id])
            #expect(member.membership.last == .added(added))
        }
    }

    @Test func aFollowerHasItsChangesMadeByTheLeader() throws {
        let group = try Group()
        let follower = group.followers[0]
        let change = follower.core.updateMember(follower.id, peerURLs: ["http://127.0.0.1:8"], now: follower.now)
        try group.settle()
        let members = try #require(follower.takeChange(change)).get()
        #expect(members.first { $0.id == follower.id }?.peerURLs == ["http://127.0.0.1:8"])
        #expect(throws: MembershipChangeError.notLeader) {
            try follower.core.promoteMember(follower.id, now: follower.now)
        }
    }

    @Test func refusedChangesSayWhyAndChangeNothing() throws {
        let group = try Group()
        let leader = group.leader
        let other = group.followers[0]
        let before = leader.core.confState
        let cases: [(UInt64, Cluster.Refusal, EtcdError)] = [
            (try leader.add("http://127.0.0.1:1"), .peerURLExists, .peerURLExists),
            (try leader.core.removeMember(99, now: leader.now), .idNotFound, .memberNotFound),
            (leader.core.updateMember(99, peerURLs: ["http://x:1"], now: leader.now), .idNotFound, .memberNotFound),
            (try leader.core.promoteMember(other.id, now: leader.now), .memberNotLearner, .memberNotLearner),
        ]
        try group.settle()
        for (change, refusal, error) in cases {
            #expect(leader.takeChange(change) == .failure(.refused(refusal)))
            #expect(MembershipChangeError.refused(refusal).clientError == error)
        }
        #expect(leader.core.confState == before)
        for member in group.members { #expect(member.core.applier.cluster.members.count == 3) }
        // The next change is not held up by those.
        let change = try leader.add("http://127.0.0.1:9", isLearner: true)
        try group.settle()
        #expect(try leader.takeChange(change)?.get().count == 4)
    }

    /// Raft drops a change that comes while another is not applied; here it waits.
    @Test func changesAtTheSameTimeAreMadeOneAfterTheOther() throws {
        let group = try Group(arguments: ["--max-learners", "5"])
        let leader = group.leader
        let changes = try (0..<4).map { try leader.add("http://127.0.0.1:\(10 + $0)", isLearner: true) }
        try group.settle()
        #expect(try changes.map { try #require(leader.takeChange($0)).get().count } == [4, 5, 6, 7])
    }

    /// Raft would make empty entries of what comes while the leader has not applied the last change.
    @Test func changesThatMembersPassOnAtTheSameTimeAreAllMade() throws {
        let group = try Group(arguments: ["--max-learners", "5"])
        let own = try group.leader.add("http://127.0.0.1:10", isLearner: true)
        let passedOn = try group.followers.enumerated().map { number, follower in
            (follower, try follower.add("http://127.0.0.1:\(11 + number)", isLearner: true))
        }
        // All are with the leader before any is applied.
        for member in group.members { member.turn() }
        for follower in group.followers {
            let messages = follower.messages
            follower.messages = []
            for message in messages { group.leader.core.step(message) }
        }
        try group.settle()
        #expect(try group.leader.takeChange(own)?.get() != nil)
        for (follower, change) in passedOn { #expect(try follower.takeChange(change)?.get() != nil) }
        for member in group.members { #expect(member.core.applier.cluster.members.count == 6) }
    }

    /// A leader of etcd drops it without a word; the log tells.
    @Test func aFollowerProposesAgainWhatTheLeaderDropped() throws {
        let group = try Group(arguments: ["--max-learners", "5"])
        let follower = group.followers[0]
        let first = try group.leader.add("http://127.0.0.1:10", isLearner: true)
        let second = try follower.add("http://127.0.0.1:11", isLearner: true)
        for member in group.members { member.turn() }
        let passedOn = follower.messages.filter { $0.type == .propose }
        #expect(passedOn.count == 1)
        follower.messages.removeAll { $0.type == .propose }
        for message in passedOn { try group.leader.core.raft.step(message) }
        try group.settle()
        #expect(try group.leader.takeChange(first)?.get().count == 4)
        #expect(follower.takeChange(second) == nil, "the leader has dropped it")
        try group.tick(2)
        #expect(try follower.takeChange(second)?.get().count == 5)
        // It was made once.
        try group.tick(5)
        for member in group.members { #expect(member.core.applier.cluster.members.count == 5) }
    }

    /// It passes the change on that it had kept, so that whoever asked is answered.
    @Test func aLeaderThatHandsOverPassesOnWhatItKept() throws {
        let group = try Group(arguments: ["--max-learners", "5"])
        let (leader, next, asked) = (group.leader, group.followers[0], group.followers[1])
        try leader.core.moveLeader(to: next.id, token: 1, now: leader.now)
        let change = try asked.add("http://127.0.0.1:10", isLearner: true)
        asked.turn()
        let passedOn = asked.messages
        asked.messages = []
        for message in passedOn { leader.core.step(message) }
        try group.settle()
        #expect(next.core.isLeader)
        #expect(try asked.takeChange(change)?.get().count == 4)
    }

    @Test func learnersAreLimitedWhenTheChangeIsApplied() throws {
        let group = try Group()
        let leader = group.leader
        let first = try leader.add("http://127.0.0.1:9", isLearner: true)
        let second = try leader.add("http://127.0.0.1:10", isLearner: true)
        try group.settle()
        #expect(try leader.takeChange(first)?.get().count == 4)
        #expect(leader.takeChange(second) == .failure(.refused(.tooManyLearners)))
    }

    @Test func aLearnerThatLacksTheLogIsNotPromoted() throws {
        let group = try Group()
        let leader = group.leader
        let change = try leader.add("http://127.0.0.1:9", isLearner: true)
        try group.settle()
        let learner = try #require(try leader.takeChange(change)?.get().first(where: \.isLearner))
        #expect(throws: MembershipChangeError.refused(.learnerNotReady)) {
            try leader.core.promoteMember(learner.id, now: leader.now)
        }
        #expect(throws: MembershipChangeError.refused(.idNotFound)) {
            try leader.core.promoteMember(77, now: leader.now)
        }
    }

    @Test func aRemovedMemberSaysSoAndNeverComesBack() throws {
        let group = try Group()
        let leader = group.leader
        let other = group.followers[0]
        let change = try leader.core.removeMember(other.id, now: leader.now)
        try group.settle()
        #expect(try leader.takeChange(change)?.get().count == 2)
        #expect(!leader.removedSelf)
        // The leader sends nothing to a member that it removed, so that one hears of it from the transport at the latest.
        #expect(group.followers[1].membership.last == .removed(other.id))
        let again = try leader.core.removeMember(other.id, now: leader.now)
        try group.settle()
        #expect(leader.takeChange(again) == .failure(.refused(.idRemoved)))
    }

    /// Whoever is asked for it: the others have a leader all the time.
    @Test(arguments: [0, 1, 2])
    func aLeaderHandsOverBeforeItIsRemoved(asked: Int) throws {
        let group = try Group()
        let leader = group.leader
        let asked = ([leader] + group.followers)[asked]
        let change = try asked.core.removeMember(leader.id, now: asked.now)
        try group.settle()
        #expect(try asked.takeChange(change)?.get().count == 2)
        #expect(!leader.core.isLeader)
        let next = try #require(group.followers.first { $0.core.isLeader })
        group.trio.cut = [leader.id]
        let id = next.put("a", "1")
        try group.settle()
        #expect(next.takeReply(id) != nil)
        #expect(next.core.confState.voters.count == 2)
    }

    @Test func aLeaderThatCannotHandOverIsRemovedAllTheSame() throws {
        let group = try Group()
        let leader = group.leader
        let change = try leader.core.removeMember(leader.id, now: leader.now)
        // The followers are asked to take over, and it is lost, as often as the leader asks.
        for _ in 0..<15 {
            leader.tick()
            try leader.settle()
            leader.messages.removeAll { $0.type == .timeoutNow }
            try group.settle()
        }
        #expect(try leader.takeChange(change)?.get().count == 2)
        #expect(leader.removedSelf)
    }

    @Test func aChangeWithoutAQuorumTimesOut() throws {
        let group = try Group()
        let leader = group.leader
        group.trio.cut = Set(group.followers.map(\.id))
        let change = try leader.add("http://127.0.0.1:9")
        let second = try leader.add("http://127.0.0.1:10")
        var results: [UInt64: Result<[Membership.Member], MembershipChangeError>] = [:]
        for _ in 0..<71 {
            try group.tick(1)
            for id in [change, second] where results[id] == nil { results[id] = leader.takeChange(id) }
        }
        #expect(results[change] == .failure(.timedOut(.timeout)))
        #expect(results[second] == .failure(.timedOut(.timeout)))
    }

    /// What a lost leader took may be applied or not; the next change need not wait for its end.
    @Test func aChangeUnderALostLeaderHoldsNobodyUp() throws {
        let group = try Group()
        group.trio.cut = [group.leader.id]
        let asked = group.followers[0]
        let lost = asked.core.updateMember(asked.id, peerURLs: ["http://127.0.0.1:8"], now: asked.now)
        _ = try group.trio.elect()
        let change = asked.core.updateMember(asked.id, peerURLs: ["http://127.0.0.1:9"], now: asked.now)
        try group.settle()
        #expect(try asked.takeChange(change)?.get().first { $0.id == asked.id }?.peerURLs == ["http://127.0.0.1:9"])
        #expect(asked.takeChange(lost) == nil)
    }

    @Test func theStrictCheckLooksAtTheConnections() throws {
        let group = try Group()
        let leader = group.leader
        leader.core.peerActiveSince = { _ in nil }
        #expect(throws: MembershipChangeError.refused(.unhealthy)) { try leader.add("http://127.0.0.1:9") }
        let lax = try Group(arguments: ["--strict-reconfig-check=false"])
        lax.leader.core.peerActiveSince = { _ in nil }
        _ = try lax.leader.add("http://127.0.0.1:9")
    }

    /// Without the strict check a client may ask for the end of the cluster; Raft has no such configuration.
    @Test func theLastVoterStays() throws {
        let member = try SimulatedMember(arguments: ["--strict-reconfig-check=false"])
        try member.elect()
        let change = try member.core.removeMember(member.id, now: member.now)
        try member.settle()
        #expect(member.takeChange(change) == .failure(.refused(.malformed("removed all voters"))))
        #expect(!member.removedSelf)
        #expect(member.core.applier.cluster.members.count == 1)
        let id = member.put("a", "1")
        try member.settle()
        #expect(member.takeReply(id) != nil)
    }

    /// No etcd proposes such a change and its members stop at one; here it has no effect.
    @Test func aChangeOfSeveralMembersChangesNothing() throws {
        let group = try Group()
        let leader = group.leader
        let before = leader.core.confState
        let other = group.followers[0]
        try leader.core.raft.proposeConfigurationChange(
            ConfigurationChangeV2(changes: [
                .init(type: .removeNode, nodeID: other.id), .init(type: .addNode, nodeID: 77),
            ]))
        try group.settle()
        for member in group.members {
            #expect(member.core.confState == before)
            #expect(member.core.applier.cluster.members.count == 3)
            #expect(member.core.appliedIndex == leader.core.appliedIndex)
        }
        let change = try leader.core.removeMember(other.id, now: leader.now)
        try group.settle()
        #expect(try leader.takeChange(change)?.get().count == 2)
    }

    @Test func aRestartKnowsTheMembers() throws {
        let group = try Group()
        let leader = group.leader
        let other = group.followers[0]
        _ = try leader.add("http://127.0.0.1:9", isLearner: true)
        _ = try leader.core.removeMember(other.id, now: leader.now)
        try group.settle()
        let cluster = leader.core.applier.cluster
        let confState = leader.core.confState
        try leader.restart()
        try leader.settle()
        #expect(leader.core.applier.cluster == cluster)
        #expect(leader.core.confState == confState)
    }
}

@Suite struct LeadershipTests {
    @Test func theLeadershipMovesToWhomAClientNames() throws {
        let group = try Group()
        let leader = group.leader
        let other = group.followers[0]
        try leader.core.moveLeader(to: other.id, token: 5, now: leader.now)
        try group.settle()
        #expect(other.core.isLeader)
        #expect(leader.handovers.map(\.token) == [5])
        #expect(leader.handovers.allSatisfy { $0.error == nil })
        #expect(throws: EtcdError.notLeader) {
            try leader.core.moveLeader(to: other.id, token: 6, now: leader.now)
        }
        #expect(throws: EtcdError.badLeaderTransferee) {
            try other.core.moveLeader(to: 77, token: 6, now: other.now)
        }
        try other.core.moveLeader(to: other.id, token: 7, now: other.now)
        try group.settle()
        #expect(other.handovers.map(\.token) == [7])
    }

    @Test func aMemberThatIsAwayDoesNotBecomeTheLeader() throws {
        let group = try Group()
        let leader = group.leader
        let other = group.followers[0]
        group.trio.cut = [other.id]
        try leader.core.moveLeader(to: other.id, token: 5, now: leader.now)
        let id = leader.put("a", "1")
        try group.tick(12)
        #expect(leader.handovers.map(\.token) == [5])
        #expect(leader.handovers.map(\.error) == [.timeoutLeaderTransfer])
        #expect(leader.takeReply(id) != nil, "what came meanwhile is proposed when the transfer is given up")
    }

    @Test func theSuccessorIsTheVoterConnectedForLongest() throws {
        let group = try Group()
        let leader = group.leader
        let others = group.followers
        leader.core.peerActiveSince = { $0 == others[1].id ? 5 : 9 }
        #expect(leader.core.successor == others[1].id)
        leader.core.peerActiveSince = { $0 == others[0].id ? 9 : nil }
        #expect(leader.core.successor == others[0].id)
        leader.core.peerActiveSince = { _ in nil }
        #expect(leader.core.successor == nil)
        #expect(others[0].core.successor == nil)
    }
}
