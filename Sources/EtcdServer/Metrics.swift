import EtcdAPI
import GRPC
import Synchronization

/// The member's metrics under etcd's names, in the text form of Prometheus.
final class Metrics: Sendable {
    /// A histogram of durations with the upper bounds that etcd uses for the same metric, in seconds.
    final class Durations: Sendable {
        private static let bounds: [Double] = (0..<14).map { 0.001 * Double(1 << $0) }

        private struct State {
            var counts = [UInt64](repeating: 0, count: Durations.bounds.count + 1)
            var sum = 0.0
        }

        private let state = Mutex(State())

        func observe(nanoseconds: Int64) {
            let seconds = Double(nanoseconds) / 1e9
            let bucket = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
            state.withLock { state in
                state.counts[bucket] += 1
                state.sum += seconds
            }
        }

        func write(_ name: String, _ help: String, to text: inout String) {
            let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
            text += "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
            var total: UInt64 = 0
            for (bound, count) in zip(Self.bounds, counts) {
                total += count
                text += "\(name)_bucket{le=\"\(bound)\"} \(total)\n"
            }
            total += counts[Self.bounds.count]
            text += "\(name)_bucket{le=\"+Inf\"} \(total)\n\(name)_sum \(sum)\n\(name)_count \(total)\n"
        }
    }

    /// How many calls of one method ended with each code, by the code's number.
    private final class Handled: Sendable {
        private let counts = Mutex([UInt64](repeating: 0, count: Status.Code.allCases.count))

        func count(_ code: Status.Code) { counts.withLock { $0[code.rawValue] += 1 } }

        var all: [UInt64] { counts.withLock { $0 } }
    }

    let walSync = Durations()
    let backendCommit = Durations()
    let watchers = Atomic<Int>(0)
    let watchStreams = Atomic<Int>(0)
    let slowWatchers = Atomic<Int>(0)
    let keys = Atomic<Int>(0)
    private let handled = Dictionary(uniqueKeysWithValues: EtcdMethod.allCases.map { ($0.path, Handled()) })
    let receivedBytes = Atomic<UInt64>(0)
    let sentBytes = Atomic<UInt64>(0)

    /// Counts a call that ended.
    func count(path: String, code: Status.Code, received: Int, sent: Int) {
        handled[path]?.count(code)
        receivedBytes.add(UInt64(received), ordering: .relaxed)
        sentBytes.add(UInt64(sent), ordering: .relaxed)
    }

    /// All metrics, with what `status` and `revision` say now.
    func text(status: MemberStatus, currentRevision: Int64, compactedRevision: Int64, quota: Int64) -> String {
        var text = ""
        func gauge(_ name: String, _ help: String, _ value: some CustomStringConvertible, kind: String = "gauge") {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n\(name) \(value)\n"
        }
        let leader = status.leader.load(ordering: .relaxed)
        gauge(
            "etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.", leader == 0 ? 0 : 1)
        gauge(
            "etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.",
            leader == status.memberID ? 1 : 0)
        gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", 0)
        gauge(
            "etcd_server_leader_changes_seen_total", "The number of leader changes seen.",
            status.leaderChanges.load(ordering: .relaxed), kind: "counter")
        gauge(
            "etcd_server_proposals_committed_total", "The total number of consensus proposals committed.",
            status.committedIndex.load(ordering: .relaxed))
        gauge(
            "etcd_server_proposals_applied_total", "The total number of consensus proposals applied.",
            status.appliedIndex.load(ordering: .relaxed))
        gauge(
            "etcd_server_proposals_pending", "The current number of pending proposals to commit.",
            status.pendingProposals.load(ordering: .relaxed))
        gauge(
            "etcd_server_proposals_failed_total", "The total number of failed proposals seen.",
            status.failedProposals.load(ordering: .relaxed), kind: "counter")
        gauge(
            "etcd_server_slow_read_indexes_total",
            "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
            status.slowReadRounds.load(ordering: .relaxed), kind: "counter")
        gauge(
            "etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen.",
            status.failedReadRounds.load(ordering: .relaxed), kind: "counter")
        gauge(
            "etcd_server_heartbeat_send_failures_total",
            "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
            status.lateHeartbeats.load(ordering: .relaxed), kind: "counter")
        gauge(
            "etcd_debugging_server_lease_expired_total", "The total number of expired leases.",
            status.expiredLeases.load(ordering: .relaxed), kind: "counter")
        gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", quota)
        text +=
            "# HELP etcd_server_id Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.\n"
        text += "# TYPE etcd_server_id gauge\n"
        text += "etcd_server_id{server_id=\"\(String(status.memberID, radix: 16))\"} 1\n"
        text +=
            "# HELP etcd_server_version Which version is running. 1 for 'server_version' label with current version.\n"
        text += "# TYPE etcd_server_version gauge\netcd_server_version{server_version=\"\(EtcdVersion.server)\"} 1\n"
        if let version = status.clusterVersion {
            let name = "etcd_cluster_version"
            text +=
                "# HELP \(name) Which version is running. 1 for 'cluster_version' label with current cluster version\n"
            text += "# TYPE \(name) gauge\n\(name){cluster_version=\"\(version.series)\"} 1\n"
        }
        gauge(
            "etcd_mvcc_db_total_size_in_bytes", "Total size of the underlying database physically allocated in bytes.",
            status.databaseBytes.load(ordering: .relaxed))
        gauge(
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "Total size of the underlying database logically in use in bytes.",
            status.databaseBytesInUse.load(ordering: .relaxed))
        gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", currentRevision)
        gauge(
            "etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.", compactedRevision)
        gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", keys.load(ordering: .relaxed))
        gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", watchers.load(ordering: .relaxed))
        gauge(
            "etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.",
            watchStreams.load(ordering: .relaxed))
        gauge(
            "etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.",
            slowWatchers.load(ordering: .relaxed))
        gauge(
            "etcd_network_client_grpc_received_bytes_total", "The total number of bytes received from grpc clients.",
            receivedBytes.load(ordering: .relaxed), kind: "counter")
        gauge(
            "etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.",
            sentBytes.load(ordering: .relaxed), kind: "counter")
        walSync.write(
            "etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.", to: &text)
        backendCommit.write(
            "etcd_disk_backend_commit_duration_seconds",
            "The latency distributions of commit called by backend.", to: &text)
        writeHandled(to: &text)
        Process.write(to: &text)
        return text
    }

    private func writeHandled(to text: inout String) {
        let name = "grpc_server_handled_total"
        text += "# HELP \(name) Total number of RPCs completed on the server, regardless of success or failure.\n"
        text += "# TYPE \(name) counter\n"
        for (path, counts) in handled.sorted(by: { $0.key < $1.key }) {
            let parts = path.split(separator: "/")
            let kind = EtcdMethodKind.label(path: path)
            for (code, count) in zip(Status.Code.allCases, counts.all) where count > 0 {
                text += "\(name){grpc_code=\"\(code.name)\",grpc_method=\"\(parts[1])\",grpc_service=\"\(parts[0])\","
                text += "grpc_type=\"\(kind)\"} \(count)\n"
            }
        }
    }
}
