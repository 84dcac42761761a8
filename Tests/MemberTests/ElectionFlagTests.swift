import Testing

@testable import Member

/// What the flags of elections bring about: `--pre-vote`, `--initial-election-tick-advance`.
@Suite struct ElectionFlagTests {
    private static let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"

    /// A member whose two others never answer, after so many heartbeat intervals.
    private func alone(ticks: Int, _ arguments: String...) throws -> SimulatedMember {
        let member = try SimulatedMember(name: "a", cluster: Self.cluster, arguments: arguments)
        try member.settle()
        for _ in 0..<ticks {
            member.tick()
            try member.settle()
        }
        return member
    }

    /// A trial vote that nobody grants leaves the term alone, so that who was cut off does not unseat the leader later.
    @Test func trialVotesLeaveTheTermAlone() throws {
        let careful = try alone(ticks: 200)
        #expect(careful.messages.contains { $0.type == .preVote })
        #expect(!careful.messages.contains { $0.type == .vote })
        #expect(careful.core.term == 1)
        let bold = try alone(ticks: 200, "--pre-vote=false")
        #expect(!bold.messages.contains { $0.type == .preVote })
        #expect(bold.messages.contains { $0.type == .vote })
        // An election comes after ten to twenty ticks.
        #expect(bold.core.term > 9)
    }

    /// Ticks until a member that has just started stands for election.
    private func wait(seed: UInt64, isAdvanced: Bool) throws -> Int {
        let member = try SimulatedMember(name: "a", cluster: Self.cluster, seed: seed)
        try member.settle()
        if isAdvanced { member.core.advanceFirstElection() }
        var ticks = 0
        repeat {
            member.tick()
            try member.settle()
            ticks += 1
        } while !member.messages.contains { $0.type == .preVote }
        return ticks
    }

    @Test func theFirstElectionComesEarlier() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            let usual = try wait(seed: seed, isAdvanced: false)
            let early = try wait(seed: seed, isAdvanced: true)
            #expect(usual >= 10)
            // Two ticks are left for a leader to be heard.
            #expect(early >= 2)
            #expect(early == usual - 8)
        }
    }

    @Test func itIsAdvancedOnceAllOthersAreThere() {
        var connected: Set<UInt64> = []
        func ask(_ election: inout FirstElection, now: Int64 = 1_000, hasLeader: Bool = false) -> Bool {
            election.shallBeAdvanced(now: now, hasLeader: hasLeader, others: [2, 3]) { connected.contains($0) }
        }
        var election = FirstElection(mayBeAdvanced: true, startedAt: 1_000)
        var (late, led, alone) = (election, election, election)
        var switchedOff = FirstElection(mayBeAdvanced: false, startedAt: 1_000)
        let first = ask(&election)
        connected = [2]
        let second = ask(&election)
        connected = [2, 3]
        let third = ask(&election)
        let fourth = ask(&election)
        #expect([first, second, third, fourth] == [false, false, true, false])

        let off = ask(&switchedOff)
        let tooLate = ask(&late, now: 6_001)
        let followed = ask(&led, hasLeader: true)
        // What is decided stays so.
        let afterwards = ask(&led)
        #expect([off, tooLate, followed, afterwards] == [false, false, false, false])
        let without = alone.shallBeAdvanced(now: 1_000, hasLeader: false, others: []) { _ in true }
        #expect(!without)
    }
}
