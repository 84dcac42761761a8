import RaftMessages
import Testing

@testable import Raft

@Suite("Linearizable reads")
struct ReadIndexTests {
    private func elected(_ count: UInt64, change: (inout Configuration) -> Void = { _ in }) throws -> TestCluster {
        let cluster = try TestCluster(count, change: change)
        cluster[1].node.campaign()
        try cluster.settle()
        return cluster
    }

    @Test("A leader answers once a quorum confirmed it, with the commit index of the moment that it was asked")
    func confirmed() throws {
        let cluster = try elected(3)
        cluster[1].node.readIndex([1])
        let committed = cluster[1].node.basicStatus.hardState.commit
        #expect(try cluster[1].work().map(\.type) == [.heartbeat, .heartbeat])
        #expect(cluster[1].reads.isEmpty)
        cluster[1].node.readIndex([2])
        try cluster.settle()
        #expect(cluster[1].reads.map(\.context) == [[1], [2]])
        #expect(cluster[1].reads.allSatisfy { $0.index == committed })
    }

    @Test("A follower's read goes to the leader and comes back; a context may be used twice")
    func forwarded() throws {
        let cluster = try elected(3)
        cluster[2].node.readIndex([7])
        cluster[3].node.readIndex([7])
        cluster[1].node.readIndex([7])
        try cluster.settle()
        for id in UInt64(1)...3 { #expect(cluster[id].reads.map(\.context) == [[7]]) }
    }

    @Test("A leader that was paused cannot answer a new read from answers to an old round, however often they come")
    func pausedLeader() throws {
        let cluster = try elected(3)
        cluster[1].node.readIndex([1])
        let heartbeats = try cluster[1].work()
        var answers: [Message] = []
        for heartbeat in heartbeats {
            try cluster[heartbeat.to].node.step(heartbeat)
            answers += try cluster[heartbeat.to].work()
        }
        #expect(answers.count == 2 && answers.allSatisfy { $0.type == .heartbeatResponse })
        // While 1 is cut off the others elect a leader and commit.
        cluster.cutOff = [1]
        try cluster.tick(20, [2, 3])
        let leader = cluster[2].node.basicStatus.softState.leader
        try cluster[leader].node.propose([[42]])
        try cluster.settle()
        // The same context, as a client might use that tries again.
        cluster[1].node.readIndex([1])
        for _ in 0..<2 { for answer in answers { try cluster[1].node.step(answer) } }
        try cluster.settle()
        #expect(cluster[1].reads.count == 1, "the old read is confirmed, the new one is not")
        #expect(cluster[1].node.basicStatus.softState.role == .leader)
    }

    @Test("Each round of heartbeats has a number of its own, and one that begins later confirms earlier reads too")
    func rounds() throws {
        let cluster = try elected(3)
        cluster[1].node.readIndex([1])
        let first = try cluster[1].work()
        cluster[1].node.tick()
        let second = try cluster[1].work()
        #expect(Set((first + second).map(\.context)).count == 2)
        let late = try #require(second.first)
        try cluster[late.to].node.step(late)
        for answer in try cluster[late.to].work() { try cluster[1].node.step(answer) }
        try cluster.settle()
        #expect(cluster[1].reads.map(\.context) == [[1]])
        cluster[1].node.tick()
        #expect(try cluster[1].work().allSatisfy(\.context.isEmpty))
    }

    @Test("Reads before the first commit of the term wait for it", arguments: [UInt64(1), 3])
    func beforeFirstCommit(count: UInt64) throws {
        let cluster = try TestCluster(count)
        let node = cluster[1].node
        node.campaign()
        // Vote by vote, without letting the new leader's entry be stored.
        while node.basicStatus.softState.role != .leader {
            let ready = node.ready()
            if let state = ready.hardState { cluster[1].storage.setHardState(state) }
            node.advance()
            for message in ready.messages {
                try cluster[message.to].node.step(message)
                for answer in try cluster[message.to].work() { try node.step(answer) }
            }
        }
        node.readIndex([5])
        #expect(node.replica.readStates.isEmpty && node.replica.leadership.reads.hasPostponed)
        try cluster.settle()
        let answer = try #require(cluster[1].reads.first)
        #expect(answer.context == [5] && answer.index == node.basicStatus.hardState.commit)
        #expect(cluster[1].reads.count == 1)
    }

    @Test("A leader that removed itself does not answer on its own")
    func removedLeader() throws {
        let cluster = try elected(2) { $0.checkQuorum = false }
        try cluster[1].node.proposeConfigurationChange(ConfigurationChange(type: .removeNode, nodeID: 1))
        try cluster.settle()
        #expect(cluster[1].node.basicStatus.softState.role == .leader)
        cluster.cutOff = [1]
        cluster[1].node.readIndex([1])
        try cluster.settle()
        #expect(cluster[1].reads.isEmpty)
    }

    @Test("A lease answers at once, and only by the leader's own clock")
    func lease() throws {
        let cluster = try elected(3) { $0.readIndexMode = .leaseBased }
        cluster.cutOff = [2, 3]
        cluster[1].node.readIndex([1])
        try cluster.settle()
        #expect(cluster[1].reads.map(\.context) == [[1]])
        try cluster.tick(25, [1])
        cluster[1].node.readIndex([2])
        try cluster.settle()
        #expect(cluster[1].reads.count == 1)
    }

    @Test("Reads beyond the limit are dropped, and none are kept over a change of leadership")
    func bounded() throws {
        let cluster = try elected(3) { $0.maximumPendingReads = 2 }
        cluster.cutOff = [1]
        for number in UInt8(1)...5 { cluster[1].node.readIndex([number]) }
        #expect(cluster[1].node.replica.leadership.reads.count == 2)
        try cluster.tick(30)
        #expect(cluster[1].node.replica.leadership.reads.count == 0)
        cluster.cutOff = []
        try cluster.tick(30)
        #expect(cluster[1].reads.isEmpty)
    }

    @Test("Contexts that no round had are ignored")
    func strangeContexts() {
        var reads = PendingReads()
        reads.add(ReadRequest(from: 0, context: [1]), index: 9)
        _ = reads.beginRound()
        let voters = JointQuorum(incoming: MajorityQuorum([1, 2]))
        for context: [UInt8] in [[], [1], Array(repeating: 0xff, count: 8), [0, 0, 0, 0, 0, 0, 0, 2]] {
            reads.acknowledge(2, context: context)
            #expect(reads.takeConfirmed(own: 1, voters: voters).isEmpty)
        }
        reads.acknowledge(2, context: [0, 0, 0, 0, 0, 0, 0, 1])
        #expect(reads.takeConfirmed(own: 1, voters: voters).map(\.index) == [9])
    }
}
