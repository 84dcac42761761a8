import Logging
import Member
import Metrics
import RaftMessages
import WriteAheadLog

/// The thread that writes the log: one synchronisation at a time, and whatever was ordered meanwhile is the next one's.
final class LogThread: Sendable {
    enum Order: Sendable {
        case append(Message)
        case saveSnapshot(Snapshot)
        case stop
    }

    /// A synchronisation that takes longer than this is worth a warning, as in etcd.
    private static let slowSyncNanoseconds: Int64 = 1_000_000_000

    private let mailbox = Mailbox<Order>()
    private let logger: Logger
    private let metrics: MemberMetrics
    private let done: @Sendable ([Message]) -> Void
    private let snapshotSaved: @Sendable (Snapshot) -> Void
    private let segmentBegan: @Sendable (WriteAheadLog) -> Void
    private let snapshots: SnapshotDirectory
    private let failed: @Sendable (any Error) -> Void

    /// - Parameters:
    ///   - snapshots: where the files of leaders' snapshots go.
    ///   - done: told of appends that are durable, in order.
    ///   - snapshotSaved: told of snapshots that the log has a record of.
    ///   - segmentBegan: told when the log writes to a new segment, so that the one after it can be made.
    ///   - failed: told once when the disk refused; nothing is written after that.
    init(
        snapshots: SnapshotDirectory, logger: Logger, metrics: MemberMetrics,
        done: @escaping @Sendable ([Message]) -> Void,
        snapshotSaved: @escaping @Sendable (Snapshot) -> Void,
        segmentBegan: @escaping @Sendable (WriteAheadLog) -> Void, failed: @escaping @Sendable (any Error) -> Void
    ) {
        self.snapshots = snapshots
        self.logger = logger
        self.metrics = metrics
        self.done = done
        self.snapshotSaved = snapshotSaved
        self.segmentBegan = segmentBegan
        self.failed = failed
    }

    func send(_ order: Order) {
        mailbox.send(order)
    }

    /// Writes to `log` until it is told to stop.
    func start(_ log: WriteAheadLog) -> ServiceThread {
        ServiceThread("etcd-log") { [self] in run(log) }
    }

    private func run(_ log: WriteAheadLog) {
        var orders: [Order] = []
        segmentBegan(log)
        var segment = log.tailPath
        while true {
            mailbox.receive(into: &orders, until: nil)
            do {
                guard try carryOut(orders, log) else { break }
                if log.tailPath != segment {
                    segment = log.tailPath
                    segmentBegan(log)
                }
            } catch {
                failed(error)
                return
            }
        }
        // What was acknowledged is on disk already; a failure to close loses nothing.
        try? log.close()
    }

    private func carryOut(_ orders: [Order], _ log: WriteAheadLog) throws -> Bool {
        var appended: [Message] = []
        var mustSynchronize = false
        var goesOn = true
        var snapshots: [Snapshot] = []
        var startOfLog: UInt64 = 0
        let writing = Clock.nanoseconds
        for order in orders {
            switch order {
            case .append(let message):
                if try log.append(message, snapshots: self.snapshots) { mustSynchronize = true }
                startOfLog = max(startOfLog, message.snapshot?.metadata.index ?? 0)
                appended.append(message)
            case .saveSnapshot(let snapshot): snapshots.append(snapshot)
            case .stop: goesOn = false
            }
        }
        if !appended.isEmpty {
            metrics.disk.walWrite.observe(nanoseconds: Clock.nanoseconds - writing)
            metrics.disk.walBytes.set(log.writtenBytes)
        }
        if mustSynchronize {
            let start = Clock.nanoseconds
            try log.synchronize()
            noteSync(nanoseconds: Clock.nanoseconds - start)
        }
        // Only once the hard state makes the leader's snapshot count are the segments before it dispensable.
        if startOfLog > 0 { log.releaseLocks(below: startOfLog) }
        if !appended.isEmpty { done(appended) }
        for snapshot in snapshots {
            try log.saveSnapshot(WALSnapshot(snapshot.metadata))
            log.releaseLocks(below: snapshot.metadata.index)
            snapshotSaved(snapshot)
        }
        return goesOn
    }

    private func noteSync(nanoseconds: Int64) {
        metrics.disk.walSync.observe(nanoseconds: nanoseconds)
        guard nanoseconds > Self.slowSyncNanoseconds else { return }
        logger.warning(
            "slow fdatasync",
            metadata: ["took": .string("\(nanoseconds / 1_000_000)ms"), "expected-duration": "1s"])
    }
}
