import Lease
import Membership
import RaftMessages
import Testing

@testable import Member

/// What must not be lost, and what must not survive, when the leader changes. The simulator found both.
@Suite struct ChangeOfLeaderTests {
    private static let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"

    @Test func aCandidateAsksForVotesWhenItsOwnIsOnTheDisk() throws {
        let member = try SimulatedMember(name: "a", cluster: Self.cluster)
        try member.settle()
        member.core.campaign()
        member.turn()
        let questions = member.messages.filter { $0.type == .preVote }
        #expect(questions.count == 2)
        for question in questions {
            member.core.step(
                Message(type: .preVoteResponse, to: question.from, from: question.to, term: question.term))
        }
        func votes() -> [Message] { member.messages.filter { $0.type == .vote } }
        member.turn()
        try member.writeLog()
        member.turn()
        #expect(votes().isEmpty, "others would elect a member that may forget its term")
        try member.synchronizeLog()
        member.turn()
        #expect(votes().count == 2)
        #expect(votes().allSatisfy { $0.term == member.core.term })
    }

    @Test func aRevocationThatALeaderCannotProposeIsNotKeptForTheNext() throws {
        var trio = try Trio(seed: 3)
        let leader = try trio.elect()
        leader.propose(.leaseGrant, Requests.grant(7, ttl: 2))
        try trio.settle()
        let target = try #require(trio.follower).core.settings.memberID
        trio.cut = [target]
        try leader.core.moveLeader(to: target, token: 1, now: leader.now)
        try trio.settle()
        leader.now += 10_000
        #expect(leader.core.revokeExpiredLeases(limit: 10, now: leader.now) == 0)
        // The handover is given up after an election timeout; what waited for it would be proposed now.
        for _ in 0..<12 { try trio.tick() }
        #expect(leader.core.isLeader)
        #expect(leader.core.applier.lessor.contains(7))
    }
}
