import Applier
import Member
import Membership
import Metrics

/// What the member's thread tells its metrics, once a turn and not once a request.
extension MemberThread {
    /// Notes what a turn has applied.
    func noteApplied(_ output: MemberCore.Output) {
        let store = running.metrics.store
        store.keys.set(core.applier.store.keyCount)
        if !output.counts.isEmpty {
            let counts = output.counts
            store.ranges.add(counts.ranges)
            store.puts.add(counts.puts)
            store.deletes.add(counts.deletes)
            store.transactions.add(counts.transactions)
            store.putBytes.add(counts.putBytes)
            let leases = running.metrics.leases
            leases.granted.add(counts.grantedTTLs.count)
            leases.revoked.add(counts.leasesRevoked)
            for ttl in counts.grantedTTLs { leases.timesToLive.observe(Double(ttl)) }
        }
        if core.applier.isOutOfSpace || core.applier.isCorrupt || !alarms.isEmpty { noteAlarms() }
        if !output.membership.isEmpty || output.restored { noteKnownPeers() }
    }

    private func noteAlarms() {
        let raised = core.applier.raisedAlarms
        guard raised != alarms else { return }
        func series(_ alarm: Alarm) -> Gauge {
            running.metrics.server.alarms[
                Identity.text(alarm.memberID), alarm.kind == .corrupt ? "CORRUPT" : "NOSPACE"]
        }
        for alarm in alarms where !raised.contains(alarm) { series(alarm).set(0) }
        for alarm in raised { series(alarm).set(1) }
        alarms = raised
    }

    /// Notes who is in the list of members, this one too.
    func noteKnownPeers() {
        let known = running.metrics.network.knownPeers
        let cluster = core.applier.cluster
        for member in cluster.sortedMembers { known[localID, Identity.text(member.id)].set(1) }
        for id in cluster.removed { known[localID, Identity.text(id)].set(0) }
    }

    /// Notes one step of a compaction, in which index and file go together.
    func noteCompactionStep(nanoseconds: Int64) {
        let milliseconds = Double(nanoseconds) / 1e6
        running.metrics.store.compactionPauses.observe(milliseconds)
        running.metrics.store.indexCompactionPauses.observe(milliseconds)
        let dropped = core.applier.store.droppedChanges
        running.metrics.store.compactedKeys.add(dropped - droppedChanges)
        droppedChanges = dropped
    }

    /// Notes a compaction that has ended.
    func noteCompaction(milliseconds: Int64) {
        running.metrics.store.compactions.observe(Double(milliseconds))
        running.metrics.store.lastCompaction.set(Int(Clock.unixMilliseconds / 1000))
    }
}
