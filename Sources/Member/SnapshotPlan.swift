import Membership
import Raft
import RaftMessages
import StoreV2

/// A snapshot of the log that is to be saved: all of it but its data, the image of the version-2 store, which takes long to
/// make when that is large.
public struct SnapshotPlan: Sendable {
    let metadata: SnapshotMetadata
    let store: KeyTreeMoment

    /// The snapshot. To be asked once, on a thread that nobody waits for.
    public func snapshot() -> Snapshot { Snapshot(data: store.encoded(), metadata: metadata) }
}

/// Snapshots of the log: when one is due, what it says, and what may be forgotten after it.
extension MemberCore {
    /// Entries since the last snapshot may take this much memory before another is due, however few they are.
    public static let snapshotBytes = 128 << 20

    /// Whether a snapshot must be made for the cluster's version to have gone back on this member's disk.
    public var needsSnapshot: Bool { applier.needsSnapshot }

    /// A snapshot of the log at the applied index. The state machine's data up to there must be committed in the backend
    /// before the snapshot is saved.
    public func planSnapshot() -> SnapshotPlan {
        bytesSinceSnapshot = 0
        snapshotIndex = appliedIndex
        return SnapshotPlan(metadata: presentMetadata, store: applier.keyTree.moment)
    }

    /// Whether enough was applied since the last snapshot, by `count` or by bytes, for another, or one is needed.
    public func isSnapshotDue(count: UInt64) -> Bool {
        appliedIndex - snapshotIndex > count || bytesSinceSnapshot > Self.snapshotBytes || needsSnapshot
    }

    /// The state at the applied index, as far as the backend does not hold it.
    func presentSnapshot() -> Snapshot { Snapshot(data: applier.keyTree.encoded(), metadata: presentMetadata) }

    private var presentMetadata: SnapshotMetadata {
        let term = (try? log.term(of: appliedIndex)) ?? self.term
        return SnapshotMetadata(confState: confState, index: appliedIndex, term: term)
    }

    /// `snapshot` is saved: entries far enough behind it are forgotten, but for those that a member which gets a snapshot
    /// will need next.
    public func snapshotSaved(_ snapshot: Snapshot) {
        applier.snapshotSaved(at: snapshot.metadata.index)
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
        let kept = isAlone ? 0 : settings.catchUpEntries
        guard index > kept else { return }
        let last = min(index - kept, transfers.neededFrom)
        guard last >= log.firstIndex else { return }
        guard (try? log.compact(to: last)) != nil else { return }
    }
}
