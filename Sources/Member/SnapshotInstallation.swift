import Applier
import Membership
import RaftMessages

/// How a leader's snapshot becomes this member's state.
extension MemberCore {
    /// Replaces the state machine by the one that came with `snapshot`, whose record the log has.
    ///
    /// Requests that wait for an entry which the snapshot covers get no answer: what came of them is not known here.
    func install(_ snapshot: Snapshot, _ restored: RestoredState?) throws(SnapshotInstallationError) {
        precondition(!applier.backend.isCommitting, "a snapshot is installed between two commits of the backend")
        let place = snapshot.metadata
        precondition(place.index > appliedIndex, "Raft restores only snapshots ahead of what is applied")
        let state =
            if let restored { restored } else {
                try stateMachine.restore(snapshot, publisher: applier.store.publisher)
            }
        precondition(state.index == place.index, "the state that was opened is that of another snapshot")
        do {
            try log.applySnapshot(snapshot)
        } catch {
            throw SnapshotInstallationError(description: "the snapshot at index \(place.index): \(error)")
        }
        output.membership += Self.differences(from: applier.cluster, to: state.applier.cluster)
        state.applier.auth.publish(through: applier.auth.publisher)
        state.applier.keyTree.takeWatchers(of: applier.keyTree)
        applier = state.applier
        appliedIndex = place.index
        snapshotIndex = place.index
        confState = place.confState
        lastAppliedTerm = place.term
        bytesSinceSnapshot = 0
        // What the file of the leader says about them counts now.
        for index in physicalCompactions.indices { physicalCompactions[index].stage = .compacting }
        applier.store.publish()
        output.restored = true
    }

    /// What would have to be applied to `old` for it to have the members of `new`.
    static func differences(from old: Cluster, to new: Cluster) -> [Cluster.Effect] {
        var effects: [Cluster.Effect] = []
        for member in old.sortedMembers where new.members[member.id] == nil { effects.append(.removed(member.id)) }
        for member in new.sortedMembers {
            guard let known = old.members[member.id] else {
                effects.append(.added(member))
                continue
            }
            if known.isLearner && !member.isLearner { effects.append(.promoted(member)) }
            if known.peerURLs != member.peerURLs { effects.append(.updated(member)) }
        }
        return effects
    }
}
