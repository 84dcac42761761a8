import Testing

@testable import Member

/// When a member does what nobody asks for.
@Suite struct DutyTimersTests {
    private func due(_ timers: inout DutyTimers, at now: Int64, compacts: Bool = false) -> [DutyTimers.Duty] {
        var found: [DutyTimers.Duty] = []
        while let duty = timers.next(now: now, compacts: compacts) { found.append(duty) }
        return found
    }

    @Test func eachDutyHasItsInterval() {
        var timers = DutyTimers(DutyTimers.Intervals(heartbeat: 100), now: 1_000)
        #expect(due(&timers, at: 1_000) == [.tick(due: 1_000), .leases, .purge])
        #expect(timers.deadline(compacts: false) == 1_100)
        #expect(due(&timers, at: 1_099) == [])
        #expect(due(&timers, at: 1_100) == [.tick(due: 1_100)])
        // What comes late is done once, and the interval counts from then on.
        #expect(due(&timers, at: 31_007) == [.tick(due: 1_200), .leases, .purge])
        #expect(timers.deadline(compacts: false) == 31_107)
    }

    @Test func stepsOfACompactionLeaveTimeBetweenThem() {
        var timers = DutyTimers(DutyTimers.Intervals(heartbeat: 100), now: 0)
        _ = due(&timers, at: 0)
        #expect(due(&timers, at: 1) == [], "nothing is to be compacted")
        #expect(timers.deadline(compacts: true) <= 1)
        #expect(due(&timers, at: 1, compacts: true) == [.compaction])
        timers.compactionStepped(from: 1, to: 1)
        #expect(timers.deadline(compacts: true) == 2)
        #expect(due(&timers, at: 2, compacts: true) == [.compaction])
        // A step on a slow machine is followed by a pause as long.
        timers.compactionStepped(from: 2, to: 12)
        #expect(timers.deadline(compacts: true) == 22)
        #expect(due(&timers, at: 21, compacts: true) == [])
        #expect(due(&timers, at: 22, compacts: true) == [.compaction])
    }
}
