import Backend
import Disk
import Logging
import MVCC
import Member
import Metrics
import RaftMessages
import WriteAheadLog

/// The thread that commits the backend, writes snapshot files and removes old ones: work that waits for the disk and that
/// no write waits for, since the log holds it by then.
final class BackendThread: Sendable {
    enum Order: Sendable {
        /// Commit, and then make and save the snapshot whose data the commit completes.
        case commit(CommitJob, SnapshotPlan?)
        /// Make the log's next segment in advance, so that no write waits for it.
        case prepareSegment(WriteAheadLog)
        /// Open the state machine that a leader's snapshot brings.
        case restore(Snapshot, StateMachineFiles, StorePublisher)
        /// Remove the databases that came with leaders' snapshots older than this index.
        case removeSentDatabases(below: UInt64)
        /// Defragment between the orders that follow.
        case defragment(Defragmentation)
        /// Let go of a file once its last reader has: here, since that takes long for a large one.
        case release(RetiredFile)
        case purge
        case stop
    }

    /// After how many milliseconds it is looked again whether a file still has readers.
    private static let readersPause: Int64 = 100

    private let mailbox = Mailbox<Order>()
    private let snapshots: SnapshotDirectory
    private let disk: any Disk
    private let walDirectory: String
    private let logger: Logger
    private let metrics: MemberMetrics
    private let kept: Kept
    private let committed: @Sendable (CommitJob, Snapshot?) -> Void
    private let restored: @Sendable (RestoredState) -> Void
    private let defragmented: @Sendable (Defragmentation, DefragmentationOutcome) -> Void
    private let failed: @Sendable (any Error) -> Void

    /// How many old files stay; 0 keeps all.
    struct Kept: Sendable {
        var segments: Int
        var snapshots: Int
    }

    init(
        disk: any Disk, walDirectory: String, snapshots: SnapshotDirectory, kept: Kept, logger: Logger,
        metrics: MemberMetrics, committed: @escaping @Sendable (CommitJob, Snapshot?) -> Void,
        restored: @escaping @Sendable (RestoredState) -> Void,
        defragmented: @escaping @Sendable (Defragmentation, DefragmentationOutcome) -> Void,
        failed: @escaping @Sendable (any Error) -> Void
    ) {
        self.disk = disk
        self.walDirectory = walDirectory
        self.snapshots = snapshots
        self.logger = logger
        self.metrics = metrics
        self.kept = kept
        self.committed = committed
        self.restored = restored
        self.defragmented = defragmented
        self.failed = failed
    }

    func send(_ order: Order) {
        mailbox.send(order)
    }

    func start() -> ServiceThread {
        ServiceThread("etcd-backend") { [self] in run() }
    }

    private func run() {
        var orders: [Order] = []
        var defragmentation: RunningDefragmentation?
        var retired: [RetiredFile] = []
        while true {
            let nextLook = retired.isEmpty ? nil : Clock.milliseconds + Self.readersPause
            mailbox.receive(into: &orders, until: defragmentation?.nextStep ?? nextLook)
            do {
                for order in orders {
                    if case .release(let file) = order { retired.append(file) }
                    guard try carryOut(order, &defragmentation) else {
                        defragmentation?.work.cancel()
                        return
                    }
                }
                try stepIfDue(&defragmentation)
                orders.removeAll()
                for index in retired.indices.reversed() where retired[index].isUnused() { retired.remove(at: index) }
            } catch {
                failed(error)
                return
            }
        }
    }

    /// Returns false when that was the last order.
    private func carryOut(_ order: Order, _ defragmentation: inout RunningDefragmentation?) throws -> Bool {
        switch order {
        case .commit(let job, let plan):
            let start = Clock.nanoseconds
            try job.run()
            defragmentation?.follow(job)
            metrics.disk.backendCommit.observe(nanoseconds: Clock.nanoseconds - start)
            let snapshot = plan?.snapshot()
            if let snapshot { try save(snapshot) }
            committed(job, snapshot)
        case .restore(let snapshot, let files, let publisher):
            if let running = defragmentation {
                running.work.cancel()
                defragmentation = nil
                defragmented(running.work, .overtaken)
            }
            restored(try files.restore(snapshot, publisher: publisher))
        case .removeSentDatabases(let index):
            removing { try snapshots.removeDatabases(below: index) }
        case .prepareSegment(let log): try log.prepareNextSegment()
        case .defragment(let work): defragmentation = RunningDefragmentation(work)
        // The orders' loop keeps it.
        case .release: break
        case .purge: purge()
        case .stop: return false
        }
        return true
    }

    private func stepIfDue(_ defragmentation: inout RunningDefragmentation?) throws {
        guard let due = defragmentation?.nextStep, due <= Clock.milliseconds else { return }
        guard let work = defragmentation?.work, let result = defragmentation?.step() else { return }
        defragmentation = nil
        switch result {
        case .success(let report): defragmented(work, .done(report))
        case .failure(let error):
            if error.isFatal { throw error }
            defragmented(work, .failed(error))
        }
    }

    private func save(_ snapshot: Snapshot) throws {
        var times: [Int64] = []
        let start = Clock.nanoseconds
        try snapshots.save(snapshot) { times.append(Clock.nanoseconds) }
        metrics.disk.snapshotSave.observe(nanoseconds: Clock.nanoseconds - start)
        guard times.count == 3 else { return }
        metrics.disk.snapshotEncoding.observe(nanoseconds: times[0] - start)
        metrics.disk.snapshotSync.observe(nanoseconds: times[2] - times[1])
    }

    private func purge() {
        if kept.segments > 0 {
            removing { try WriteAheadLog.purge(disk: disk, directory: walDirectory, keeping: kept.segments) }
        }
        if kept.snapshots > 0 { removing { try snapshots.purge(keeping: kept.snapshots) } }
    }

    /// Old files that cannot be removed now are tried again next time.
    private func removing(_ body: () throws -> [String]) {
        do {
            for path in try body() { logger.info("purged", metadata: ["path": .string(path)]) }
        } catch {
            logger.warning("failed to purge files", metadata: ["error": .string("\(error)")])
        }
    }
}
