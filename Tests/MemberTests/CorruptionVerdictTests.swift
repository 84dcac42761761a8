import MVCC
import Testing

@testable import Member

/// Who is found wrong when members compare their hashes. The leader is member 1.
@Suite struct CorruptionVerdictTests {
    private func own(
        _ hash: UInt32, at revision: Int64 = 10, compacted: Int64 = 5, current: Int64 = 10
    ) -> RevisionHash {
        RevisionHash(hash: hash, revision: revision, compactRevision: compacted, currentRevision: current)
    }

    private func peer(_ id: UInt64, _ hash: UInt32, compacted: Int64 = 5, current: Int64 = 10) -> MemberHash {
        MemberHash(memberID: id, hash: hash, compactRevision: compacted, currentRevision: current)
    }

    @Test func aStartingMemberComparesOnlyWhatStartsFromOneCompaction() {
        let peers = [peer(2, 7), peer(3, 8), peer(4, 8, compacted: 6)]
        #expect(CorruptionVerdict.differing(from: own(7), peers) == [3])
        #expect(CorruptionVerdict.differing(from: own(7), []) == [])
    }

    @Test func theLeaderComparesAtOneRevision() {
        let cases: [(after: RevisionHash, peers: [MemberHash], wrong: UInt64?)] = [
            (own(7), [peer(2, 7), peer(3, 7)], nil),
            (own(7), [peer(2, 7), peer(3, 9)], 3),
            // One that has compacted less or not yet is not compared; one ahead of the leader is wrong.
            (own(8, at: 12, current: 12), [peer(2, 9, compacted: 4), peer(3, 7, current: 12)], nil),
            (own(8, at: 12, current: 12), [peer(2, 7, current: 13)], 2),
            (own(7), [peer(2, 7, compacted: 6)], 2),
            (own(8, compacted: 6), [peer(2, 9, compacted: 6)], nil),
            // A leader whose own data changes under it.
            (own(8), [peer(2, 7)], 1),
        ]
        for (after, peers, wrong) in cases {
            #expect(CorruptionVerdict.wrongMember(leader: 1, before: own(7), after: after, peers) == wrong)
        }
    }

    @Test func compactionsAreDecidedByTheMajority() {
        let cases: [(peers: [MemberHash?], expected: CorruptionVerdict.Compaction)] = [
            ([peer(2, 7), peer(3, 7)], .equal),
            ([], .equal),
            ([peer(2, 7), nil], .incomplete),
            ([peer(2, 7), peer(3, 7, compacted: 4)], .incomplete),
            ([nil, nil], .incomplete),
            ([peer(2, 7), peer(3, 8)], .corrupt([3])),
            ([peer(2, 8), peer(3, 8)], .corrupt([1])),
            ([peer(2, 8), nil], .undecided),
            ([peer(2, 8)], .undecided),
            ([peer(2, 8), peer(3, 9)], .undecided),
            ([peer(2, 7), peer(3, 7), peer(4, 8), peer(5, 9)], .corrupt([4, 5])),
        ]
        for (peers, expected) in cases {
            #expect(CorruptionVerdict.compaction(leader: 1, own(7), peers: peers) == expected)
        }
    }
}
