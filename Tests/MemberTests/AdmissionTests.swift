import Applier
import EtcdAPI
import Testing

@testable import Member

/// When requests are turned away: by how far a member is behind, and by how full its file is.
@Suite struct AdmissionTests {
    @Test(
        arguments: [
            (0, 0, 0, true), (5_000, 0, 0, true), (5_001, 0, 0, false), (15_000, 10_000, 0, true),
            (15_001, 10_000, 0, false),
            // What was applied from a leader's snapshot may be ahead of what is known to be committed.
            (0, 10_000, 0, true), (0, 0, 49_999, true), (0, 0, 50_000, false),
        ] as [(UInt64, UInt64, Int, Bool)])
    func aMemberThatIsBehindTakesNoMore(committed: UInt64, applied: UInt64, waiting: Int, isTaken: Bool) {
        let refusal = Admission(committed: committed, applied: applied).refusal(waiting: waiting)
        #expect(refusal == (isTaken ? nil : .tooManyRequests))
    }

    @Test(
        arguments: [
            (1_000, 0, 999, true), (1_000, 0, 1_000, false), (1_000, 900, 99, true), (1_000, 900, 100, false),
            (1_000, 2_000, 0, false), (-1, 1 << 40, 1 << 40, true),
        ] as [(Int64, Int, Int, Bool)])
    func aRequestFitsWhenItsCostLeavesRoom(quota: Int64, size: Int, cost: Int, fits: Bool) {
        #expect(SpaceQuota(bytes: quota).fits(cost: cost, size: size) == fits)
    }

    @Test func theAlarmIsProposedOnceInTheTimeOfARequest() {
        var quota = SpaceQuota(bytes: 0)
        var proposed: [Bool] = []
        for now: Int64 in [100, 149, 150] { proposed.append(quota.shallPropose(now: now, timeout: 50)) }
        // Once it is raised, a disarm makes the next one due at once.
        quota.raised()
        proposed.append(quota.shallPropose(now: 151, timeout: 50))
        #expect(proposed == [true, false, true, true])
    }

    @Test func whatOthersWroteRaisesTheAlarmOfThisMember() throws {
        let member = try SimulatedMember(arguments: ["--quota-backend-bytes", "65536"])
        try member.elect()
        // As if another member, whose quota is higher, had proposed it.
        for number in 0..<40 { _ = member.put("key\(number)", String(repeating: "v", count: 4_000)) }
        try member.settle()
        try member.commitNow()
        let own = Alarm(memberID: member.core.settings.memberID, kind: .noSpace)
        _ = member.put("more", "1")
        try member.settle()
        #expect(member.core.applier.raisedAlarms == [own])
    }
}
