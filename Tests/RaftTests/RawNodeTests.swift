import RaftMessages
import Testing

@testable import Raft

@Suite("A member and its owner")
struct RawNodeTests {
    private func leader(change: (inout Configuration) -> Void = { _ in }) throws -> TestMember {
        let member = try TestMember(1, voters: [1], change: change)
        member.node.campaign()
        _ = try member.work()
        return member
    }

    @Test("Settings that contradict themselves are refused")
    func settings() {
        let cases: [((inout Configuration) -> Void, ConfigurationError)] = [
            ({ $0.id = 0 }, .noID),
            ({ $0.id = LocalThread.apply }, .reservedID),
            ({ $0.heartbeatTicks = 0 }, .heartbeatTicksNotPositive),
            ({ $0.electionTicks = 1 }, .electionTicksTooFew),
            ({ $0.maximumInflightMessages = 0 }, .inflightMessagesNotPositive),
            ({ $0.maximumInflightBytes = 1 }, .inflightBytesBelowMessageSize),
            (
                {
                    $0.readIndexMode = .leaseBased
                    $0.checkQuorum = false
                }, .leaseWithoutCheckQuorum
            ),
        ]
        for (change, error) in cases {
            var configuration = Configuration(id: 1) { _ in 0 }
            change(&configuration)
            #expect(throws: error) { try RawNode(configuration, storage: MemoryLogStorage()) }
        }
    }

    @Test("Proposals of one call are refused together when they exceed the limit on uncommitted bytes")
    func uncommittedLimit() throws {
        let member = try leader { $0.maximumUncommittedSize = 10 }
        // With nothing uncommitted any size is taken.
        try member.node.propose([[UInt8](repeating: 1, count: 30)])
        #expect(throws: StepError.proposalDropped(.uncommittedSizeLimit)) { try member.node.propose([[1], [2]]) }
        _ = try member.work()
        try member.node.propose([[1, 2, 3], [4, 5, 6]])
        #expect(throws: StepError.proposalDropped(.uncommittedSizeLimit)) {
            try member.node.propose([[1, 2, 3, 4, 5]])
        }
        try member.node.propose([[]])
        _ = try member.work()
        #expect(member.applied == [[UInt8](repeating: 1, count: 30), [1, 2, 3], [4, 5, 6]])
    }

    @Test("A batch is one append message to each follower, cut by the message size")
    func batches() throws {
        let cluster = try TestCluster(2) { $0.maximumMessageSize = 1_000 }
        cluster[1].node.campaign()
        try cluster.settle()
        try cluster[1].node.propose((0..<10).map { [$0] })
        let ready = cluster[1].node.ready()
        #expect(ready.messages.map(\.entries.count) == [10])
        cluster[1].storage.append(ready.entries)
        cluster[1].node.advance()
        try cluster[1].node.propose((0..<5).map { _ in [UInt8](repeating: 7, count: 400) })
        #expect(cluster[1].node.ready().messages.map(\.entries.count) == [2])
    }

    @Test("What a leader has not sent is not committed, whoever says to have it")
    func acknowledgementsBeyondTheLog() throws {
        let cluster = try TestCluster(3)
        cluster[1].node.campaign()
        try cluster.settle()
        let last = cluster[1].node.basicStatus.hardState.commit
        for member in 2...3 as ClosedRange<UInt64> {
            try cluster[1].node.step(
                Message(type: .appendResponse, to: 1, from: member, term: 1, index: last + 1000))
        }
        try cluster[1].node.propose([[1]])
        try cluster.settle()
        #expect(cluster[1].node.basicStatus.hardState.commit == last + 1)
    }

    @Test("A change that comes too early is an empty entry before the one that follows it")
    func droppedChange() throws {
        let cluster = try TestCluster(2)
        cluster[1].node.campaign()
        try cluster.settle()
        for id in [7, 8] as [UInt64] {
            try cluster[1].node.proposeConfigurationChange(
                ConfigurationChange(type: .addLearnerNode, nodeID: id), followedBy: [9])
        }
        let entries = cluster[1].node.ready().entries
        #expect(entries.map(\.type) == [.configurationChange, .normal, .normal, .normal])
        #expect(entries.map(\.data.count).dropFirst() == [1, 0, 1])
    }

    @Test("Messages that only a member itself may make are refused from others, and answers from strangers")
    func strangers() throws {
        let member = try leader()
        for type in MessageType.allCases where type.isLocal {
            #expect(throws: StepError.localMessage) { try member.node.step(Message(type: type, from: 2)) }
        }
        #expect(throws: StepError.unknownPeer) {
            try member.node.step(Message(type: .appendResponse, from: 9, term: 2, index: 3))
        }
    }

    @Test("Malformed messages of other members change nothing")
    func malformed() throws {
        let member = try TestMember(1, voters: [1, 2, 3])
        let node = member.node
        let gap = [Entry(term: 2, index: 2), Entry(term: 2, index: 4)]
        try node.step(Message(type: .append, from: 2, term: 2, logTerm: 1, index: 1, entries: gap, commit: 4))
        #expect(node.basicStatus.lastIndex == 1)
        for confState in [ConfState(voters: [1, 2], learners: [2]), ConfState(voters: [2]), ConfState(learners: [1])] {
            let metadata = SnapshotMetadata(confState: confState, index: 9, term: 2)
            try node.step(Message(type: .snapshot, from: 2, term: 2, snapshot: Snapshot(metadata: metadata)))
        }
        try node.step(Message(type: .snapshot, from: 2, term: 2))
        try node.step(Message(type: .readIndexResponse, from: 2, term: 2, index: 1))
        #expect(node.basicStatus.lastIndex == 1 && node.replica.readStates.isEmpty)
        #expect(node.status.configuration.voters.ids == [1, 2, 3])
        let leader = try leader()
        try leader.node.step(Message(type: .readIndex, from: 2))
        let change = Entry(type: .configurationChange, data: [0xff])
        #expect(throws: StepError.proposalDropped(.malformedConfigurationChange)) {
            try leader.node.step(Message(type: .propose, from: 2, entries: [change]))
        }
        #expect(try leader.work().isEmpty)
    }

    @Test("Members that start with the same list form a group")
    func bootstrap() throws {
        var nodes: [(node: RawNode, storage: MemoryLogStorage)] = []
        for id in UInt64(1)...3 {
            let storage = MemoryLogStorage()
            let node = try RawNode(Configuration(id: id) { _ in 0 }, storage: storage)
            node.bootstrap((1...3).map { BootstrapMember(id: $0, context: [UInt8($0)]) })
            nodes.append((node, storage))
        }
        for (node, storage) in nodes {
            let ready = node.ready()
            #expect(ready.mustSync && ready.hardState == HardState(term: 1, vote: 0, commit: 3))
            #expect(ready.entries == ready.committedEntries && ready.entries.count == 3)
            storage.append(ready.entries)
            for entry in ready.committedEntries {
                let change = try ConfigurationChange(decoding: entry.data)
                #expect(change.context == [UInt8(change.nodeID)])
                #expect(try node.applyConfigurationChange(change.asV2).voters == [1, 2, 3])
            }
            node.advance()
            #expect(!node.hasReady)
        }
    }

    @Test("A restart after a crash that lost the unsynced commit index knows at least what was applied")
    func restart() throws {
        let member = try leader()
        try member.node.propose([[1], [2], [3]])
        _ = try member.work()
        let last = member.storage.lastIndex
        var state = member.storage.currentHardState
        #expect(state.commit == last)
        state.commit = 1
        member.storage.setHardState(state)
        var configuration = Configuration(id: 1) { _ in 0 }
        configuration.applied = last - 1
        let node = try RawNode(configuration, storage: member.storage)
        #expect(node.basicStatus.hardState == HardState(term: state.term, vote: 1, commit: last - 1))
        #expect(node.basicStatus.applied == last - 1 && !node.hasReady)
        // A snapshot says as much.
        try member.storage.createSnapshot(at: last, confState: ConfState(voters: [1]), data: [])
        try member.storage.compact(to: last)
        let again = try RawNode(Configuration(id: 1) { _ in 0 }, storage: member.storage)
        #expect(again.basicStatus.hardState.commit == last)
    }

    @Test("A change that contradicts the configuration is refused where it is applied, and leaves it as it was")
    func refusedChange() throws {
        let member = try leader()
        #expect(throws: ConfigurationChangeError.allVotersRemoved) {
            try member.node.applyConfigurationChange(
                ConfigurationChange(type: .removeNode, nodeID: 1).asV2)
        }
        #expect(member.node.status.configuration.voters.ids == [1])
        // A change that the owner refuses is applied with no node.
        #expect(try member.node.applyConfigurationChange(ConfigurationChange(nodeID: 0).asV2).voters == [1])
    }

    @Test("Election timeouts are spread by the numbers that the owner gives, anew at each attempt")
    func timeouts() throws {
        var numbers = [0, 3, 9, 1, 7]
        let member = try TestMember(
            1, voters: [1, 2],
            change: { settings in
                settings.preVote = false
                settings.randomNumber = { bound in
                    #expect(bound == 10)
                    return numbers.isEmpty ? 0 : numbers.removeFirst()
                }
            })
        var waits: [Int] = []
        var wait = 0
        while waits.count < 3 {
            let before = member.node.basicStatus.hardState.term
            member.node.tick()
            wait += 1
            if member.node.basicStatus.hardState.term > before {
                waits.append(wait)
                wait = 0
            }
        }
        #expect(waits == [10, 13, 19])
    }

    @Test("A status shows members' progress on the leader only")
    func status() throws {
        let cluster = try TestCluster(3)
        cluster[1].node.campaign()
        try cluster.settle()
        #expect(cluster[1].node.status.progress.keys.sorted() == [1, 2, 3])
        #expect(cluster[2].node.status.progress.isEmpty)
        let progress = try #require(cluster[1].node.status.progress[2])
        #expect(progress.state == .replicate && progress.match == cluster[1].node.basicStatus.lastIndex)
    }
}
