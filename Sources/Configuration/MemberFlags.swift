/// Flags of the member itself: its name, its directories, its store.
extension MemberConfiguration {
    static let memberFlags: [FlagDefinition] = [
        .text("name", "default", "Human-readable name for this member."),
        .text("data-dir", "Path to the data directory; ${name}.etcd when empty."),
        .text("wal-dir", "Path to a separate directory for the write-ahead log."),
        .unsigned("snapshot-count", 10_000, "Applied entries after which a snapshot is written."),
        .unsigned(
            "snapshot-catchup-entries", 5000,
            "Entries kept in memory behind a snapshot for members that are a little late."
        )
        .formerly("experimental-snapshot-catchup-entries")
        .inFileAlso(["experimental-snapshot-catch-up-entries"], ["SnapshotCatchUpEntries"]),
        .unsigned("max-snapshots", 5, upTo: UInt64(Int32.max), "Snapshot files to keep; 0 keeps all."),
        .unsigned(
            "max-wals", 5, upTo: UInt64(Int32.max), "Segments of the write-ahead log to keep; 0 keeps all."),
        .signed("quota-backend-bytes", 0, "Size of the backend file at which writes are refused; 0 is 2 GiB."),
        .choice("backend-bbolt-freelist-type", ["array", "map"], "map", "How the free pages are kept in memory.")
            .formerly("experimental-backend-bbolt-freelist-type")
            .withoutEffect("free pages are always kept by size, as etcd's map does"),
        .duration(
            "backend-batch-interval", "0s", "Longest time before a backend transaction is committed; 0 is 100ms."),
        .signed("backend-batch-limit", 0, "Operations before a backend transaction is committed; 0 is 10000."),
        .unsigned("max-txn-ops", 128, upTo: UInt64(Int32.max), "Most operations in one transaction."),
        .unsigned("max-request-bytes", 1_572_864, upTo: UInt64(Int32.max), "Largest request of a client in bytes."),
        .signed("compaction-batch-limit", 1000, "Revisions that one batch of a compaction deletes.")
            .formerly("experimental-compaction-batch-limit"),
        .duration("compaction-sleep-interval", "10ms", "Pause between two batches of a compaction.")
            .formerly("experimental-compaction-sleep-interval"),
        .text("auto-compaction-retention", "0", "What automatic compaction keeps: hours, a duration, or revisions."),
        .text("auto-compaction-mode", "periodic", "Compacts by time ('periodic') or by 'revision'."),
        .unsigned(
            "bootstrap-defrag-threshold-megabytes", 0, upTo: UInt64(Int32.max),
            "Defragment at the start when that frees at least so many megabytes; 0 is never."
        )
        .formerly("experimental-bootstrap-defrag-threshold-megabytes"),
        .duration("watch-progress-notify-interval", "10m", "Time between two progress notifications of a watcher.")
            .formerly("experimental-watch-progress-notify-interval"),
        .toggle("memory-mlock", false, "Keep the process's memory out of swap.")
            .formerly("experimental-memory-mlock"),
        .toggle(
            "experimental-txn-mode-write-with-shared-buffer", true, "Let transactions that write read a shared buffer."
        )
        .switching("TxnModeWriteWithSharedBuffer")
        .withoutEffect("transactions copy nothing to begin with"),
        .toggle(
            "experimental-stop-grpc-service-on-defrag", false,
            "Let the health service say that the member does not serve while it defragments."
        )
        .switching("StopGRPCServiceOnDefrag"),
    ]
}

/// Physical compaction of the store.
public struct CompactionSettings: Equatable, Sendable {
    /// Revisions that one batch deletes; nil when nobody said how many, so that batches are as small as is good.
    public var batchLimit: Int?
    /// The pause between two batches; nil when nobody said how long.
    public var sleepMilliseconds: Int64?

    init(_ settings: Settings) {
        let limit: Int = settings.number("compaction-batch-limit")
        let pause = settings.milliseconds("compaction-sleep-interval")
        // etcd takes what is not above zero for "not given".
        batchLimit = settings.isGiven("compaction-batch-limit") && limit > 0 ? limit : nil
        sleepMilliseconds = settings.isGiven("compaction-sleep-interval") && pause > 0 ? pause : nil
    }
}
