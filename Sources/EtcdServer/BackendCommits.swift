import Backend
import Logging
import Member
import RaftMessages

/// When the backend is committed, and what waits for that.
extension MemberThread {
    /// Runs `body` on this thread when everything applied by now is committed in the backend.
    func afterNextCommit(_ body: @escaping @Sendable (MemberThread) -> Void) {
        afterCommit.append(body)
        wantsCommit = true
    }

    func commitIfDue(now: Int64) {
        let backend = core.applier.backend
        // While the database is exchanged nothing may be written to the one that goes.
        guard !isCommitting, !isRestoring else { return }
        let due =
            backend.pendingOperations >= running.settings.batchLimit
            || (now >= timers.commit && backend.pendingOperations > 0)
        let snapshotDue = !isSnapshotting && core.isSnapshotDue(count: running.settings.snapshotCount)
        guard due || wantsCommit || snapshotDue else { return }
        timers.commit = now + running.settings.batchMilliseconds
        wantsCommit = false
        afterRunningCommit = afterCommit
        afterCommit = []
        core.backendCommitBegins()
        guard let job = backend.freezeCommit() else {
            core.backendCommitted()
            runAfterCommit()
            return
        }
        isCommitting = true
        var snapshot: Snapshot?
        if snapshotDue {
            isSnapshotting = true
            snapshot = core.makeSnapshot()
            logger.info(
                "triggering snapshot",
                metadata: ["local-member-applied-index": .stringConvertible(core.snapshotIndex)])
        }
        running.backend.send(.commit(job, snapshot))
    }

    func finishCommit(_ job: CommitJob, _ snapshot: Snapshot?) {
        isCommitting = false
        core.applier.backend.finishCommit(job)
        core.applier.store.publish()
        noteSize()
        core.backendCommitted()
        runAfterCommit()
        if let snapshot { running.log.send(.saveSnapshot(snapshot)) }
        takeWritten()
    }

    func runAfterCommit() {
        let bodies = afterRunningCommit
        afterRunningCommit = []
        for body in bodies { body(self) }
    }

    /// Notes the size of the backend file where others look for it.
    func noteSize() {
        running.status.databaseBytes.store(core.applier.backend.fileSize, ordering: .relaxed)
        running.status.databaseBytesInUse.store(core.applier.backend.sizeInUse, ordering: .relaxed)
        running.metrics.store.openReads.set(core.applier.backend.openReadTransactions)
    }
}
