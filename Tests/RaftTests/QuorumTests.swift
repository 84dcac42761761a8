import Raft
import Testing

@Suite("Quorums against their definitions")
struct QuorumTests {
    private func randomQuorum(_ random: inout SplitMix64) -> MajorityQuorum {
        MajorityQuorum((UInt64(1)...7).filter { _ in Bool.random(using: &random) })
    }

    private func randomJoint(_ random: inout SplitMix64) -> JointQuorum {
        let outgoing = Bool.random(using: &random) ? randomQuorum(&random) : MajorityQuorum()
        return JointQuorum(incoming: randomQuorum(&random), outgoing: outgoing)
    }

    private func hasMajority(_ quorum: MajorityQuorum, _ agrees: (UInt64) -> Bool) -> Bool {
        quorum.isEmpty || quorum.ids.filter(agrees).count * 2 > quorum.count
    }

    @Test("The committed index is the highest that majorities of both halves reached")
    func committedIndex() {
        var random = SplitMix64(seed: 1)
        for _ in 0..<5_000 {
            let quorum = randomJoint(&random)
            var acknowledged: [UInt64: UInt64] = [:]
            for id in UInt64(1)...7 where Bool.random(using: &random) {
                acknowledged[id] = UInt64.random(in: 0...6, using: &random)
            }
            let highest = (UInt64(0)...7).last { index in
                hasMajority(quorum.incoming) { acknowledged[$0] ?? 0 >= index }
                    && hasMajority(quorum.outgoing) { acknowledged[$0] ?? 0 >= index }
            }
            let expected = quorum.ids.isEmpty ? UInt64.max : highest
            #expect(quorum.committedIndex { acknowledged[$0] ?? 0 } == expected, "\(quorum) \(acknowledged)")
        }
    }

    @Test("A vote is won when it is, lost when no missing vote could win it, and pending else")
    func voteResult() {
        var random = SplitMix64(seed: 2)
        for _ in 0..<3_000 {
            let quorum = randomJoint(&random)
            var votes: [UInt64: Bool] = [:]
            for id in UInt64(1)...7 where UInt64.random(in: 0..<3, using: &random) > 0 {
                votes[id] = Bool.random(using: &random)
            }
            func isWon(_ missing: Bool) -> Bool {
                hasMajority(quorum.incoming) { votes[$0] ?? missing }
                    && hasMajority(quorum.outgoing) { votes[$0] ?? missing }
            }
            let expected: VoteResult = isWon(false) ? .won : isWon(true) ? .pending : .lost
            #expect(quorum.voteResult { votes[$0] } == expected, "\(quorum) \(votes)")
        }
    }

    @Test("Any two majorities of one set have a member in common")
    func overlap() {
        let ids: [UInt64] = [1, 2, 3, 4, 5]
        let quorum = MajorityQuorum(ids)
        let winners = (0..<32).filter { mask in quorum.voteResult { mask >> ($0 - 1) & 1 == 1 } == .won }
        for first in winners { for second in winners { #expect(first & second != 0) } }
        #expect(winners.count == 16)
    }

    @Test("Quorums are written as etcd writes them")
    func description() {
        #expect("\(MajorityQuorum())" == "()")
        #expect("\(MajorityQuorum([3, 1, 2, 2]))" == "(1 2 3)")
        #expect("\(JointQuorum(incoming: MajorityQuorum([1])))" == "(1)")
        #expect("\(JointQuorum(incoming: MajorityQuorum([1]), outgoing: MajorityQuorum([2, 3])))" == "(1)&&(2 3)")
    }
}
