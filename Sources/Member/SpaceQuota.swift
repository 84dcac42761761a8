import EtcdAPI

/// The size that the backend file may have, and the alarm that says to the whole cluster that it has it.
///
/// The size is the file's, as in etcd: what was deleted and compacted counts until the file is defragmented.
struct SpaceQuota {
    /// Negative for none.
    var bytes: Int64
    /// When the alarm was proposed that is not raised yet.
    private var proposedAt: Int64?

    init(bytes: Int64) {
        self.bytes = bytes
    }

    /// Whether a request of this cost fits into a file of this size.
    func fits(cost: Int, size: Int) -> Bool { bytes < 0 || Int64(size) + Int64(cost) < bytes }

    /// Whether the alarm is to be proposed at `now`: again when it was disarmed while there is still no space, but not
    /// for every request, which `timeout` bounds.
    mutating func shallPropose(now: Int64, timeout: Int64) -> Bool {
        if let proposedAt, now < proposedAt + timeout { return false }
        proposedAt = now
        return true
    }

    /// The alarm is raised. The proposal has done its work: a disarm later must not be taken for one that is under way.
    mutating func raised() { proposedAt = nil }
}

extension MemberCore {
    /// Whether a request of this cost fits under the quota; when not, the alarm is raised in the whole cluster.
    public func hasSpace(for cost: Int, now: Int64) -> Bool {
        if quota.fits(cost: cost, size: applier.backend.fileSize) { return true }
        raiseSpaceAlarm(now: now)
        return false
    }

    /// Raises the alarm when what others wrote has filled this member's file.
    func noteSpaceTaken(now: Int64) {
        guard !applier.isOutOfSpace, !quota.fits(cost: 0, size: applier.backend.fileSize) else { return }
        // Deletes go on without space, and must not bring an alarm back that was disarmed for their sake.
        if output.commits.contains(where: { $0.changes.contains { !$0.isDelete } }) { raiseSpaceAlarm(now: now) }
    }

    private func raiseSpaceAlarm(now: Int64) {
        guard !applier.isOutOfSpace, quota.shallPropose(now: now, timeout: settings.requestTimeout) else { return }
        var request = Etcdserverpb_AlarmRequest()
        request.action = .activate
        request.memberID = settings.memberID
        request.alarm = .nospace
        proposeInternally(.alarm, request, now: now)
    }
}
