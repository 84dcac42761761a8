import RaftMessages
import Testing

@testable import Raft

@Suite("Configuration changes")
struct ConfigurationChangerTests {
    private let tracker = ProgressTracker(maximumInflightMessages: 10, maximumInflightBytes: .max)

    private func changer(_ state: ConfState) throws -> ConfigurationChanger {
        var changer = ConfigurationChanger(emptyLike: tracker, lastIndex: 10)
        try changer.restore(state)
        return changer
    }

    private func single(_ type: ConfigurationChangeType, _ id: UInt64) -> ConfigurationChangeSingle {
        ConfigurationChangeSingle(type: type, nodeID: id)
    }

    private func isWon(_ voters: JointQuorum, _ mask: Int) -> Bool {
        voters.voteResult { mask >> ($0 - 1) & 1 == 1 } == .won
    }

    @Test("Whatever is changed, the quorums before and after overlap, and the result can be restored from a snapshot")
    func randomChains() throws {
        var random = SplitMix64(seed: 3)
        let types: [ConfigurationChangeType] = [.addNode, .removeNode, .addLearnerNode, .updateNode]
        for _ in 0..<120 {
            var current = try changer(ConfState(voters: [1, 2, 3]))
            for _ in 0..<20 {
                let changes = (0..<Int.random(in: 0...3, using: &random)).map { _ in
                    single(types[Int.random(in: 0..<4, using: &random)], UInt64.random(in: 0...5, using: &random))
                }
                let transitions: [ConfigurationChangeTransition] = [.auto, .jointImplicit, .jointExplicit]
                let transition = transitions[Int.random(in: 0..<3, using: &random)]
                var next = current
                do throws(ConfigurationChangeError) {
                    try next.apply(ConfigurationChangeV2(transition: transition, changes: changes))
                } catch {
                    continue
                }
                let before = current.configuration.voters
                let after = next.configuration.voters
                let winning = (0..<32).filter { isWon(after, $0) }
                for mask in 0..<32 where isWon(before, mask) {
                    let disjoint = winning.first { $0 & mask == 0 }
                    #expect(disjoint == nil, "\(before) to \(after) by \(changes)")
                }
                let restored = try changer(next.configuration.confState)
                #expect(restored.configuration == next.configuration)
                #expect(Set(restored.progress.keys) == Set(next.progress.keys))
                current = next
            }
        }
    }

    @Test("Changes that contradict the configuration are refused")
    func refusals() throws {
        let plain = try changer(ConfState(voters: [1]))
        let joint = try changer(ConfState(voters: [1], votersOutgoing: [1, 2]))
        let empty = ConfigurationChanger(emptyLike: tracker, lastIndex: 10)
        let cases: [(ConfigurationChanger, ConfigurationChangeV2, ConfigurationChangeError)] = [
            (plain, ConfigurationChangeV2(), .notJoint),
            (plain, ConfigurationChangeV2(changes: [single(.removeNode, 1)]), .allVotersRemoved),
            (plain, ConfigurationChangeV2(changes: [single(.addLearnerNode, 1)]), .allVotersRemoved),
            (joint, ConfigurationChangeV2(changes: [single(.addNode, 3)]), .simpleChangeWhileJoint),
            (joint, ConfigurationChangeV2(transition: .jointExplicit), .alreadyJoint),
            (empty, ConfigurationChangeV2(transition: .jointImplicit), .noVotersToJoin),
        ]
        for (before, change, error) in cases {
            var changer = before
            #expect(throws: error) { try changer.apply(change) }
        }
        var several = plain
        #expect(throws: ConfigurationChangeError.severalVotersChanged) {
            try several.simple([single(.addNode, 2), single(.addNode, 3)])
        }
    }

    @Test("A voter that is demoted stays one of the outgoing half until the joint configuration ends")
    func demotion() throws {
        var changer = try changer(ConfState(voters: [1, 2, 3]))
        try changer.enterJoint(autoLeave: true, [single(.addLearnerNode, 2), single(.removeNode, 3)])
        #expect("\(changer.configuration)" == "voters=(1)&&(1 2 3) learners_next=(2) autoleave")
        #expect(changer.progress[2]?.isLearner == false && changer.progress[3] != nil)
        try changer.leaveJoint()
        #expect("\(changer.configuration)" == "voters=(1) learners=(2)")
        #expect(changer.progress[2]?.isLearner == true && changer.progress[3] == nil)
    }

    @Test("A new member is probed from the leader's last entry and counts as heard")
    func newcomer() throws {
        var changer = try changer(ConfState(voters: [1]))
        try changer.simple([single(.addNode, 2)])
        let progress = try #require(changer.progress[2])
        #expect(progress.next == 10 && progress.match == 0 && progress.recentlyActive && progress.state == .probe)
    }

    @Test("A configuration that contradicts itself is not restored")
    func contradictions() throws {
        let member = try TestMember(1, voters: [1, 2])
        let replica = member.node.replica
        #expect(replica.isRestorable(ConfState(voters: [1, 2], learners: [3])))
        #expect(!replica.isRestorable(ConfState(voters: [1, 2], learners: [2])))
        #expect(!replica.isRestorable(ConfState(learners: [2])))
        #expect(!replica.isRestorable(ConfState(voters: [1], learnersNext: [2])))
        #expect(!replica.isRestorable(ConfState(voters: [1, 0])))
    }
}
