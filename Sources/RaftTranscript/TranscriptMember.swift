import Raft
import RaftMessages

/// Storage whose snapshot is always the state machine's latest state.
final class TranscriptStorage: LogStorage {
    let log = MemoryLogStorage()
    /// The states that the state machine went through, from the one it started with.
    private(set) var history: [Snapshot]

    init(first: Snapshot) { history = [first] }

    var latest: Snapshot { history[history.count - 1] }

    /// Records the state after `entry`, which appends `update` to the state.
    func record(_ entry: Entry, update: [UInt8], confState: ConfState?) {
        let last = latest
        history.append(
            Snapshot(
                data: last.data + update,
                metadata: SnapshotMetadata(
                    confState: confState ?? last.metadata.confState, index: entry.index, term: entry.term)))
    }

    func initialState() -> (hardState: HardState, confState: ConfState) { log.initialState() }
    func entries(_ range: Range<UInt64>, maximumSize: UInt64) throws(LogStorageError) -> [Entry] {
        try log.entries(range, maximumSize: maximumSize)
    }
    func term(of index: UInt64) throws(LogStorageError) -> UInt64 { try log.term(of: index) }
    var firstIndex: UInt64 { log.firstIndex }
    var lastIndex: UInt64 { log.lastIndex }
    func snapshot() throws(LogStorageError) -> Snapshot { latest }
}

/// A member of the group that a transcript drives.
final class TranscriptMember {
    let id: UInt64
    let configuration: Configuration
    let node: RawNode
    let storage: TranscriptStorage
    /// What the append and apply threads have to do.
    var appendWork: [Message] = []
    var applyWork: [Message] = []

    init(_ configuration: Configuration, storage: TranscriptStorage) throws {
        id = configuration.id
        self.configuration = configuration
        self.storage = storage
        node = try RawNode(configuration, storage: storage)
    }

    func store(_ state: HardState, _ entries: [Entry], _ snapshot: Snapshot?) throws {
        if !state.isEmpty { storage.log.setHardState(state) }
        if let snapshot, !snapshot.isEmpty {
            guard entries.isEmpty else {
                throw TranscriptError("can't apply snapshot and entries at the same time")
            }
            try storage.log.applySnapshot(snapshot)
            return
        }
        storage.log.append(entries)
    }

    func apply(_ entries: [Entry]) throws {
        for entry in entries {
            switch entry.type {
            case .normal: storage.record(entry, update: entry.data, confState: nil)
            case .configurationChange:
                try apply(try ConfigurationChange(decoding: entry.data).asV2, entry)
            case .configurationChangeV2:
                try apply(try ConfigurationChangeV2(decoding: entry.data), entry)
            }
        }
    }

    private func apply(_ change: ConfigurationChangeV2, _ entry: Entry) throws {
        let state = try node.applyConfigurationChange(change)
        storage.record(entry, update: change.context, confState: state)
    }
}

/// Why a command failed, in the words of the transcript.
struct TranscriptError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
