import Disk
import RaftMessages
import WireFormat

/// What a log holds behind a snapshot.
public struct LogContents: Equatable, Sendable {
    /// The bytes at the head of every segment (etcd: node and cluster id).
    public var metadata: [UInt8] = []
    /// The last hard state.
    public var hardState = HardState()
    /// The entries behind the snapshot, without gaps; those above the hard state's commit may yet be overwritten.
    public var entries: [Entry] = []
    /// What the reading stopped at, in a reading that tolerates a torn tail.
    public var tornTail: WALError?

    /// The given contents; without arguments, those of an empty log.
    public init(
        metadata: [UInt8] = [], hardState: HardState = HardState(), entries: [Entry] = [], tornTail: WALError? = nil
    ) {
        self.metadata = metadata
        self.hardState = hardState
        self.entries = entries
        self.tornTail = tornTail
    }
}

/// Gathers records into ``LogContents``.
struct LogCollector {
    let start: WALSnapshot
    private(set) var contents = LogContents()
    /// The index of the last entry, whether kept or not.
    private(set) var lastIndex: UInt64 = 0
    private(set) var metStart = false
    /// The term of the entry at the start, as far as the log has it.
    private var termAtStart: UInt64?
    private var metMetadata = false

    init(start: WALSnapshot) {
        self.start = start
    }

    /// Takes `record`, which was read from `path`.
    mutating func take(_ record: Record, path: String) throws(WALError) {
        switch record.type {
        case .entry:
            try take(record.decoded(from: path) { bytes throws(WireError) in try Entry(decoding: bytes) }, record, path)
        case .state:
            contents.hardState = try record.decoded(from: path) { bytes throws(WireError) in
                try HardState(decoding: bytes)
            }
        case .metadata: try takeMetadata(record, path)
        case .snapshot:
            let snapshot = try record.decoded(from: path) { bytes throws(WireError) in
                try WALSnapshot(decoding: bytes)
            }
            try take(snapshot, record, path)
        case .checksum: break
        }
    }

    private mutating func take(_ entry: Entry, _ record: Record, _ path: String) throws(WALError) {
        lastIndex = entry.index
        guard entry.index > start.index else {
            // It replaces what a former leader had put there, and all that followed it.
            termAtStart = entry.index == start.index ? entry.term : nil
            contents.entries.removeAll()
            return
        }
        let place = entry.index - start.index - 1
        guard place <= UInt64(contents.entries.count) else {
            let expected = start.index &+ UInt64(contents.entries.count) &+ 1
            throw .corrupt(
                file: path, offset: record.offset, .entryGap(expected: expected, found: entry.index))
        }
        // A later entry at the same index replaces what a former leader had put there, and all that followed it.
        contents.entries.removeSubrange(Int(place)...)
        contents.entries.append(entry)
    }

    private mutating func takeMetadata(_ record: Record, _ path: String) throws(WALError) {
        let metadata = [UInt8](record.data)
        guard !metMetadata || metadata == contents.metadata else {
            throw .corrupt(file: path, offset: record.offset, .metadataConflict)
        }
        metMetadata = true
        contents.metadata = metadata
    }

    private mutating func take(_ snapshot: WALSnapshot, _ record: Record, _ path: String) throws(WALError) {
        lastIndex = max(lastIndex, snapshot.index)
        guard snapshot.index == start.index else { return }
        guard snapshot.term == start.term else {
            throw .snapshotMismatch(file: path, offset: record.offset, wanted: start, found: snapshot)
        }
        // A member's own snapshot stands on the entry that it covers last. When there was another one, a leader's snapshot
        // took the place of the log that this one follows in, and what was written before is of no leader's log.
        if let termAtStart, termAtStart != start.term { contents.entries.removeAll() }
        metStart = true
    }

    /// Adds `error` to the contents when it is a torn tail, and throws it otherwise.
    mutating func tolerateTornTail(_ error: WALError) throws(WALError) {
        guard case .torn = error else { throw error }
        contents.tornTail = error
    }
}
