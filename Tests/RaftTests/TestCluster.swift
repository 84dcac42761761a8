import Raft
import RaftMessages

/// A member with its storage and what it applied, for tests that need no faults.
final class TestMember {
    let id: UInt64
    let storage: MemoryLogStorage
    var node: RawNode
    var applied: [[UInt8]] = []
    var reads: [ReadState] = []

    init(
        _ id: UInt64, voters: [UInt64], learners: [UInt64] = [], change: (inout Configuration) -> Void = { _ in }
    ) throws {
        self.id = id
        storage = MemoryLogStorage()
        let confState = ConfState(voters: voters, learners: learners)
        try storage.applySnapshot(Snapshot(metadata: SnapshotMetadata(confState: confState, index: 1, term: 1)))
        storage.setHardState(HardState(term: 1, vote: 0, commit: 1))
        var configuration = Configuration(id: id) { bound in Int(id) % bound }
        configuration.applied = 1
        change(&configuration)
        node = try RawNode(configuration, storage: storage)
    }

    /// Does all that is ready.
    /// - Returns: The messages for other members.
    func work() throws -> [Message] {
        var messages: [Message] = []
        while node.hasReady {
            let ready = node.ready()
            if let state = ready.hardState { storage.setHardState(state) }
            if let snapshot = ready.snapshot { try storage.applySnapshot(snapshot) }
            storage.append(ready.entries)
            messages += ready.messages
            reads += ready.readStates
            for entry in ready.committedEntries {
                switch entry.type {
                case .normal: if !entry.data.isEmpty { applied.append(entry.data) }
                case .configurationChange:
                    try node.applyConfigurationChange(ConfigurationChange(decoding: entry.data).asV2)
                case .configurationChangeV2:
                    try node.applyConfigurationChange(ConfigurationChangeV2(decoding: entry.data))
                }
            }
            node.advance()
        }
        return messages
    }
}

/// Members joined by a network that delivers at once, except between those that are cut off.
final class TestCluster {
    var members: [UInt64: TestMember] = [:]
    var cutOff: Set<UInt64> = []

    init(_ count: UInt64, change: (inout Configuration) -> Void = { _ in }) throws {
        let ids = Array(1...count)
        for id in ids { members[id] = try TestMember(id, voters: ids, change: change) }
    }

    subscript(id: UInt64) -> TestMember {
        guard let member = members[id] else { preconditionFailure("no member \(id)") }
        return member
    }

    /// Works and delivers until nothing is left to do.
    func settle() throws {
        var isBusy = true
        while isBusy {
            isBusy = false
            for id in members.keys.sorted() {
                for message in try self[id].work() {
                    isBusy = true
                    guard let receiver = members[message.to] else { continue }
                    if cutOff.contains(message.from) || cutOff.contains(message.to) { continue }
                    try? receiver.node.step(message)
                }
            }
        }
    }

    func tick(_ count: Int, _ ids: [UInt64]? = nil) throws {
        for _ in 0..<count {
            for id in ids ?? members.keys.sorted() { self[id].node.tick() }
            try settle()
        }
    }
}
