import Logging
import Member
import Membership

/// What the thread does when its time has come.
extension MemberThread {
    /// The changes that one step drops when nobody says how many: well under a millisecond of this thread.
    static let compactionStep = 250

    func runTimers(now: Int64) {
        while let duty = timers.next(now: now, compacts: core.applier.store.compactionPending) {
            switch duty {
            case .tick(let due):
                noteLateHeartbeat(due: due, now: now)
                core.tick()
                advanceFirstElection(now: now)
                everyTick(now: now)
            case .leases:
                let expired = core.attendToLeases(now: now)
                running.status.expiredLeases.add(UInt64(expired), ordering: .relaxed)
                core.expireKeys(at: Clock.unixNanoseconds)
            case .purge: running.backend.send(.purge)
            case .compaction:
                let start = Clock.nanoseconds
                compactOnce(now: now)
                let stepEnd = Clock.nanoseconds
                noteCompactionStep(nanoseconds: stepEnd - start)
                timers.compactionStepped(from: now, to: stepEnd / 1_000_000)
            }
        }
    }

    func everyTick(now: Int64) {
        for (id, waiter) in waiters where now >= waiter.deadline {
            waiters[id] = nil
            running.status.failedProposals.add(1, ordering: .relaxed)
            let start = waiter.deadline - core.settings.requestTimeout
            refuse(waiter, core.timeoutError(ofRequestFrom: start))
        }
        expireConditions(now: now)
        expireStoreV2(now: now)
        running.leaders.note(hasLeader: core.leader != 0, now: now)
        guard core.leader != 0 else { return }
        var compactor = running.settings.autoCompactor
        if let revision = compactor.due(
            now: now, revision: core.applier.store.currentRevision, isLeader: core.isLeader)
        {
            logger.info("starting auto compaction", metadata: ["revision": .stringConvertible(revision)])
            core.compact(at: revision, now: now)
        }
        parts?.settings.autoCompactor = compactor
    }

    func compactOnce(now: Int64) {
        let store = core.applier.store
        if compaction == nil { compaction = (store.compactedRevision, now) }
        if store.compactionStep(limit: running.settings.compaction.batchLimit ?? Self.compactionStep) { return }
        if let compaction {
            noteCompaction(milliseconds: now - compaction.startedAt)
            logger.info(
                "finished scheduled compaction",
                metadata: [
                    "compact-revision": .stringConvertible(compaction.target),
                    "took": .string("\(now - compaction.startedAt)ms"),
                ])
        }
        compaction = nil
    }

    func noteEnd(of peer: UInt64, now: Int64) {
        guard core.processEnded(of: peer, now: now) else { return }
        logger.warning("the leader's process has ended", metadata: ["leader": .string(Identity.text(peer))])
    }

    /// A member that starts among others that are there already need not wait for a whole election timeout.
    func advanceFirstElection(now: Int64) {
        let voters = core.confState.voters.filter { $0 != core.settings.memberID }
        guard
            firstElection.shallBeAdvanced(
                now: now, hasLeader: core.leader != 0, others: voters,
                isConnected: { running.peers.activeSince($0) != nil })
        else { return }
        core.advanceFirstElection()
    }
}
