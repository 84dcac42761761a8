import Disk
import RaftMessages
import Synchronization

/// etcd's write-ahead log: what a member must not forget, in preallocated segments of one directory.
///
/// One thread at a time owns a log and appends to it. ``synchronize()`` and ``prepareNextSegment()`` may be called from
/// other threads meanwhile. What was appended is durable when a ``synchronize()`` that began afterwards has returned.
/// After a refused write or synchronisation the log refuses all else: what is on the disk is then unknown, and only a
/// new opening finds out.
public final class WriteAheadLog: @unchecked Sendable {
    /// How a log is kept.
    public struct Options: Sendable {
        /// The size at which a segment is full, in bytes; etcd's is 64 million. A batch may exceed it.
        public var segmentSize = 64 * 1000 * 1000
        /// Whether writes are made durable at all; only tests and throw-away members do without (etcd's
        /// `unsafe-no-fsync`).
        public var synchronizes = true

        /// etcd's defaults.
        public init() {}
    }

    /// A segment that this log has open and locked.
    struct Segment {
        var name: SegmentName
        var path: String
        var file: any DiskFile
    }

    /// What ``synchronize()`` shares with the owner.
    struct Shared {
        /// The file that is appended to; nil when the log is closed.
        var tail: (any DiskFile)?
        var failure: DiskError?
    }

    /// The directory that the log is in.
    public var path: String { directory.path }
    /// The bytes at the head of every segment.
    public let metadata: [UInt8]
    /// The last hard state that was appended.
    public private(set) var hardState: HardState
    /// The index of the last entry or snapshot that was appended.
    public private(set) var lastIndex: UInt64

    /// The segment that is appended to, as a path; it changes when the log moves to a new segment. Empty when closed.
    public var tailPath: String { segments.last?.path ?? "" }

    let directory: LogDirectory
    let options: Options
    let shared: Mutex<Shared>
    let preparation: SegmentPreparation
    /// Held during a synchronisation.
    private let synchronizing = Mutex(())
    var segments: [Segment]
    /// The bytes that were written since the log was opened.
    public private(set) var writtenBytes = 0
    /// Where the next record goes in the last segment.
    private var offset: Int
    private var encoder: RecordEncoder

    /// A log that goes on at `offset` of the last of `segments`.
    init(
        directory: LogDirectory, options: Options, segments: [Segment], offset: Int, crc: UInt32, metadata: [UInt8],
        hardState: HardState, lastIndex: UInt64
    ) {
        precondition(!segments.isEmpty, "a log has at least one segment")
        self.directory = directory
        self.options = options
        self.segments = segments
        self.offset = offset
        self.metadata = metadata
        self.hardState = hardState
        self.lastIndex = lastIndex
        encoder = RecordEncoder(crc: crc)
        shared = Mutex(Shared(tail: segments.last?.file))
        preparation = SegmentPreparation(directory: directory, size: options.segmentSize)
    }

    /// Appends `entries`, then `hardState` unless it is empty, and says whether they must be synchronised before the
    /// member speaks: when there are entries, or the term or the vote changed.
    @discardableResult
    public func append(_ entries: [Entry], hardState state: HardState = HardState()) throws(WALError) -> Bool {
        if entries.isEmpty && state.isEmpty { return false }
        if offset >= options.segmentSize { try cut() }
        let mustSynchronize = !entries.isEmpty || state.term != hardState.term || state.vote != hardState.vote
        for entry in entries {
            encoder.append(entry)
            if encoder.count >= Self.largestWrite { try flush() }
        }
        if !state.isEmpty { encoder.append(state) }
        try flush()
        if let last = entries.last { lastIndex = last.index }
        if !state.isEmpty { hardState = state }
        return mustSynchronize
    }

    /// A batch beyond this is written in parts, so that the buffer stays bounded.
    private static let largestWrite = 4 << 20

    /// Appends the record of a snapshot and makes it durable.
    public func saveSnapshot(_ snapshot: WALSnapshot) throws(WALError) {
        encoder.append(.snapshot, snapshot.encoded())
        try flush()
        lastIndex = max(lastIndex, snapshot.index)
        try synchronize()
    }

    /// Returns when all that was appended before the call is on stable storage. Any thread may call this.
    public func synchronize() throws(WALError) {
        // Appending goes on meanwhile: it waits for no lock that is held here. When the log moves to another segment
        // meanwhile, the owner has synchronised the earlier one itself.
        try synchronize(try usableTail())
    }

    /// Appends and, where it must be, synchronises.
    public func save(_ entries: [Entry], hardState: HardState = HardState()) throws(WALError) {
        if try append(entries, hardState: hardState) { try synchronize() }
    }

    /// Makes the next segment's file in advance, so that moving to it costs the owner little. Any thread may call
    /// this; it does nothing when the file is there.
    public func prepareNextSegment() throws(WALError) {
        _ = try usableTail()
        try preparation.prepare()
    }

    /// Synchronises and closes the log, and drops its locks.
    public func close() throws(WALError) {
        defer {
            shared.withLock { $0.tail = nil }
            for segment in segments { segment.file.close() }
            segments.removeAll()
            preparation.close()
        }
        if shared.withLock({ $0.tail != nil && $0.failure == nil }) { try synchronize() }
    }

    // MARK: Writing

    private func usableTail() throws(WALError) -> any DiskFile {
        let (tail, failure) = shared.withLock { ($0.tail, $0.failure) }
        if let failure { throw .failedBefore(failure) }
        guard let tail else { throw .closed(directory: path) }
        return tail
    }

    /// Runs a disk call whose failure leaves the disk's content unknown.
    private func decisively<Result>(_ call: () throws(DiskError) -> Result) throws(WALError) -> Result {
        do {
            return try call()
        } catch {
            shared.withLock { if $0.failure == nil { $0.failure = error } }
            throw .disk(error)
        }
    }

    /// Synchronises `file`, one call at a time: the system reports a failed write-back to one caller alone, and whoever
    /// comes second must learn of it from the first.
    private func synchronize(_ file: any DiskFile) throws(WALError) {
        guard options.synchronizes else { return }
        try synchronizing.withLock { _ throws(WALError) in
            if let failure = shared.withLock({ $0.failure }) { throw .failedBefore(failure) }
            try decisively { () throws(DiskError) in try file.synchronize() }
        }
    }

    /// Writes what the encoder holds.
    private func flush() throws(WALError) {
        defer { encoder.clear() }
        let tail = try usableTail()
        let bytes = encoder.bytes
        let target = offset
        try decisively { () throws(DiskError) in try tail.write(bytes, at: target) }
        offset += bytes.count
        writtenBytes += bytes.count
    }

    /// Moves to a new segment. The old one is on stable storage before the new one has its name, so only the last
    /// segment of a log can ever be torn.
    private func cut() throws(WALError) {
        let old = try usableTail()
        guard let last = segments.last else { throw .closed(directory: path) }
        let next = try preparation.take()
        let end = offset
        try decisively { () throws(DiskError) in try old.truncate(to: end) }
        try synchronize(old)

        encoder.appendChecksum()
        encoder.append(.metadata, metadata)
        if !hardState.isEmpty { encoder.append(hardState) }
        let head = encoder.bytes
        let size = head.count
        try decisively { () throws(DiskError) in try next.file.write(head, at: 0) }
        encoder.clear()
        writtenBytes += size
        try synchronize(next.file)

        let name = SegmentName(sequence: last.name.sequence + 1, firstIndex: lastIndex &+ 1)
        let path = directory.path(of: name)
        try decisively { () throws(DiskError) in
            try directory.disk.rename(next.path, to: path)
            try directory.disk.synchronizeDirectory(directory.path)
        }
        segments.append(Segment(name: name, path: path, file: next.file))
        offset = size
        shared.withLock { $0.tail = next.file }
    }
}
