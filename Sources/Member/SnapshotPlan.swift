import Membership
import Raft
import RaftMessages

/// Snapshots of the log: when one is due, what it says, and what may be forgotten after it.
extension MemberCore {
    /// Entries kept in memory behind a snapshot, so that a follower which is a little late gets entries and not the whole
    /// database (etcd's catch-up entries).
    private static let catchUpEntries: UInt64 = 5_000

    /// Entries since the last snapshot may take this much memory before another is due, however few they are.
    public static let snapshotBytes = 128 << 20

    /// A snapshot of the log at the applied index. The state machine's data up to there must be committed in the backend
    /// before the snapshot is saved.
    public func makeSnapshot() -> Snapshot {
        bytesSinceSnapshot = 0
        let term = (try? log.term(of: appliedIndex)) ?? self.term
        return Snapshot(
            data: applier.image.encode(applier.cluster),
            metadata: SnapshotMetadata(confState: confState, index: appliedIndex, term: term))
    }

    /// `snapshot` is saved: entries far enough behind it are forgotten.
    public func snapshotSaved(_ snapshot: Snapshot) {
        do {
            _ = try log.createSnapshot(
                at: snapshot.metadata.index, confState: snapshot.metadata.confState, data: snapshot.data)
        } catch {
            // A newer one is there already.
            return
        }
        let index = snapshot.metadata.index
        // Nobody catches up with the only member.
        let isAlone = confState.voters == [settings.memberID] && confState.learners.isEmpty
        let kept = isAlone ? 0 : Self.catchUpEntries
        guard index > kept, index - kept >= log.firstIndex else { return }
        guard (try? log.compact(to: index - kept)) != nil else { return }
    }
}
