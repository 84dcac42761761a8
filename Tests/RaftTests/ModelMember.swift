import RaftMessages

@testable import Raft

/// A digest of a state machine's whole history, so that equal digests mean equal histories.
struct HistoryDigest: Equatable {
    var value: UInt64 = 0

    /// The digest after `entry` was applied.
    func after(_ entry: Entry) -> HistoryDigest {
        var hash = value ^ 0xcbf2_9ce4_8422_2325
        for word in [entry.term, entry.index, entry.type.rawValue] + entry.data.map(UInt64.init) {
            hash = (hash ^ word) &* 0x100_0000_01b3
            hash ^= hash >> 29
        }
        return HistoryDigest(value: hash)
    }

    var bytes: [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    init() {}
    private init(value: UInt64) { self.value = value }
    init(_ bytes: [UInt8]) { value = bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}

/// A member of the model: its node, what is on its disk, and what was handed to its disk and state machine.
final class ModelMember {
    let id: UInt64
    let configuration: Configuration
    let storage = MemoryLogStorage()
    private(set) var node: RawNode
    /// What a crash leaves of the hard state; the rest was written without a sync.
    private var syncedState = HardState()
    private(set) var digest = HistoryDigest()
    private(set) var appliedIndex: UInt64 = 0
    private var confState = ConfState()
    /// Messages of the member to itself, in order and never lost but in a crash.
    var innerMessages: [Message] = []
    var appendWork: [Message] = []
    var applyWork: [Message] = []

    init(_ configuration: Configuration, first: Snapshot?) throws {
        id = configuration.id
        var configuration = configuration
        if let first {
            try storage.applySnapshot(first)
            confState = first.metadata.confState
            appliedIndex = first.metadata.index
            digest = HistoryDigest(first.data)
            configuration.applied = first.metadata.index
            syncedState = HardState(term: first.metadata.term, vote: 0, commit: first.metadata.index)
            storage.setHardState(syncedState)
        }
        self.configuration = configuration
        node = try RawNode(configuration, storage: storage)
    }

    var log: Log { node.replica.log }

    /// Loses everything but what was synced, and starts again.
    func crash() throws {
        innerMessages = []
        appendWork = []
        applyWork = []
        storage.setHardState(syncedState)
        let snapshot = try storage.snapshot()
        appliedIndex = snapshot.metadata.index
        confState = snapshot.metadata.confState
        digest = HistoryDigest(snapshot.data)
        var configuration = configuration
        configuration.applied = appliedIndex
        node = try RawNode(configuration, storage: storage)
    }

    /// Writes what a ready or an append message asks for; `sync` is what it requires at least.
    func store(_ state: HardState?, _ entries: [Entry], _ snapshot: Snapshot?, sync: Bool) throws {
        if let state { storage.setHardState(state) }
        if let snapshot {
            try storage.applySnapshot(snapshot)
            // The state machine takes over a snapshot as soon as it is stored.
            appliedIndex = snapshot.metadata.index
            confState = snapshot.metadata.confState
            digest = HistoryDigest(snapshot.data)
        }
        storage.append(entries)
        if sync || snapshot != nil { syncedState = storage.currentHardState }
    }

    /// Applies `entry`. A change that contradicts the configuration is without effect, on every member alike.
    func apply(_ entry: Entry) throws {
        switch entry.type {
        case .normal: break
        case .configurationChange:
            try change(ConfigurationChange(decoding: entry.data).asV2)
        case .configurationChangeV2:
            try change(ConfigurationChangeV2(decoding: entry.data))
        }
        digest = digest.after(entry)
        appliedIndex = entry.index
    }

    private func change(_ change: ConfigurationChangeV2) {
        if let state = try? node.applyConfigurationChange(change) { confState = state }
    }

    /// Snapshots the state machine and drops the log before it, but for `kept` entries.
    func compact(keeping kept: UInt64) throws {
        guard try appliedIndex > storage.snapshot().metadata.index else { return }
        try storage.createSnapshot(at: appliedIndex, confState: confState, data: digest.bytes)
        syncedState = storage.currentHardState
        if appliedIndex > kept && appliedIndex - kept >= storage.firstIndex {
            try storage.compact(to: appliedIndex - kept)
        }
    }
}
