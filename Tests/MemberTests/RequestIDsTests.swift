import Testing

@testable import Member

/// Ids of requests: the member, the time at which the run began, a count.
@Suite struct RequestIDsTests {
    struct Case: Sendable {
        var member: UInt64
        var milliseconds: UInt64
        var first: UInt64
    }

    @Test(arguments: [
        Case(member: 1, milliseconds: 0, first: 0x0001_0000_0000_0002),
        // Sixteen bits of the member and forty of the time find room.
        Case(member: 0xdead_beef, milliseconds: 0x12_3456_789a, first: 0xbeef_1234_5678_9a02),
        Case(member: 0x17fff, milliseconds: 0xab00_ffff_ffff_ff, first: 0x7fff_ffff_ffff_ff02),
        Case(member: 0xffff, milliseconds: .max, first: 0xffff_ffff_ffff_ff02),
    ])
    func idsFollowOneAnother(_ given: Case) {
        var ids = RequestIDs(memberID: given.member, startedAt: given.milliseconds, series: .clients)
        #expect(ids.next() == given.first)
        #expect(ids.next() == given.first + RequestIDs.stride)
        #expect(ids.current == given.first + RequestIDs.stride)
    }

    @Test func noTwoSeriesRunsOrMembersShareAnID() {
        var all = [
            RequestIDs(memberID: 1, startedAt: 1000, series: .clients),
            RequestIDs(memberID: 1, startedAt: 1000, series: .member),
            RequestIDs(memberID: 1, startedAt: 1001, series: .clients),
            RequestIDs(memberID: 1, startedAt: 1001, series: .member),
            RequestIDs(memberID: 2, startedAt: 1000, series: .clients),
        ]
        var seen: Set<UInt64> = []
        for index in all.indices { for _ in 0..<100 { #expect(seen.insert(all[index].next()).inserted) } }
    }
}
