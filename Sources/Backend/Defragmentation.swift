import Bolt
import Disk
import Synchronization

/// What a step of a defragmentation failed with.
public struct DefragmentationError: Error, Sendable, CustomStringConvertible {
    /// The reason.
    public var reason: BackendError
    /// Whether the new file already has the old one's name, and it is not known which of the two a power loss would leave
    /// there. The member must stop, as after a failed commit. Otherwise the file is as it was, and nothing is left over.
    public var isFatal: Bool

    public var description: String { "\(reason)" }
}

/// Copies a backend's file, without its free pages, to a new one beside it, and puts that in its place, while the owner
/// goes on writing and readers reading.
///
/// A state machine without a thread of its own: whoever runs the backend's ``CommitJob``s calls ``step()`` between them
/// until it is done, and tells it of each job that has run (``follow(_:)``). Steps are small, so that a commit waits for
/// one at the most. Each copies on in order of buckets and keys from what is then the newest state (``CompactCopy``),
/// and writes into the copy what commits have changed behind its position. The step that comes to the end exchanges the
/// files: only commits wait for it, neither reads nor writes do.
///
/// Readers that have views of the old file go on with them; it goes with the last one.
public final class Defragmentation: @unchecked Sendable {
    /// What ``step()`` has come to.
    public enum Progress: Sendable {
        /// Another step is to follow.
        case copying
        /// The new file is in place. ``Backend/finishDefragmentation(_:)`` is to be called.
        case done
    }

    /// A step's share, in bytes and in entries: about what a disk writes in the time of a synchronisation of the log or two.
    public static let usualPiece = (bytes: 256 << 10, records: 1_000)
    /// Bytes that the copy leaves free on the disk: the log's next segment must find room, or the member would stop.
    public static let reservedBytes = 64 << 20

    private let current: CurrentDatabase
    private let disk: any Disk
    private let path: String
    private let temporary: String
    private let piece: (bytes: Int, records: Int)
    private var copy: CompactCopy?
    /// Whether the file at `temporary` is this one's.
    private var ownsTemporary = false
    /// What was committed since the last step.
    private var behind: [FrozenGeneration] = []
    private var view: FileView?

    init(_ current: CurrentDatabase, disk: any Disk, path: String, piece: (bytes: Int, records: Int)) {
        self.piece = piece
        self.current = current
        self.disk = disk
        self.path = path
        temporary = path + ".tmp"
    }

    /// Notes what `job`, which has run, wrote. Its memory is held until the next step.
    public func follow(_ job: CommitJob) {
        if copy != nil { behind.append(job.generation) }
    }

    /// Does one piece of the work. After an error, or once it is done, there is no other step.
    public func step() throws(DefragmentationError) -> Progress {
        let isComplete: Bool
        do throws(BackendError) {
            isComplete = try copyPiece()
            if isComplete { try rename() }
        } catch {
            cancel()
            throw DefragmentationError(reason: error, isFatal: false)
        }
        guard isComplete else { return .copying }
        do throws(BackendError) {
            try takeOver()
        } catch {
            throw DefragmentationError(reason: error, isFatal: true)
        }
        return .done
    }

    /// Gives up; the file stays as it is. Does nothing once it is done.
    public func cancel() {
        guard ownsTemporary else { return }
        ownsTemporary = false
        copy?.target.close()
        copy = nil
        behind = []
        try? removeLeftover()
    }

    private func copyPiece() throws(BackendError) -> Bool {
        let copy = try begun()
        let changes = behind
        behind = []
        // At least twice what came meanwhile, so that the copy comes to an end however fast the owner writes.
        let changed = changes.reduce((bytes: 0, records: 0)) { ($0.bytes + $1.bytes, $0.records + $1.operations) }
        let bytes = max(piece.bytes, 2 * changed.bytes)
        let records = max(piece.records, 2 * changed.records)
        try checkSpace(for: bytes)
        return try onFile { () throws(BoltError) in
            let isComplete = try copy.advance(bytes: bytes, records: records) { (write) throws(BoltError) in
                for generation in changes { try generation.write(to: write, behind: copy) }
            }
            if isComplete { try copy.makeDurable() } else { try copy.synchronize() }
            return isComplete
        }
    }

    /// The copy; the first step begins it.
    private func begun() throws(BackendError) -> CompactCopy {
        if let copy { return copy }
        try removeLeftover()
        let original = current.database
        try checkSpace(for: original.sizeInUse)
        ownsTemporary = true
        let copy = try onFile { () throws(BoltError) in try CompactCopy(of: original, at: temporary, on: disk) }
        self.copy = copy
        return copy
    }

    private func checkSpace(for bytes: Int) throws(BackendError) {
        let free = try onDisk { () throws(DiskError) in try disk.freeBytes(directory) }
        guard free >= bytes + Self.reservedBytes else {
            throw .noSpace(path: temporary, needed: bytes + Self.reservedBytes, free: free)
        }
    }

    /// Gives the copy the file's name. Nothing that can fail comes between that and its use.
    private func rename() throws(BackendError) {
        guard let copy else { preconditionFailure("a copy that is complete was begun") }
        let view = try FileView(copy.target, path: path)
        try onDisk { () throws(DiskError) in try disk.rename(temporary, to: path) }
        self.view = view
        ownsTemporary = false
    }

    private func takeOver() throws(BackendError) {
        guard let copy else { preconditionFailure("a copy that has the file's name was begun") }
        let old = current.replace(by: copy.target)
        self.copy = nil
        // Before the next commit, which a power loss would lose if it brought the old file back.
        try onDisk { () throws(DiskError) in try disk.synchronizeDirectory(directory) }
        // Its lock may go with the last reader, and another process may be waiting for it.
        try onFile { () throws(BoltError) in try old.invalidate() }
    }

    /// A view of the new file as it was exchanged.
    func takeView() -> FileView {
        defer { view = nil }
        guard let view else { preconditionFailure("a defragmentation is finished once, after its last step") }
        return view
    }

    /// Removes the copy of a defragmentation that did not come to its end.
    private func removeLeftover() throws(BackendError) {
        try onDisk { () throws(DiskError) in
            if disk.exists(temporary) { try disk.remove(temporary) }
        }
    }

    private var directory: String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// A file that another one has taken the place of. It is unmapped and its blocks are freed when the last one lets go of it,
/// which takes a while when it is large: keep this until it ``isUnused()``, on a thread that nobody waits for.
public struct RetiredFile: Sendable {
    private var view: FileView

    init(view: FileView) { self.view = view }

    /// Whether no reader has the file any more.
    public mutating func isUnused() -> Bool { isKnownUniquelyReferenced(&view) }
}

/// The database that commits go to: the backend's owner and the thread that runs its jobs share it, and the latter
/// exchanges it.
final class CurrentDatabase: Sendable {
    private let current: Mutex<Database>

    init(_ database: Database) {
        current = Mutex(database)
    }

    var database: Database { current.withLock { $0 } }

    /// Goes over to `replacement` and returns the one before it, which stays open for the readers that have views of it.
    func replace(by replacement: Database) -> Database {
        current.withLock { current in
            defer { current = replacement }
            return current
        }
    }
}

extension Backend {
    /// A defragmentation of this backend in steps of the size `piece`; nothing happens before the first. One at a time.
    public func beginDefragmentation(
        piece: (bytes: Int, records: Int) = Defragmentation.usualPiece
    ) -> Defragmentation {
        Defragmentation(current, disk: disk, path: path, piece: piece)
    }

    /// Goes over to the file that `defragmentation`, which is done, has put in place, and returns the one before it. Jobs
    /// that ran since then must not have been finished yet.
    @discardableResult
    public func finishDefragmentation(_ defragmentation: Defragmentation) -> RetiredFile {
        RetiredFile(view: adopt(defragmentation.takeView(), of: current.database))
    }

    /// Defragments at once, on this thread: at the start, before anybody else uses the backend, and in tests. No commit
    /// may be in flight; what is pending is committed first.
    public func defragment() throws(BackendError) {
        try commitNow()
        let defragmentation = beginDefragmentation()
        do throws(DefragmentationError) {
            while try defragmentation.step() == .copying {}
        } catch {
            throw error.reason
        }
        finishDefragmentation(defragmentation)
    }
}

extension Backend {
    /// Defragments at once when at least `bytes` of the file are free, which 0 never asks for
    /// (`--bootstrap-defrag-threshold-megabytes`).
    public func defragment(ifItFrees bytes: Int) throws(BackendError) {
        if bytes > 0 && fileSize - sizeInUse >= bytes { try defragment() }
    }
}

func onFile<Value>(_ body: () throws(BoltError) -> Value) throws(BackendError) -> Value {
    do throws(BoltError) { return try body() } catch { throw .bolt(error) }
}

func onDisk<Value>(_ body: () throws(DiskError) -> Value) throws(BackendError) -> Value {
    do throws(DiskError) { return try body() } catch { throw .disk(error) }
}
