/// The log, the backend's file and snapshots: `etcd_disk_…` and `etcd_snap_…`.
public final class DiskMetrics: Sendable {
    public let walSync: Histogram
    public let walWrite: Histogram
    public let walBytes: Gauge
    public let backendCommit: Histogram
    public let backendSnapshot: Histogram
    public let defragmentation: Histogram
    public let defragmentationsRunning: Gauge
    /// The time for which commits waited while a defragmentation exchanged the files; etcd has none, for it has everything
    /// wait for all of it.
    public let defragmentationPause: Histogram
    /// The file of a snapshot of Raft's: making its content.
    public let snapshotEncoding: Histogram
    /// Its synchronisation.
    public let snapshotSync: Histogram
    /// Saving it as a whole.
    public let snapshotSave: Histogram
    /// A database that a leader sent: its synchronisation.
    public let sentDatabaseSync: Histogram
    /// Receiving and saving it as a whole.
    public let sentDatabaseSave: Histogram

    init(_ registry: Registry) {
        walSync = registry.histogram(
            "etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.",
            bounds: Buckets.disk)
        walWrite = registry.histogram(
            "etcd_disk_wal_write_duration_seconds", "The latency distributions of write called by WAL.",
            bounds: Buckets.disk)
        walBytes = registry.gauge("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.")
        backendCommit = registry.histogram(
            "etcd_disk_backend_commit_duration_seconds", "The latency distributions of commit called by backend.",
            bounds: Buckets.disk)
        backendSnapshot = registry.histogram(
            "etcd_disk_backend_snapshot_duration_seconds", "The latency distribution of backend snapshots.",
            bounds: Buckets.exponential(0.01, 2, 17))
        defragmentation = registry.histogram(
            "etcd_disk_backend_defrag_duration_seconds", "The latency distribution of backend defragmentation.",
            bounds: Buckets.exponential(0.1, 2, 13))
        defragmentationsRunning = registry.gauge(
            "etcd_disk_defrag_inflight",
            "Whether or not defrag is active on the member. 1 means active, 0 means not.")
        defragmentationPause = registry.histogram(
            "swift_etcd_disk_backend_defrag_pause_seconds",
            "The time for which commits of the backend waited while defragmentation exchanged the files.",
            bounds: Buckets.disk)
        snapshotEncoding = registry.histogram(
            "etcd_debugging_snap_save_marshalling_duration_seconds",
            "The marshalling cost distributions of save called by snapshot.", bounds: Buckets.disk)
        snapshotSync = registry.histogram(
            "etcd_snap_fsync_duration_seconds", "The latency distributions of fsync called by snap.",
            bounds: Buckets.disk)
        snapshotSave = registry.histogram(
            "etcd_debugging_snap_save_total_duration_seconds",
            "The total latency distributions of save called by snapshot.", bounds: Buckets.disk)
        sentDatabaseSync = registry.histogram(
            "etcd_snap_db_fsync_duration_seconds", "The latency distributions of fsyncing .snap.db file",
            bounds: Buckets.disk)
        sentDatabaseSave = registry.histogram(
            "etcd_snap_db_save_total_duration_seconds", "The total latency distributions of v3 snapshot save",
            bounds: Buckets.exponential(0.1, 2, 10))
    }
}
