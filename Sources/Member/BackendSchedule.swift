import Applier
import Backend
import Configuration
import RaftMessages

/// When the backend is committed, what waits for that, and when a leader's snapshot may take the database's place.
///
/// Of commits and of exchanges of the database one is under way at a time. The owner of a ``MemberCore`` has one of these
/// beside it, carries out what it hands out on another thread, and says when that is done. `Waiter` is what the owner keeps
/// for those who wait for a commit.
public struct BackendSchedule<Waiter> {
    /// What makes a commit due, and a snapshot with it.
    public struct Limits: Sendable {
        /// A commit begins when so many operations are pending.
        public var operations: Int
        /// Nothing is pending for longer than this, in milliseconds, unless the disk takes longer.
        public var milliseconds: Int64
        /// Entries applied between two snapshots.
        public var snapshotCount: UInt64

        public init(operations: Int, milliseconds: Int64, snapshotCount: UInt64) {
            self.operations = operations
            self.milliseconds = milliseconds
            self.snapshotCount = snapshotCount
        }

        /// What the flags `backend-batch-limit`, `backend-batch-interval` and `snapshot-count` say.
        public init(_ configuration: MemberConfiguration) {
            operations = configuration.backendBatchLimit
            milliseconds = Int64(configuration.backendBatchMilliseconds)
            snapshotCount = configuration.snapshotCount
        }
    }

    /// What came of beginning a commit.
    public enum Beginning {
        /// The owner has the job run, makes and saves the snapshot, if one is planned, and calls ``finishCommit(_:of:)``.
        case commit(CommitJob, SnapshotPlan?)
        /// Nothing was pending: these waited for a commit, and need not.
        case nothing([Waiter])
    }

    /// What to do about something that the log has written.
    public enum Written {
        /// It is for the core (``MemberCore/appended(_:restored:)``).
        case tell(Message)
        /// The owner has this snapshot opened (``StateMachineFiles/restore(_:publisher:)``), and what
        /// ``finishRestoration()`` then returns is for the core.
        case restore(Snapshot)
    }

    private enum Work {
        case none
        case committing
        case restoring
    }

    private let limits: Limits
    private var work = Work.none
    /// When what is pending has waited long enough.
    private var dueAt: Int64
    private var isWanted = false
    /// Whether a snapshot was made that the log has no record of yet.
    private var isSnapshotting = false
    /// Those who wait for the next commit, and for the running one.
    private var waiting: [Waiter] = []
    private var served: [Waiter] = []
    /// What the log has written and the core was not told of, from `told` on: a snapshot that is being opened, and what
    /// stands behind it.
    private var written: [Message] = []
    private var told = 0

    /// A schedule at `now`, in milliseconds as everywhere here.
    public init(_ limits: Limits, now: Int64) {
        self.limits = limits
        dueAt = now
    }

    // MARK: Commits

    /// Whether a commit is out.
    public var isCommitting: Bool { work == .committing }

    /// Whether neither a commit nor an exchange of the database is under way.
    public var isIdle: Bool { work == .none }

    /// When a commit will be due by time alone; `Int64.max` for not at all.
    public func deadline(of core: MemberCore) -> Int64 {
        work == .none && core.applier.backend.pendingOperations > 0 ? dueAt : .max
    }

    /// Somebody waits for a commit: it need not become due.
    public mutating func want() { isWanted = true }

    /// Keeps `waiter` until everything applied by now is committed.
    public mutating func await(_ waiter: Waiter) {
        waiting.append(waiter)
        isWanted = true
    }

    /// Begins a commit when one is due: to be asked at the end of every turn.
    public mutating func beginIfDue(_ core: MemberCore, now: Int64) -> Beginning? {
        // While the database is exchanged nothing may be written to the one that goes.
        guard work == .none else { return nil }
        let backend = core.applier.backend
        let pending = backend.pendingOperations
        let isDue = pending >= limits.operations || (now >= dueAt && pending > 0)
        let isSnapshotDue = !isSnapshotting && core.isSnapshotDue(count: limits.snapshotCount)
        guard isDue || isWanted || isSnapshotDue else { return nil }
        dueAt = now + limits.milliseconds
        isWanted = false
        let waiters = waiting
        waiting = []
        core.backendCommitBegins()
        guard let job = backend.freezeCommit() else {
            core.backendCommitted()
            return .nothing(waiters)
        }
        served = waiters
        work = .committing
        guard isSnapshotDue else { return .commit(job, nil) }
        isSnapshotting = true
        return .commit(job, core.planSnapshot())
    }

    /// The commit of `job` is done. Returns those who waited for it. A snapshot that went with it is for the log now, and
    /// ``snapshotSaved()`` is called when the log has it; ``nextWritten()`` may have something new.
    public mutating func finishCommit(_ job: CommitJob, of core: MemberCore) -> [Waiter] {
        precondition(work == .committing, "a commit is finished that was not begun")
        work = .none
        core.applier.backend.finishCommit(job)
        core.applier.store.publish()
        core.backendCommitted()
        defer { served = [] }
        return served
    }

    /// The log has a record of the snapshot that was made last, or it is known that it never will.
    public mutating func snapshotSaved() { isSnapshotting = false }

    // MARK: What the log has written

    /// The log has written `messages`.
    public mutating func noteWritten(_ messages: [Message]) {
        if told == written.count {
            written = messages
            told = 0
        } else {
            written += messages
        }
    }

    /// What to do next of what the log has written; nil when nothing may be done for now. A snapshot waits for the commit
    /// that is under way; meanwhile the member goes on, but for what was written behind the snapshot.
    public mutating func nextWritten() -> Written? {
        guard work != .restoring, told < written.count else { return nil }
        if let snapshot = written[told].snapshot, !snapshot.isEmpty {
            guard work == .none else { return nil }
            work = .restoring
            return .restore(snapshot)
        }
        return .tell(takeWritten())
    }

    /// The snapshot that was to be opened is open; returns the message that it came in.
    public mutating func finishRestoration() -> Message {
        precondition(work == .restoring, "a snapshot was opened that nobody wanted")
        work = .none
        return takeWritten()
    }

    private mutating func takeWritten() -> Message {
        let message = written[told]
        told += 1
        if told == written.count {
            written = []
            told = 0
        }
        return message
    }
}
