/// Keys, their history and those who watch them: `etcd_mvcc_…` and `etcd_debugging_mvcc_…`.
public final class StoreMetrics: Sendable {
    /// Ranges, those inside transactions and comparisons included.
    public let ranges: Counter
    public let puts: Counter
    /// Requests to delete, however many keys they met.
    public let deletes: Counter
    /// Transactions of more than one operation.
    public let transactions: Counter
    public let putBytes: Gauge
    public let keys: Gauge
    public let watchers: Gauge
    public let watchStreams: Gauge
    public let slowWatchers: Gauge
    public let events: Counter
    public let pendingEvents: Gauge
    public let compactedKeys: Counter
    /// Steps of a compaction in the file, in milliseconds.
    public let compactionPauses: Histogram
    /// Whole compactions, in milliseconds.
    public let compactions: Histogram
    /// Changes of the index when a compaction is applied, in milliseconds.
    public let indexCompactionPauses: Histogram
    /// When the last compaction ended, in seconds of Unix time; 0 when none did since the start.
    public let lastCompaction: Gauge
    /// Read transactions of the backend's file that readers hold.
    public let openReads: Gauge
    public let hashes: Histogram
    public let hashesByRevision: Histogram

    init(_ registry: Registry) {
        let name = "etcd_mvcc_"
        let debugging = "etcd_debugging_mvcc_"
        ranges = registry.counter(name + "range_total", "Total number of ranges seen by this member.")
        puts = registry.counter(name + "put_total", "Total number of puts seen by this member.")
        deletes = registry.counter(name + "delete_total", "Total number of deletes seen by this member.")
        transactions = registry.counter(name + "txn_total", "Total number of txns seen by this member.")
        // etcd 3.4 has these under two names.
        for (what, things, counter) in [
            ("range_total", "ranges", ranges), ("put_total", "puts", puts), ("delete_total", "deletes", deletes),
            ("txn_total", "txns", transactions),
        ] {
            registry.observed(debugging + what, "Total number of \(things) seen by this member.", .counter) {
                Double(counter.value)
            }
        }
        putBytes = registry.gauge(
            debugging + "total_put_size_in_bytes", "The total size of put kv pairs seen by this member.")
        keys = registry.gauge(debugging + "keys_total", "Total number of keys.")
        watchers = registry.gauge(debugging + "watcher_total", "Total number of watchers.")
        watchStreams = registry.gauge(debugging + "watch_stream_total", "Total number of watch streams.")
        slowWatchers = registry.gauge(debugging + "slow_watcher_total", "Total number of unsynced slow watchers.")
        events = registry.counter(debugging + "events_total", "Total number of events sent by this member.")
        pendingEvents = registry.gauge(
            debugging + "pending_events_total", "Total number of pending events to be sent.")
        compactedKeys = registry.counter(
            debugging + "db_compaction_keys_total", "Total number of db keys compacted.")
        compactionPauses = registry.histogram(
            debugging + "db_compaction_pause_duration_milliseconds",
            "Bucketed histogram of db compaction pause duration.", bounds: Buckets.exponential(1, 2, 13))
        compactions = registry.histogram(
            debugging + "db_compaction_total_duration_milliseconds",
            "Bucketed histogram of db compaction total duration.", bounds: Buckets.exponential(100, 2, 14))
        indexCompactionPauses = registry.histogram(
            debugging + "index_compaction_pause_duration_milliseconds",
            "Bucketed histogram of index compaction pause duration.", bounds: Buckets.exponential(0.5, 2, 14))
        lastCompaction = registry.gauge(
            debugging + "db_compaction_last", "The unix time of the last db compaction. Resets to 0 on start.")
        openReads = registry.gauge(
            name + "db_open_read_transactions", "The number of currently open read transactions")
        hashes = registry.histogram(
            name + "hash_duration_seconds", "The latency distribution of storage hash operation.",
            bounds: Buckets.exponential(0.01, 2, 15))
        hashesByRevision = registry.histogram(
            name + "hash_rev_duration_seconds", "The latency distribution of storage hash by revision operation.",
            bounds: Buckets.exponential(0.01, 2, 15))
    }
}
