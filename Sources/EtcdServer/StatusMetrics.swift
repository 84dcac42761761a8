import Auth
import MVCC
import Membership
import Metrics

extension MemberMetrics {
    /// Registers what the member's other parts know anyway, to be asked when the metrics are.
    func show(_ status: MemberStatus, _ publisher: StorePublisher, quota: Int64) {
        showServer(status, quota: quota)
        showStore(status, publisher)
    }

    /// Registers the revision of users and roles.
    func show(_ auth: AuthPublisher) {
        registry.observed("etcd_debugging_auth_revision", "The current revision of auth store.") {
            Double(auth.latest.revision)
        }
    }

    private func showServer(_ status: MemberStatus, quota: Int64) {
        let name = "etcd_server_"
        registry.observed(name + "has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.") {
            status.leader.load(ordering: .relaxed) == 0 ? 0 : 1
        }
        registry.observed(name + "is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.") {
            status.leader.load(ordering: .relaxed) == status.memberID ? 1 : 0
        }
        registry.observed(name + "is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.") {
            status.isLearner.load(ordering: .relaxed) ? 1 : 0
        }
        registry.observed(name + "leader_changes_seen_total", "The number of leader changes seen.", .counter) {
            Double(status.leaderChanges.load(ordering: .relaxed))
        }
        registry.observed(
            name + "proposals_committed_total", "The total number of consensus proposals committed."
        ) { Double(status.committedIndex.load(ordering: .relaxed)) }
        registry.observed(name + "proposals_applied_total", "The total number of consensus proposals applied.") {
            Double(status.appliedIndex.load(ordering: .relaxed))
        }
        registry.observed(name + "proposals_pending", "The current number of pending proposals to commit.") {
            Double(status.pendingProposals.load(ordering: .relaxed))
        }
        registry.observed(name + "proposals_failed_total", "The total number of failed proposals seen.", .counter) {
            Double(status.failedProposals.load(ordering: .relaxed))
        }
        registry.observed(
            name + "slow_read_indexes_total",
            "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
            .counter
        ) { Double(status.slowReadRounds.load(ordering: .relaxed)) }
        registry.observed(
            name + "read_indexes_failed_total", "The total number of failed read indexes seen.", .counter
        ) { Double(status.failedReadRounds.load(ordering: .relaxed)) }
        registry.observed(
            name + "heartbeat_send_failures_total",
            "The total number of leader heartbeat send failures (likely overloaded from slow disk).", .counter
        ) { Double(status.lateHeartbeats.load(ordering: .relaxed)) }
        registry.observed(
            "etcd_debugging_server_lease_expired_total", "The total number of expired leases.", .counter
        ) { Double(status.expiredLeases.load(ordering: .relaxed)) }
        registry.observed(name + "quota_backend_bytes", "Current backend storage quota size in bytes.") {
            Double(quota)
        }
        registry.observed(
            name + "id", "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
            labels: ["server_id"]
        ) { [([Identity.text(status.memberID)], 1)] }
        registry.observed(
            name + "version", "Which version is running. 1 for 'server_version' label with current version.",
            labels: ["server_version"]
        ) { [([EtcdVersion.server], 1)] }
        registry.observed(
            "etcd_cluster_version",
            "Which version is running. 1 for 'cluster_version' label with current cluster version",
            labels: ["cluster_version"]
        ) { status.clusterVersion.map { [([$0.series], 1)] } ?? [] }
    }

    private func showStore(_ status: MemberStatus, _ publisher: StorePublisher) {
        let size: @Sendable () -> Double? = { Double(status.databaseBytes.load(ordering: .relaxed)) }
        let help = "Total size of the underlying database physically allocated in bytes."
        registry.observed("etcd_mvcc_db_total_size_in_bytes", help, .gauge, size)
        registry.observed("etcd_debugging_mvcc_db_total_size_in_bytes", help, .gauge, size)
        registry.observed(
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "Total size of the underlying database logically in use in bytes."
        ) { Double(status.databaseBytesInUse.load(ordering: .relaxed)) }
        registry.observed("etcd_debugging_mvcc_current_revision", "The current revision of store.") {
            Double(publisher.latest().currentRevision)
        }
        registry.observed(
            "etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store."
        ) { Double(publisher.latest().compactedRevision) }
    }
}
