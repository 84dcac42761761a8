import Backend
import Logging
import Member
import RaftMessages

/// Carries out what the backend's schedule says.
extension MemberThread {
    /// Runs `body` on this thread when everything applied by now is committed in the backend.
    func afterNextCommit(_ body: @escaping @Sendable (MemberThread) -> Void) {
        schedule.await(body)
    }

    func commitIfDue(now: Int64) {
        switch schedule.beginIfDue(core, now: now) {
        case nil: return
        case .nothing(let bodies):
            for body in bodies { body(self) }
        case .commit(let job, let plan):
            if plan != nil {
                logger.info(
                    "triggering snapshot",
                    metadata: ["local-member-applied-index": .stringConvertible(core.snapshotIndex)])
            }
            running.backend.send(.commit(job, plan))
        }
    }

    func finishCommit(_ job: CommitJob, _ snapshot: Snapshot?) {
        let bodies = schedule.finishCommit(job, of: core)
        noteSize()
        for body in bodies { body(self) }
        if let snapshot { running.log.send(.saveSnapshot(snapshot)) }
        takeWritten()
    }

    /// Notes the size of the backend file where others look for it.
    func noteSize() {
        running.status.databaseBytes.store(core.applier.backend.fileSize, ordering: .relaxed)
        running.status.databaseBytesInUse.store(core.applier.backend.sizeInUse, ordering: .relaxed)
        running.metrics.store.openReads.set(core.applier.backend.openReadTransactions)
    }
}
