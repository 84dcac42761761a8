import Glibc
import Testing
import WriteAheadLog

/// A member whose power goes at random moments loses nothing that it acknowledged.
@Suite struct CrashTests {
    /// Seeds per run of the suite; `MEMBER_CRASH_SEEDS` asks for more.
    private static let seeds: UInt64 = getenv("MEMBER_CRASH_SEEDS").flatMap { UInt64(String(cString: $0)) } ?? 120

    @Test func nothingAcknowledgedIsLost() throws {
        var crashes = 0
        for seed in 1...Self.seeds {
            var run = try CrashRun(seed: seed)
            do { try run.run(actions: 120) } catch { Issue.record("seed \(seed): \(error)") }
            crashes += run.crashes
        }
        #expect(crashes > Int(Self.seeds))
    }

    @Test func theSameSeedGivesTheSameRun() throws {
        for seed in 1...5 as ClosedRange<UInt64> {
            var first = try CrashRun(seed: seed)
            var second = try CrashRun(seed: seed)
            try first.run(actions: 120)
            try second.run(actions: 120)
            #expect(first.digest == second.digest)
        }
    }
}

/// Removes old files as the server does now and then.
enum WriteAheadLogPurge {
    static func run(_ member: SimulatedMember, keeping kept: Int) throws {
        try WriteAheadLog.purge(disk: member.disk, directory: member.opened.paths.wal, keeping: kept)
        try member.opened.snapshots.purge()
    }
}
