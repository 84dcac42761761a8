import Disk
import EtcdAPI
import MVCC
import RaftMessages
import Testing

@testable import Member

/// Cores of three members, connected in one thread.
@Suite struct ThreeMembersTests {
    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func theySurviveTheLossOfTheirLeader(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var trio = try Trio(seed: seed)
        let first = try trio.elect()
        first.propose(.leaseGrant, Requests.grant(7, ttl: 600))
        for number in 0..<20 { first.put("a\(number % 7)", "\(number)", lease: number % 3 == 0 ? 7 : 0) }
        try trio.settle()
        #expect(first.outcomes.count == 21)
        for member in trio.members { #expect(member.store.currentRevision == 21) }

        // What a follower is asked goes to the leader and is answered by the follower.
        let follower = try #require(trio.members.first { !$0.core.isLeader })
        let id = follower.put("b", "1")
        follower.core.read(1)
        try trio.settle()
        #expect(follower.takeReply(id) != nil)
        #expect(follower.readyReads == [1])

        // The leader's last proposal reaches nobody, and its power goes.
        let lost = first.core.settings.memberID
        trio.cut = [lost]
        first.put("lost", "1")
        first.turn()
        first.crash(random: &random)
        let second = try trio.elect()
        #expect(second !== first)
        let next = second.put("c", "1")
        try trio.settle()
        #expect(second.takeReply(next) != nil)

        try first.reopen()
        trio.cut = []
        for _ in 0..<5 { try trio.tick() }
        let last = try trio.elect()
        last.put("d", "1")
        try trio.settle()
        let expected = try last.store.view().hashByRevision(0)
        for member in trio.members {
            #expect(member.core.leader == last.core.settings.memberID)
            #expect(try member.store.view().hashByRevision(0) == expected)
            #expect(try member.contents()["lost"] == nil)
            #expect(try member.contents()["c"] == "1")
            let lease = try member.core.applier.lessor.timeToLive(id: 7, now: member.now, keys: true)
            #expect(lease.keys == [Array("a1".utf8), Array("a4".utf8)])
        }
    }

    /// Only the member that a client asked makes an answer, values and all; the others carry the request out.
    @Test func onlyWhoWasAskedAnswers() throws {
        let trio = try Trio(seed: 12)
        let leader = try trio.elect()
        let follower = try #require(trio.follower)
        leader.put("a", String(repeating: "x", count: 1_000))
        try trio.settle()
        var put = PutRequest(key: Array("a".utf8), value: Array("2".utf8))
        put.prevKV = true
        var delete = DeleteRangeRequest(key: Array("b".utf8))
        delete.prevKV = true
        let range = RangeRequest(key: Array("a".utf8))
        var nested = TxnRequest()
        nested.success = [.range(range), .put(PutRequest(key: Array("b".utf8), value: Array("1".utf8)))]
        var txn = TxnRequest()
        txn.success = [.range(range), .put(put), .txn(nested), .deleteRange(delete)]
        for asked in [leader, follower] {
            for member in trio.members { member.outcomes = [] }
            let ids = [
                asked.propose(.txn, Requests.txn(txn)), asked.put("b", "3"),
                asked.propose(.deleteRange, Requests.delete("b")),
            ]
            try trio.settle()
            #expect(asked.outcomes.map(\.requestID) == ids)
            guard case .message(let answer)? = asked.takeReply(ids[0]) else {
                Issue.record("the transaction gave no answer")
                continue
            }
            if asked === leader { #expect(answer.count > 2_000, "the value is read, and replaced") }
            for other in trio.members where other !== asked { #expect(other.outcomes.isEmpty) }
            let expected = try asked.store.view().hashByRevision(0)
            for member in trio.members { #expect(try member.store.view().hashByRevision(0) == expected) }
        }
    }

    @Test func readsFailAtOnceWhenTheirLeaderIsLost() throws {
        var trio = try Trio(seed: 11)
        let first = try trio.elect()
        trio.cut = [first.core.settings.memberID]
        first.core.read(1)
        let follower = try #require(trio.members.first { !$0.core.isLeader })
        follower.core.read(2)
        follower.turn()
        let second = try trio.elect()
        #expect(follower.failedReads.map(\.token) == [2])
        #expect(follower.failedReads.map(\.error) == [.leaderChanged])
        #expect(follower.core.failedReadRounds == 1)
        // The leader that was cut off finds out by itself, by its quorum check.
        for _ in 0..<25 where first.failedReads.isEmpty {
            first.tick()
            try first.settle()
        }
        #expect(first.failedReads.map(\.error) == [.leaderChanged])
        #expect(first.core.leader == 0)
        // What is asked while there is no leader waits for one.
        first.core.read(3)
        try first.settle()
        trio.cut = []
        for _ in 0..<50 where first.readyReads.isEmpty { try trio.tick() }
        #expect(first.readyReads == [3])
        #expect(first.core.leader == second.core.leader)
    }

    /// Members that know that the leader's process has ended do not wait out the election timeout; a member that still
    /// hears the leader keeps it.
    @Test func aLeaderWhoseProcessHasEndedIsReplacedEarly() throws {
        var trio = try Trio(seed: 21)
        let first = try trio.elect()
        let lost = first.core.settings.memberID
        let others = trio.members.filter { $0 !== first }
        others[0].core.leaderIsGone(lost)
        for _ in 0..<10 { try trio.tick() }
        #expect(trio.members.allSatisfy { $0.core.leader == lost }, "one member alone unseats nobody")

        trio.cut = [lost]
        var ticks = 0
        for member in others { member.core.leaderIsGone(lost) }
        while !others.contains(where: \.core.isLeader), ticks < 100 {
            try trio.tick()
            ticks += 1
        }
        #expect(ticks <= first.core.settings.electionTicks)
    }

    /// A leader to which only the way is barred is heard all the same, and keeps its office.
    @Test func aLeaderThatWasHeardAMomentAgoHasNotEnded() throws {
        let trio = try Trio(seed: 22)
        let first = try trio.elect().core.settings.memberID
        let follower = try #require(trio.follower)
        let now = follower.now
        follower.core.heard(from: first, now: now)
        #expect(!follower.core.processEnded(of: first, now: now + SimulatedMember.heartbeat))
        #expect(follower.core.leader == first)
        #expect(!follower.core.processEnded(of: follower.core.settings.memberID, now: now + 5_000))
        #expect(follower.core.processEnded(of: first, now: now + SimulatedMember.heartbeat + 1))
        #expect(follower.core.leader == 0)
    }

    @Test func aTimeoutTellsWhetherTheLeaderOrTheConnectionWasLost() throws {
        let trio = try Trio(seed: 5)
        let leader = try trio.elect()
        let follower = try #require(trio.members.first { !$0.core.isLeader })
        let others = trio.members.map(\.core.settings.memberID).filter { $0 != leader.core.settings.memberID }
        let elected = try #require(leader.core.electedAt)
        let election = leader.core.settings.electionMilliseconds
        let cases: [(start: Int64, connected: Set<UInt64>, at: SimulatedMember, EtcdError)] = [
            (elected - 1, [], leader, .timeoutDueToLeaderFailure),
            (elected - 2 * election, Set(others), leader, .timeout),
            (elected, [others[0]], leader, .timeout),
            (elected, [], leader, .timeoutDueToConnectionLost),
            (elected, [leader.core.settings.memberID], follower, .timeout),
            (elected, Set(others), follower, .timeoutDueToConnectionLost),
        ]
        for (start, connected, member, expected) in cases {
            member.core.peerActiveSince = { connected.contains($0) ? .min : nil }
            #expect(member.core.timeoutError(ofRequestFrom: start) == expected)
        }
        leader.core.peerActiveSince = { _ in elected + 5 }
        #expect(leader.core.timeoutError(ofRequestFrom: elected + 5) == .timeoutDueToConnectionLost)
        #expect(leader.core.timeoutError(ofRequestFrom: elected + 6) == .timeout)
    }
}
