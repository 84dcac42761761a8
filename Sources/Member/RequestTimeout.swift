import EtcdAPI

/// What a client is told whose request was not applied in time.
extension MemberCore {
    /// The error for a request of the time `start` that ran out of time: etcd tells a lost leader and a lost connection
    /// apart from a cluster that is merely slow.
    public func timeoutError(ofRequestFrom start: Int64) -> EtcdError {
        // A leader that was elected within two election timeouts after the request has lost what its predecessor took.
        if let electedAt, start < electedAt, start > electedAt - 2 * settings.electionMilliseconds {
            return .timeoutDueToLeaderFailure
        }
        if leader == 0 { return .timeout }
        return isConnected(to: leader, since: start) ? .timeout : .timeoutDueToConnectionLost
    }

    /// Whether the leader, or a quorum when this member is the leader, has been connected since before `start`.
    private func isConnected(to leader: UInt64, since start: Int64) -> Bool {
        func isConnected(_ id: UInt64) -> Bool { peerActiveSince(id).map { $0 < start } ?? false }
        guard leader == settings.memberID else { return isConnected(leader) }
        let ids = applier.cluster.members.keys
        return ids.count { $0 == settings.memberID || isConnected($0) } > ids.count / 2
    }
}
