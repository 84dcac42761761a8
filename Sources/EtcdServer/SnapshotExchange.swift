import Applier
import Logging
import Member
import PeerTransport
import RaftMessages

/// Snapshots that this member sends as the leader, and those that take the place of its own state.
extension MemberThread {
    /// Sends snapshots with the backend's last commit, which is the state that they speak of.
    func sendSnapshots(_ messages: [Message]) {
        for message in messages {
            do {
                running.peers.sendSnapshot(message, try core.applier.backend.snapshot())
            } catch {
                core.reportSnapshot(to: message.to, succeeded: false)
                stopAfterHandover("failed to read the backend", error)
            }
        }
    }

    /// Tells the core what is written. A snapshot is opened by the backend's thread first.
    func takeWritten() {
        while let written = schedule.nextWritten() {
            switch written {
            case .tell(let message): tellWritten(message)
            case .restore(let snapshot):
                running.metrics.server.snapshotsBeingApplied.set(1)
                logger.info(
                    "applying snapshot",
                    metadata: [
                        "current-snapshot-index": .stringConvertible(core.snapshotIndex),
                        "current-applied-index": .stringConvertible(core.appliedIndex),
                        "incoming-leader-snapshot-index": .stringConvertible(snapshot.metadata.index),
                        "incoming-leader-snapshot-term": .stringConvertible(snapshot.metadata.term),
                    ])
                running.backend.send(.restore(snapshot, core.stateMachine, core.applier.store.publisher))
            }
        }
    }

    func finishRestoration(_ state: RestoredState) {
        running.metrics.server.snapshotsBeingApplied.set(0)
        tellWritten(schedule.finishRestoration(), restored: state)
        takeWritten()
    }

    func tellWritten(_ message: Message, restored: RestoredState? = nil) {
        do throws(SnapshotInstallationError) {
            try core.appended(message, restored: restored)
        } catch {
            FatalError.stop(logger, "failed to apply a snapshot", error)
        }
    }

    /// The state machine is another one than before.
    func followRestoration() {
        compaction = nil
        droppedChanges = 0
        running.peers.setRemoved(core.applier.cluster.removed)
        running.watch.storeReplaced()
        running.backend.send(.removeSentDatabases(below: core.snapshotIndex))
        noteSize()
        logger.info(
            "applied snapshot",
            metadata: [
                "current-snapshot-index": .stringConvertible(core.snapshotIndex),
                "current-applied-index": .stringConvertible(core.appliedIndex),
            ])
    }
}
