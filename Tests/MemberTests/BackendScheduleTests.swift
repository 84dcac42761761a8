import Backend
import Configuration
import RaftMessages
import Testing

@testable import Member

/// When the backend is committed, and who waits for whom.
@Suite struct BackendScheduleTests {
    private static let limits = BackendSchedule<String>.Limits(operations: 20, milliseconds: 100, snapshotCount: 50)

    /// A member that leads, with everything committed, and a schedule beside it.
    private func scene() throws -> (SimulatedMember, BackendSchedule<String>) {
        let member = try SimulatedMember()
        try member.elect()
        try member.commitNow()
        return (member, BackendSchedule(Self.limits, now: member.now))
    }

    private func put(_ count: Int, _ member: SimulatedMember) throws {
        for number in 0..<count { member.put("k\(number)", "v") }
        try member.settle()
    }

    /// The job and the snapshot of a commit that must have begun.
    private func begun(
        _ beginning: BackendSchedule<String>.Beginning?
    ) throws -> (job: CommitJob, snapshot: Snapshot?) {
        guard case .commit(let job, let plan) = beginning else { throw StartError("no commit has begun") }
        return (job, plan?.snapshot())
    }

    @Test func aCommitIsDueByTimeOrByNumber() throws {
        var (member, schedule) = try scene()
        let now = member.now
        #expect(schedule.beginIfDue(member.core, now: now) == nil, "nothing is pending")
        #expect(schedule.deadline(of: member.core) == .max)
        try put(1, member)
        let first = try begun(schedule.beginIfDue(member.core, now: now))
        #expect(schedule.isCommitting)
        try put(1, member)
        #expect(schedule.deadline(of: member.core) == .max, "one commit at a time")
        #expect(schedule.beginIfDue(member.core, now: now + 1_000) == nil, "one commit at a time")
        try first.job.run()
        #expect(schedule.finishCommit(first.job, of: member.core).isEmpty)

        // The next one waits for its time, counted from the beginning of the last, or for enough to do.
        #expect(schedule.deadline(of: member.core) == now + 100)
        #expect(schedule.beginIfDue(member.core, now: now + 99) == nil)
        let second = try begun(schedule.beginIfDue(member.core, now: now + 100))
        try second.job.run()
        _ = schedule.finishCommit(second.job, of: member.core)
        try put(20, member)
        #expect(try begun(schedule.beginIfDue(member.core, now: now + 101)).snapshot == nil)
    }

    @Test func whoWaitsIsServedByTheNextCommitAndNotByTheRunningOne() throws {
        var (member, schedule) = try scene()
        schedule.await("idle")
        guard case .nothing(["idle"]) = schedule.beginIfDue(member.core, now: member.now) else {
            Issue.record("what is committed already keeps nobody waiting")
            return
        }
        try put(1, member)
        schedule.await("first")
        let first = try begun(schedule.beginIfDue(member.core, now: member.now))
        try put(1, member)
        schedule.await("second")
        try first.job.run()
        #expect(schedule.finishCommit(first.job, of: member.core) == ["first"])
        // It is not due yet, but somebody waits.
        let second = try begun(schedule.beginIfDue(member.core, now: member.now))
        try second.job.run()
        #expect(schedule.finishCommit(second.job, of: member.core) == ["second"])
        #expect(member.core.applier.backend.hasCommittedAll)
    }

    @Test func aSnapshotGoesWithTheCommitThatCompletesIt() throws {
        var (member, schedule) = try scene()
        try put(51, member)
        let first = try begun(schedule.beginIfDue(member.core, now: member.now))
        let snapshot = try #require(first.snapshot)
        #expect(snapshot.metadata.index == member.core.appliedIndex)
        try first.job.run()
        _ = schedule.finishCommit(first.job, of: member.core)
        #expect(member.core.applier.backend.consistentIndex == snapshot.metadata.index)

        // No other is made before the log has this one.
        try put(60, member)
        let second = try begun(schedule.beginIfDue(member.core, now: member.now))
        #expect(second.snapshot == nil)
        try second.job.run()
        _ = schedule.finishCommit(second.job, of: member.core)
        schedule.snapshotSaved()
        member.core.snapshotSaved(snapshot)
        try put(1, member)
        #expect(try begun(schedule.beginIfDue(member.core, now: member.now)).snapshot != nil)
    }

    @Test func aLeadersSnapshotWaitsForTheRunningCommitAndWhatIsBehindItForTheSnapshot() throws {
        var (member, schedule) = try scene()
        func order(_ term: UInt64, snapshot: Snapshot? = nil) -> Message {
            var message = Message(type: .storageAppend)
            message.term = term
            message.snapshot = snapshot
            return message
        }
        func told(_ written: BackendSchedule<String>.Written?) -> UInt64? {
            guard case .tell(let message) = written else { return nil }
            return message.term
        }
        let sent = Snapshot(data: [], metadata: SnapshotMetadata(confState: ConfState(), index: 99, term: 7))
        try put(1, member)
        let commit = try begun(schedule.beginIfDue(member.core, now: member.now))
        schedule.noteWritten([order(1), order(2, snapshot: sent), order(3)])
        #expect(told(schedule.nextWritten()) == 1)
        #expect(schedule.nextWritten() == nil, "the old database is being written")
        try commit.job.run()
        _ = schedule.finishCommit(commit.job, of: member.core)
        guard case .restore(let snapshot) = schedule.nextWritten() else {
            Issue.record("the snapshot may be opened now")
            return
        }
        #expect(snapshot.metadata.index == 99)

        // Until it is open nothing behind it is told, and nothing is committed to the database that goes.
        schedule.noteWritten([order(4)])
        #expect(schedule.nextWritten() == nil)
        try put(30, member)
        schedule.await("later")
        #expect(schedule.beginIfDue(member.core, now: member.now + 1_000) == nil)
        #expect(schedule.deadline(of: member.core) == .max)
        #expect(schedule.finishRestoration().term == 2)
        #expect(told(schedule.nextWritten()) == 3)
        #expect(told(schedule.nextWritten()) == 4)
        #expect(schedule.nextWritten() == nil)
        let next = try begun(schedule.beginIfDue(member.core, now: member.now + 1_000))
        try next.job.run()
        #expect(schedule.finishCommit(next.job, of: member.core) == ["later"])
    }
}
