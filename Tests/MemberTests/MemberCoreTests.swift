import Applier
import EtcdAPI
import Membership
import RaftMessages
import Testing

@testable import Member

/// What one member promises, step by step.
@Suite struct MemberCoreTests {
    private func member() throws -> SimulatedMember {
        let member = try SimulatedMember()
        try member.elect()
        return member
    }

    private func isMessage(_ reply: Applier.Reply?) -> Bool {
        if case .message = reply { return true }
        return false
    }

    private func failure(_ reply: Applier.Reply?) -> EtcdError? {
        if case .failure(let error) = reply { return error }
        return nil
    }

    @Test func theOnlyVoterElectsItselfWhenItsTimeoutPasses() throws {
        let member = try SimulatedMember()
        try member.settle()
        #expect(member.core.confState.voters == [member.core.settings.memberID])
        var ticks = 0
        while !member.core.isLeader && ticks < 100 {
            member.tick()
            try member.settle()
            ticks += 1
        }
        // Between one election timeout (10 ticks) and two.
        #expect((10...20).contains(ticks))
        #expect(member.core.leader == member.core.settings.memberID)
        #expect(member.core.hasAppliedInTerm)
    }

    @Test func anAnswerWaitsForTheSynchronisationOfItsEntry() throws {
        let member = try member()
        let id = member.put("a", "1")
        member.turn()
        #expect(member.outcomes.isEmpty)
        try member.writeLog()
        member.turn()
        #expect(member.outcomes.isEmpty, "what is written and not synchronised can be lost")
        #expect(try member.contents() == [:])
        try member.synchronizeLog()
        member.turn()
        #expect(isMessage(member.takeReply(id)))
        #expect(try member.contents() == ["a": "1"])
        #expect(member.commits.map(\.revision) == [2])
    }

    @Test func proposalsThatComeDuringASynchronisationAreWrittenTogether() throws {
        let member = try member()
        member.put("a", "1")
        member.turn()
        try member.writeLog()
        for number in 0..<10 { member.put("b\(number)", "1") }
        member.turn()
        try member.synchronizeLog()
        try member.settle()
        #expect(member.outcomes.count == 11)
        #expect(try member.contents().count == 11)
    }

    @Test func aReadSeesEveryWriteThatWasAnsweredBeforeIt() throws {
        let member = try member()
        for number in 1...20 {
            let id = member.put("a", "\(number)")
            try member.settle()
            #expect(isMessage(member.takeReply(id)))
            member.core.read(UInt64(number))
            try member.settle()
            #expect(member.readyReads.last == UInt64(number))
            #expect(try member.contents()["a"] == "\(number)")
        }
    }

    @Test func aReadAfterARestartWaitsForWhatWasAnsweredBefore() throws {
        let member = try member()
        var random = SplitMix64(seed: 3)
        let id = member.put("a", "1")
        try member.settle()
        #expect(isMessage(member.takeReply(id)))
        member.crash(random: &random)
        try member.reopen()
        member.core.read(1)
        member.turn()
        #expect(member.readyReads.isEmpty, "nothing is known yet of what was committed")
        try member.elect()
        #expect(member.readyReads == [1])
        #expect(try member.contents() == ["a": "1"])
    }

    @Test func proposalsWaitForALeader() throws {
        let member = try SimulatedMember()
        try member.settle()
        let id = member.put("a", "1")
        try member.settle()
        #expect(member.outcomes.isEmpty)
        try member.elect()
        #expect(isMessage(member.takeReply(id)))
    }

    @Test func whatNoLeaderTakesTimesOut() throws {
        let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"
        let member = try SimulatedMember(name: "a", cluster: cluster)
        try member.settle()
        let id = member.put("a", "1")
        member.core.read(7)
        try member.settle()
        // Five seconds and two elections of one second.
        member.now += 6_999
        try member.settle()
        #expect(member.outcomes.isEmpty)
        #expect(member.failedReads.isEmpty)
        member.put("a", "2")
        member.now += 1
        try member.settle()
        #expect(failure(member.takeReply(id)) == .timeout)
        #expect(member.outcomes.isEmpty, "the second proposal has its own time")
        #expect(member.failedReads.map(\.token) == [7])
        #expect(member.failedReads.map(\.error) == [.timeout])
    }

    @Test func aPhysicalCompactionIsAnsweredWhenItsCommitIsDone() throws {
        let member = try member()
        for number in 1...5 { member.put("a", "\(number)") }
        try member.settle()
        member.outcomes = []
        let logical = member.propose(.compaction, Requests.compaction(3, physical: false))
        let physical = member.propose(.compaction, Requests.compaction(4, physical: true))
        try member.settle()
        #expect(isMessage(member.takeReply(logical)))
        #expect(member.outcomes.isEmpty)
        try member.commitNow()
        member.turn()
        #expect(member.outcomes.isEmpty, "the compaction has not begun")
        member.finishCompaction()
        member.turn()
        #expect(member.outcomes.isEmpty, "what it dropped is still in the file")
        #expect(member.wantsCommit)
        try member.commitNow()
        member.turn()
        #expect(isMessage(member.takeReply(physical)))
    }

    @Test func aCommitThatBeganBeforeACompactionEndedDoesNotAnswerIt() throws {
        let member = try member()
        for number in 1...5 { member.put("a", "\(number)") }
        let physical = member.propose(.compaction, Requests.compaction(4, physical: true))
        try member.settle()
        member.beginCommit()
        member.finishCompaction()
        member.turn()
        try member.runCommit()
        try member.finishCommit()
        member.turn()
        #expect(member.takeReply(physical) == nil)
        #expect(member.wantsCommit)
        try member.commitNow()
        member.turn()
        #expect(isMessage(member.takeReply(physical)))
    }

    @Test func aSnapshotOfTheOnlyMemberEmptiesTheLogInMemory() throws {
        let member = try member()
        for batch in 1...5 {
            for number in 0..<50 { member.put("\(batch)", "\(number)") }
            try member.settle()
            #expect(member.core.log.lastIndex + 1 - member.core.log.firstIndex >= 50)
            try member.commitNow(withSnapshot: true)
            #expect(member.core.log.firstIndex == member.core.log.lastIndex + 1)
        }
        // The newest snapshot and what follows it are enough to go on from.
        member.put("6", "1")
        try member.restart()
        #expect(member.opened.snapshotIndex > 250)
        #expect(member.core.log.firstIndex == member.opened.snapshotIndex + 1)
        try member.elect()
        #expect(try member.contents() == ["1": "49", "2": "49", "3": "49", "4": "49", "5": "49", "6": "1"])
    }

    @Test func aSnapshotOfSeveralMembersKeepsWhatLateOnesWant() throws {
        let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"
        let member = try SimulatedMember(name: "a", cluster: cluster)
        try member.settle()
        try member.commitNow(withSnapshot: true)
        #expect(member.core.log.firstIndex == 1)
        #expect(try member.core.log.snapshot().metadata.index == 3)
    }

    @Test func aNewMemberSurvivesACrashAtOnce() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            var random = SplitMix64(seed: seed)
            let member = try SimulatedMember(seed: seed)
            try member.elect()
            let id = member.put("a", "1")
            try member.settle()
            #expect(isMessage(member.takeReply(id)))
            member.crash(random: &random)
            try member.reopen()
            try member.elect()
            #expect(try member.contents() == ["a": "1"])
        }
    }

    @Test func aRestartShowsTheSameMember() throws {
        let member = try member()
        let attributes = PublishedAttributes(name: "default", clientURLs: ["http://localhost:2379"])
        member.core.publish(attributes, now: member.now)
        member.core.decideClusterVersion([ClusterVersion(3, 6)], now: member.now)
        member.propose(.leaseGrant, Requests.grant(77, ttl: 60))
        member.put("a", "1", lease: 77)
        try member.settle()
        for withSnapshot in [false, true, false] {
            try member.commitNow(withSnapshot: withSnapshot)
            try member.restart()
            try member.elect()
            let core = member.core
            #expect(core.applier.cluster.version == ClusterVersion(3, 6))
            #expect(core.applier.cluster.sortedMembers.map(\.name) == ["default"])
            #expect(core.applier.cluster.sortedMembers.map(\.clientURLs) == [["http://localhost:2379"]])
            #expect(core.confState.voters == [core.settings.memberID])
            #expect(core.applier.lessor.leases() == [77])
            #expect(try core.applier.lessor.timeToLive(id: 77, now: member.now, keys: true).keys == [Array("a".utf8)])
        }
    }

    @Test func leasesRunOutOnTheLeaderAlone() throws {
        let member = try member()
        member.propose(.leaseGrant, Requests.grant(5, ttl: 10))
        member.put("a", "1", lease: 5)
        member.put("b", "1")
        try member.settle()
        member.now += 9_999
        member.core.revokeExpiredLeases(limit: 10, now: member.now)
        try member.settle()
        #expect(try member.contents() == ["a": "1", "b": "1"])
        // A new leader gives the whole time again, and the time in which nobody could renew.
        try member.restart()
        member.now += 100_000
        member.core.revokeExpiredLeases(limit: 10, now: member.now)
        try member.elect()
        member.now += 10_999
        member.core.revokeExpiredLeases(limit: 10, now: member.now)
        try member.settle()
        #expect(try member.contents() == ["a": "1", "b": "1"])
        member.now += 1
        member.core.revokeExpiredLeases(limit: 10, now: member.now)
        try member.settle()
        #expect(try member.contents() == ["b": "1"])
        #expect(member.core.applier.lessor.count == 0)
    }

    @Test func theQuotaRaisesItsAlarmEachTimeItIsMet() throws {
        let member = try SimulatedMember(arguments: ["--quota-backend-bytes", "65536"])
        try member.elect()
        #expect(member.core.hasSpace(for: 10, now: member.now))
        #expect(!member.core.hasSpace(for: 65_536, now: member.now))
        #expect(!member.core.hasSpace(for: 65_536, now: member.now))
        try member.settle()
        let own = Alarm(memberID: member.core.settings.memberID, kind: .noSpace)
        #expect(member.core.applier.raisedAlarms == [own])
        let refused = member.put("a", "1")
        try member.settle()
        #expect(failure(member.takeReply(refused)) == .noSpace)
        var disarm = Etcdserverpb_AlarmRequest()
        disarm.action = .deactivate
        disarm.memberID = own.memberID
        disarm.alarm = .nospace
        member.propose(.alarm, try disarm.serializedBytes())
        try member.settle()
        #expect(member.core.applier.raisedAlarms == [])
        // Not for every request that is refused, but again after the time that a request may take.
        member.now += member.core.settings.requestTimeout
        #expect(!member.core.hasSpace(for: 65_536, now: member.now))
        try member.settle()
        #expect(member.core.applier.raisedAlarms == [own], "there is no more space than before")
    }

    /// Requests of a few bytes may ask for megabytes: what one turn makes for them is bounded, and they are told so.
    @Test func theLongRepliesOfATurnAreBounded() throws {
        let member = try member()
        member.core.replyBytesLimit = 500_000
        member.put("big", String(repeating: "v", count: 200_000))
        try member.settle()
        let reading = Requests.txn(
            TxnRequest(
                compare: [],
                success: [
                    .range(RangeRequest(key: Array("big".utf8))),
                    .put(PutRequest(key: Array("count".utf8), value: [])),
                ],
                failure: []))
        let ids = (0..<4).map { _ in member.propose(.txn, reading) }
        let small = member.put("small", "1")
        try member.settle()
        let replies = ids.map { member.takeReply($0) }
        #expect(replies.map(isMessage) == [true, true, false, false])
        #expect(failure(replies[2]) == .answerTooLarge)
        #expect(isMessage(member.takeReply(small)), "others notice nothing")
        let alone = member.propose(.txn, reading)
        try member.settle()
        #expect(isMessage(member.takeReply(alone)), "the next turn begins anew")
        member.core.replyBytesLimit = 1000
        let larger = member.propose(.txn, reading)
        try member.settle()
        #expect(isMessage(member.takeReply(larger)), "one that is larger than the bound is let through alone")
    }
}
