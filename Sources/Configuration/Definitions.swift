extension MemberConfiguration {
    private static let clientURL = "http://localhost:2379"
    private static let peerURL = "http://localhost:2380"

    /// Every flag of the member, in the order in which the help shows them.
    static let definitions: [Flags.Definition] = [
        .init("name", "default", "Human-readable name for this member."),
        .init("data-dir", "", "Path to the data directory; ${name}.etcd when empty."),
        .init("wal-dir", "", "Path to a separate directory for the write-ahead log."),
        .init("snapshot-count", "10000", "Applied entries after which a snapshot is written."),
        .init(
            "snapshot-catchup-entries", "5000",
            "Entries kept in memory behind a snapshot for members that are a little late."),
        .init("experimental-snapshot-catchup-entries", "5000", "The name of snapshot-catchup-entries up to etcd 3.5."),
        .init("max-snapshots", "5", "Snapshot files to keep; 0 keeps all."),
        .init("max-wals", "5", "Segments of the write-ahead log to keep; 0 keeps all."),
        .init("heartbeat-interval", "100", "Milliseconds between heartbeats of the leader."),
        .init("election-timeout", "1000", "Milliseconds without a leader after which an election starts."),
        .init(
            "initial-election-tick-advance", "true", isSwitch: true,
            "Whether a starting member shortens its first wait for a leader once its peers are connected."),
        .init(
            "strict-reconfig-check", "true", isSwitch: true,
            "Whether changes of the members that would put the quorum at risk are refused."),
        .init("max-learners", "1", "Most learners in the cluster; the same on all members."),
        .init("experimental-max-learners", "1", "An older name of --max-learners."),
        .init("pre-vote", "true", isSwitch: true, "Whether an election is preceded by a trial vote."),
        .init("listen-peer-urls", peerURL, "URLs to listen on for other members."),
        .init("listen-client-urls", clientURL, "URLs to listen on for clients."),
        .init("quota-backend-bytes", "0", "Size of the backend file at which writes are refused; 0 is 2 GiB."),
        .init("backend-batch-interval", "0", "Longest time before a backend transaction is committed; 0 is 100ms."),
        .init("backend-batch-limit", "0", "Operations before a backend transaction is committed; 0 is 10000."),
        .init("max-txn-ops", "128", "Most operations in one transaction."),
        .init("max-request-bytes", "1572864", "Largest request of a client in bytes."),
        .init("initial-advertise-peer-urls", peerURL, "This member's peer URLs, told to the other members."),
        .init("initial-cluster", "", "Members to bootstrap with, as name=URL,…; this member alone when empty."),
        .init("initial-cluster-state", "new", "Whether the cluster is 'new' or 'existing'."),
        .init(
            "force-new-cluster", "false", isSwitch: true,
            "Makes the member that the data directory holds the only one of its cluster."),
        .init("initial-cluster-token", "etcd-cluster", "Token that keeps clusters apart."),
        .init("advertise-client-urls", clientURL, "This member's client URLs, told to clients."),
        .init("auto-compaction-mode", "periodic", "Compacts by time ('periodic') or by 'revision'."),
        .init("auto-compaction-retention", "0", "What automatic compaction keeps: hours, a duration, or revisions."),
        .init(
            "experimental-initial-corrupt-check", "false", isSwitch: true,
            "Compare the data with the other members' before serving anyone."),
        .init("corrupt-check-time", "0s", "Time between two comparisons of all members' data; 0s is never."),
        .init("experimental-corrupt-check-time", "0s", "An older name of --corrupt-check-time."),
        .init(
            "experimental-compact-hash-check-enabled", "false", isSwitch: true,
            "Compare the hashes that members keep of each compaction."),
        .init("compact-hash-check-time", "1m", "Time between two comparisons of compactions' hashes."),
        .init("experimental-compact-hash-check-time", "1m", "An older name of --compact-hash-check-time."),
        .init(
            "experimental-enable-lease-checkpoint", "false", isSwitch: true,
            "Record the remaining TTL of long leases in the log; when not given, from cluster version 3.6 on."),
        .init(
            "experimental-enable-lease-checkpoint-persist", "false", isSwitch: true,
            "Keep recorded TTLs over a restart also below cluster version 3.6."),
        .init(
            "feature-gates", "",
            "Features to switch, as Name=true,…: CompactHashCheck, InitialCorruptCheck, LeaseCheckpoint."),
        .init("log-level", "info", "Least severe log lines to write: debug, info, warn, error, panic, fatal."),
        .init("logger", "zap", "Form of the log lines; only 'zap', JSON lines."),
        .init("log-outputs", "default", "Where log lines go; 'default' is standard error."),
        .init("version", "false", isSwitch: true, "Print the version and exit."),
        .init("help", "false", isSwitch: true, "Print this text and exit."),
    ]

    /// The text that `--help` shows.
    public static var help: String {
        var text =
            "Usage:\n\n  etcd [flags]\n    Start an etcd server.\n\nFlags (each also as ETCD_NAME in the environment):\n"
        for definition in definitions {
            let value = definition.isSwitch ? "" : " '\(definition.fallback)'"
            text += "  --\(definition.name)\(value)\n    \(definition.help)\n"
        }
        return text
    }
}
