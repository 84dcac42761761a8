import Configuration
import Testing

@testable import Member

/// When history is compacted without being asked, and how far.
@Suite struct AutoCompactorTests {
    private static let minute: Int64 = 60_000

    /// Looks each minute while one revision is made in each, and returns the minutes at which a compaction is due with
    /// the revision.
    private func compactions(
        _ mode: MemberConfiguration.AutoCompaction, minutes: Range<Int64>, isLeader: (Int64) -> Bool = { _ in true },
        revision: (Int64) -> Int64 = { $0 }
    ) -> [String] {
        var compactor = AutoCompactor(mode)
        return minutes.compactMap { minute in
            compactor.due(now: minute * Self.minute, revision: revision(minute), isLeader: isLeader(minute))
                .map { "\(minute):\($0)" }
        }
    }

    @Test func offCompactsNothing() {
        #expect(compactions(.off, minutes: 0..<10_000) == [])
    }

    @Test func theRevisionModeLooksEveryFiveMinutes() {
        #expect(compactions(.revision(count: 10), minutes: 0..<31) == ["15:5", "20:10", "25:15", "30:20"])
        // The same revision is not compacted twice.
        #expect(
            compactions(.revision(count: 10), minutes: 0..<60, revision: { min($0, 22) })
                == ["15:5", "20:10", "25:12"])
        #expect(compactions(.revision(count: 1000), minutes: 0..<1000) == [])
    }

    @Test func aPeriodUpToAnHourIsKeptAndCompactedOnceInAPeriod() {
        #expect(
            compactions(.periodic(milliseconds: 30 * Self.minute), minutes: 1..<125)
                == ["31:1", "61:31", "91:61", "121:91"])
    }

    @Test func aLongPeriodIsCompactedEveryHour() {
        let found = compactions(.periodic(milliseconds: 600 * Self.minute), minutes: 1..<900)
        #expect(found == ["601:1", "661:61", "721:121", "781:181", "841:241"])
    }

    @Test func onlyTheLeaderCompactsAndAFollowerIsReady() {
        let found = compactions(.periodic(milliseconds: 10 * Self.minute), minutes: 1..<60, isLeader: { $0 >= 25 })
        #expect(found == ["25:15", "35:25", "45:35", "55:45"])
        #expect(
            compactions(.revision(count: 10), minutes: 0..<31, isLeader: { $0 >= 18 }) == ["20:10", "25:15", "30:20"])
    }

    @Test func aStoreAtRestIsNotCompactedAgain() {
        let found = compactions(
            .periodic(milliseconds: 10 * Self.minute), minutes: 1..<100, revision: { min($0, 25) })
        #expect(found == ["11:1", "21:11", "31:21", "41:25"])
    }
}
