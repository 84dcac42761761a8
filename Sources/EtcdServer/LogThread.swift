import Logging
import RaftMessages
import WriteAheadLog

/// The thread that writes the log: one synchronisation at a time, and whatever was ordered meanwhile is the next one's.
final class LogThread: Sendable {
    enum Order: Sendable {
        case append(Message)
        case saveSnapshot(Snapshot)
        case stop
    }

    private let mailbox = Mailbox<Order>()
    private let metrics: Metrics
    private let done: @Sendable ([Message]) -> Void
    private let snapshotSaved: @Sendable (Snapshot) -> Void
    private let segmentBegan: @Sendable (WriteAheadLog) -> Void
    private let failed: @Sendable (WALError) -> Void

    /// - Parameters:
    ///   - done: told of appends that are durable, in order.
    ///   - snapshotSaved: told of snapshots that the log has a record of.
    ///   - segmentBegan: told when the log writes to a new segment, so that the one after it can be made.
    ///   - failed: told once when the disk refused; nothing is written after that.
    init(
        metrics: Metrics, done: @escaping @Sendable ([Message]) -> Void,
        snapshotSaved: @escaping @Sendable (Snapshot) -> Void,
        segmentBegan: @escaping @Sendable (WriteAheadLog) -> Void, failed: @escaping @Sendable (WALError) -> Void
    ) {
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
            do throws(WALError) {
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

    private func carryOut(_ orders: [Order], _ log: WriteAheadLog) throws(WALError) -> Bool {
        var appended: [Message] = []
        var mustSynchronize = false
        var goesOn = true
        var snapshots: [Snapshot] = []
        for order in orders {
            switch order {
            case .append(let message):
                let state = HardState(term: message.term, vote: message.vote, commit: message.commit)
                if try log.append(message.entries, hardState: state) { mustSynchronize = true }
                appended.append(message)
            case .saveSnapshot(let snapshot): snapshots.append(snapshot)
            case .stop: goesOn = false
            }
        }
        if mustSynchronize {
            let start = Clock.nanoseconds
            try log.synchronize()
            metrics.walSync.observe(nanoseconds: Clock.nanoseconds - start)
        }
        if !appended.isEmpty { done(appended) }
        for snapshot in snapshots {
            let place = snapshot.metadata
            try log.saveSnapshot(WALSnapshot(index: place.index, term: place.term, confState: place.confState))
            log.releaseLocks(below: place.index)
            snapshotSaved(snapshot)
        }
        return goesOn
    }
}
