import Lease
import Membership
import Testing

@testable import Member

/// The time that leases have left over changes of leader.
@Suite struct LeaseDutyTests {
    private func remaining(_ member: SimulatedMember) throws -> Int64 {
        try member.core.applier.lessor.timeToLive(id: 7, now: member.now, keys: false).remainingTTL
    }

    /// Lets `seconds` pass; leaders do their duties.
    private func pass(_ seconds: Int, _ trio: Trio) throws {
        for tick in 1...seconds * 10 {
            try trio.tick()
            guard tick % 5 == 0 else { continue }
            for member in trio.members { member.core.checkpointLeases(limit: 100, now: member.now) }
            try trio.settle()
        }
    }

    private func start(version: ClusterVersion, seed: UInt64) throws -> (Trio, SimulatedMember) {
        let trio = try Trio(seed: seed)
        let leader = try trio.elect()
        leader.core.decideClusterVersion([version, version, version], now: leader.now)
        leader.propose(.leaseGrant, Requests.grant(7, ttl: 300))
        try trio.settle()
        return (trio, leader)
    }

    @Test(arguments: [ClusterVersion(3, 6), ClusterVersion(3, 7)])
    func aNewLeaderKeepsWhatIsLeftOfALease(version: ClusterVersion) throws {
        var (trio, first) = try start(version: version, seed: 21)
        try pass(130, trio)
        #expect(try remaining(first) == 170)
        for member in trio.members where member !== first {
            #expect(try remaining(member) == 300, "a follower knows no expiry")
        }
        trio.cut = [first.core.settings.memberID]
        let second = try trio.elect()
        try trio.settle()
        // The last checkpoint was made when 120 seconds were gone; the election timeout comes on top.
        #expect((178...181).contains(try remaining(second)))

        // A renewal counts only once the checkpoint is forgotten everywhere.
        let renewal = try second.core.applier.lessor.renew(id: 7, now: second.now)
        #expect(renewal == LeaseRenewal(ttl: 300, clearsCheckpoint: true))
        let id = second.core.clearCheckpoints(of: [7], now: second.now)
        trio.cut = []
        try pass(1, trio)
        #expect(second.takeReply(id) != nil)
        trio.cut = [second.core.settings.memberID]
        let third = try trio.elect()
        try trio.settle()
        #expect((299...301).contains(try remaining(third)))
    }

    @Test func belowVersion36NothingIsRecorded() throws {
        var (trio, first) = try start(version: ClusterVersion(3, 4), seed: 22)
        let applied = first.core.appliedIndex
        try pass(130, trio)
        #expect(first.core.appliedIndex == applied)
        trio.cut = [first.core.settings.memberID]
        let second = try trio.elect()
        try trio.settle()
        #expect((299...301).contains(try remaining(second)))
    }
}
