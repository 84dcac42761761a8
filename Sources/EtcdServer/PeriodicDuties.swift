import Lease
import Logging
import Member
import Membership

/// What the thread does when its time has come.
extension MemberThread {
    struct Timers {
        var tick: Int64 = 0
        var commit: Int64 = 0
        var lease: Int64 = 0
        var purge: Int64 = 0
        var publish: Int64 = 0
        var compaction: Int64 = 0
    }

    /// Leases that have run out are looked for this often, in milliseconds.
    static let leaseInterval: Int64 = 500
    /// Old files are removed this often, in milliseconds.
    static let purgeInterval: Int64 = 30_000
    /// The least time between two steps of a compaction, so that requests go in between.
    static let compactionPause: Int64 = 1
    /// The changes that one step drops when nobody says how many: well under a millisecond of this thread.
    static let compactionStep = 250

    func runTimers(now: Int64) {
        if now >= timers.tick {
            noteLateHeartbeat(due: timers.tick, now: now)
            timers.tick = now + running.settings.heartbeatMilliseconds
            core.tick()
            advanceFirstElection(now: now)
            everyTick(now: now)
        }
        if now >= timers.lease {
            timers.lease = now + Self.leaseInterval
            let expired = core.revokeExpiredLeases(limit: Lessor.revokesPerSecond / 2, now: now)
            running.status.expiredLeases.add(UInt64(expired), ordering: .relaxed)
            core.checkpointLeases(limit: Lessor.checkpointsPerSecond / 2, now: now)
            core.expireKeys(at: Clock.unixNanoseconds)
        }
        if now >= timers.purge {
            timers.purge = now + Self.purgeInterval
            running.backend.send(.purge)
        }
        if core.applier.store.compactionPending && now >= timers.compaction {
            let start = Clock.nanoseconds
            compactOnce(now: now)
            let stepEnd = Clock.nanoseconds
            noteCompactionStep(nanoseconds: stepEnd - start)
            // As long between two steps as a step takes, so that compacting gets half of this thread at the most.
            let end = stepEnd / 1_000_000
            let pause = running.settings.compaction.sleepMilliseconds ?? Self.compactionPause
            timers.compaction = end + max(pause, end - now)
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

    func publishIfNeeded(now: Int64) {
        // The cluster's version says in which form.
        guard !isReady, core.leader != 0, core.clusterVersion != nil, now >= timers.publish else { return }
        timers.publish = now + core.settings.requestTimeout
        core.publish(running.settings.published, now: now)
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

    /// A leader whose process has ended need not be waited for. One that was heard a moment ago lives: only the way to it
    /// is barred.
    func noteGone(_ peer: UInt64, now: Int64) {
        guard peer == core.leader, now - leaderHeardAt > running.settings.heartbeatMilliseconds else { return }
        logger.warning("the leader's process has ended", metadata: ["leader": .string(Identity.text(peer))])
        core.leaderIsGone(peer)
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
