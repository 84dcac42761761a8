/// A leader whose process has ended need not be waited for.
extension MemberCore {
    /// Messages of `member` have come.
    public func heard(from member: UInt64, now: Int64) {
        if member == leader { leaderHeardAt = now }
    }

    /// The process of the member `peer` has ended. Returns whether that was the leader, which now counts as gone. One that
    /// was heard within a heartbeat interval lives: only the way to it is barred.
    public func processEnded(of peer: UInt64, now: Int64) -> Bool {
        let heartbeat = settings.electionMilliseconds / Int64(settings.electionTicks)
        guard peer == leader, now - leaderHeardAt > heartbeat else { return false }
        leaderIsGone(peer)
        return true
    }

    /// The process of the leader `peer` has ended: the election timeout counts as waited out, and what is left is the random
    /// time that keeps members apart. Raft stays safe when this is wrong; members that hear the leader refuse their vote.
    func leaderIsGone(_ peer: UInt64) {
        guard peer == leader, !isLeader else { return }
        raft.forgetLeader()
        for _ in 0..<settings.electionTicks { raft.tick() }
    }
}
