import Membership

/// What a member is told when it starts: etcd's flags with etcd's defaults.
public struct MemberConfiguration: Sendable {
    public var name: String
    public var dataDirectory: String
    /// Where the write-ahead log lies when it has a disk of its own.
    public var walDirectory: String
    public var listenClientURLs: [ServiceURL]
    public var advertiseClientURLs: [String]
    public var listenPeerURLs: [ServiceURL]
    public var initialAdvertisePeerURLs: [String]
    /// The initial cluster as it was given; a member that exists does without it, so it need not make sense.
    public var initialClusterText: String
    public var initialClusterToken: String
    public var initialClusterState: ClusterState
    /// Whether a member that exists becomes the only one of its cluster.
    public var forcesNewCluster: Bool
    /// Applied entries between two snapshots.
    public var snapshotCount: UInt64
    /// Entries kept in memory behind a snapshot for members that are a little late.
    public var snapshotCatchUpEntries: UInt64
    /// Snapshot files, and databases sent by leaders, that are kept; 0 keeps all.
    public var maxSnapshots: Int
    /// Segments of the write-ahead log that are kept; 0 keeps all.
    public var maxWALs: Int
    public var heartbeatMilliseconds: Int
    public var electionMilliseconds: Int
    /// Whether the first election comes earlier than an election timeout when the peers are connected.
    public var advancesFirstElection: Bool
    public var preVote: Bool
    /// Whether changes of the members that would put the quorum at risk are refused.
    public var strictReconfigurationCheck: Bool
    /// The learners that the cluster may have; the same on all members.
    public var maximumLearners: Int
    /// The largest backend file in bytes; a negative number means no limit.
    public var quotaBackendBytes: Int64
    public var maxTxnOperations: Int
    public var maxRequestBytes: Int
    public var autoCompaction: AutoCompaction
    public var backendBatchMilliseconds: Int
    public var backendBatchLimit: Int
    public var corruptionChecks: CorruptionChecks
    public var leaseCheckpoints: LeaseCheckpoints
    public var logLevel: LogLevel

    /// Whether the initial cluster is being made or joined.
    public enum ClusterState: String, Sendable {
        case new, existing
    }

    /// The least severe log lines that are written.
    public enum LogLevel: String, Sendable, CaseIterable {
        case debug, info, warn, error, panic, fatal
    }

    /// What is compacted without being asked.
    public enum AutoCompaction: Equatable, Sendable {
        case off
        /// Keeps the history of the last so many milliseconds.
        case periodic(milliseconds: Int64)
        /// Keeps the last so many revisions.
        case revision(count: Int64)
    }

    /// What the command line asks for.
    public enum Request: Sendable {
        case run(MemberConfiguration)
        case showVersion
        case showHelp
    }

    /// Reads the command line (without the program's name) and the environment.
    public static func parse(
        arguments: [String], environment: [String: String]
    ) throws(InvalidConfiguration) -> Request {
        let flags = try Flags(definitions, arguments: arguments, environment: environment)
        if try flags.isOn("help") { return .showHelp }
        if try flags.isOn("version") { return .showVersion }
        return .run(try MemberConfiguration(flags))
    }

    /// etcd's limit on the election timeout.
    private static let longestElectionMilliseconds = 50_000
    /// etcd's default quota: 2 GiB.
    private static let defaultQuotaBytes: Int64 = 2 << 30

    private init(_ flags: Flags) throws(InvalidConfiguration) {
        name = flags.text("name")
        let directory = flags.text("data-dir")
        dataDirectory = directory.isEmpty ? "\(name).etcd" : directory
        walDirectory = flags.text("wal-dir")
        listenClientURLs = try Self.urls(flags, "listen-client-urls")
        listenPeerURLs = try Self.urls(flags, "listen-peer-urls")
        advertiseClientURLs = try Self.urls(flags, "advertise-client-urls").map(\.text)
        initialAdvertisePeerURLs = try Self.urls(flags, "initial-advertise-peer-urls").map(\.text)
        for (flag, list) in [("listen-client-urls", listenClientURLs), ("listen-peer-urls", listenPeerURLs)] {
            try Self.checkBindable(list, flag)
        }
        if flags.given.contains("listen-client-urls") && !flags.given.contains("advertise-client-urls") {
            throw InvalidConfiguration(
                "--advertise-client-urls is required when --listen-client-urls is set explicitly")
        }
        initialClusterToken = flags.text("initial-cluster-token")
        guard let state = ClusterState(rawValue: flags.text("initial-cluster-state")) else {
            throw flags.invalid("initial-cluster-state", "is neither new nor existing")
        }
        initialClusterState = state
        forcesNewCluster = try flags.isOn("force-new-cluster")
        let clusterText = flags.text("initial-cluster")
        let alone = initialAdvertisePeerURLs.map { "\(flags.text("name"))=\($0)" }.joined(separator: ",")
        initialClusterText = clusterText.isEmpty ? alone : clusterText
        snapshotCount = try flags.number("snapshot-count")
        snapshotCatchUpEntries = try flags.number(
            flags.given.contains("snapshot-catchup-entries")
                ? "snapshot-catchup-entries" : "experimental-snapshot-catchup-entries")
        maxSnapshots = try flags.number("max-snapshots")
        guard maxSnapshots >= 0 else { throw flags.invalid("max-snapshots", "is below zero") }
        maxWALs = try flags.number("max-wals")
        guard maxWALs >= 0 else { throw flags.invalid("max-wals", "is below zero") }
        heartbeatMilliseconds = try flags.number("heartbeat-interval")
        electionMilliseconds = try flags.number("election-timeout")
        advancesFirstElection = try flags.isOn("initial-election-tick-advance")
        preVote = try flags.isOn("pre-vote")
        strictReconfigurationCheck = try flags.isOn("strict-reconfig-check")
        let learners = flags.given.contains("experimental-max-learners") ? "experimental-max-learners" : "max-learners"
        maximumLearners = try flags.number(learners)
        try Self.checkTimers(heartbeat: heartbeatMilliseconds, election: electionMilliseconds)
        let quota: Int64 = try flags.number("quota-backend-bytes")
        quotaBackendBytes = quota == 0 ? Self.defaultQuotaBytes : quota
        maxTxnOperations = try flags.number("max-txn-ops")
        maxRequestBytes = try flags.number("max-request-bytes")
        guard maxRequestBytes > 0 else { throw flags.invalid("max-request-bytes", "is not above zero") }
        autoCompaction = try Self.autoCompaction(flags)
        let interval = try flags.nanoseconds("backend-batch-interval")
        backendBatchMilliseconds = interval == 0 ? 100 : max(1, Int(interval / 1_000_000))
        let limit: Int = try flags.number("backend-batch-limit")
        backendBatchLimit = limit == 0 ? 10_000 : limit
        guard backendBatchLimit > 0 else { throw flags.invalid("backend-batch-limit", "is not above zero") }
        let gates = try FeatureGates(flags)
        corruptionChecks = try CorruptionChecks(flags, gates: gates)
        leaseCheckpoints = try LeaseCheckpoints(flags, gates: gates)
        guard let level = LogLevel(rawValue: flags.text("log-level")) else {
            throw flags.invalid("log-level", "is none of debug, info, warn, error, panic, fatal")
        }
        logLevel = level
        guard flags.text("logger") == "zap" else { throw flags.invalid("logger", "is not zap, the only logger") }
        guard ["default", "stderr"].contains(flags.text("log-outputs")) else {
            throw flags.invalid("log-outputs", "is neither default nor stderr")
        }
    }

    private static func urls(_ flags: Flags, _ name: String) throws(InvalidConfiguration) -> [ServiceURL] {
        var urls: [ServiceURL] = []
        for text in flags.text(name).split(separator: ",") {
            do throws(ServiceURL.Invalid) {
                urls.append(try ServiceURL(parsing: String(text)))
            } catch {
                throw InvalidConfiguration("invalid value \"\(flags.text(name))\" for flag --\(name): \(error)")
            }
        }
        guard !urls.isEmpty else { throw flags.invalid(name, "names no URL") }
        return urls
    }

    /// A listener needs an address; a name could mean several, and another one tomorrow.
    private static func checkBindable(_ urls: [ServiceURL], _ flag: String) throws(InvalidConfiguration) {
        for url in urls {
            guard url.scheme == .http || url.scheme == .unix else {
                throw InvalidConfiguration("--\(flag) \(url.text): TLS listeners are not served by this version")
            }
            guard url.scheme == .http, url.host != "localhost" else { continue }
            let isAddress = url.host.contains(":") || url.host.isEmpty || isIPv4(url.host)
            guard isAddress else {
                throw InvalidConfiguration("expected IP in URL for binding (\(url.text)) in --\(flag)")
            }
        }
    }

    private static func isIPv4(_ host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }

    private static func checkTimers(heartbeat: Int, election: Int) throws(InvalidConfiguration) {
        guard heartbeat > 0 else {
            throw InvalidConfiguration("--heartbeat-interval must be >0 (set to \(heartbeat)ms)")
        }
        guard election > 0 else { throw InvalidConfiguration("--election-timeout must be >0 (set to \(election)ms)") }
        guard 5 * heartbeat <= election else {
            throw InvalidConfiguration(
                "--election-timeout[\(election)ms] should be at least as 5 times as --heartbeat-interval[\(heartbeat)ms]"
            )
        }
        guard election <= longestElectionMilliseconds else {
            throw InvalidConfiguration(
                "--election-timeout[\(election)ms] is too long, and should be set less than \(longestElectionMilliseconds)ms"
            )
        }
    }

    private static func autoCompaction(_ flags: Flags) throws(InvalidConfiguration) -> AutoCompaction {
        let text = flags.text("auto-compaction-retention")
        switch flags.text("auto-compaction-mode") {
        case "periodic":
            // A bare number counts hours.
            if let hours = Int64(text), hours >= 0, hours < 1 << 32 {
                return hours == 0 ? .off : .periodic(milliseconds: hours * 3_600_000)
            }
            let nanoseconds = try flags.nanoseconds("auto-compaction-retention")
            return nanoseconds == 0 ? .off : .periodic(milliseconds: max(1, nanoseconds / 1_000_000))
        case "revision":
            let count: Int64 = try flags.number("auto-compaction-retention")
            guard count >= 0 else { throw flags.invalid("auto-compaction-retention", "is below zero") }
            return count == 0 ? .off : .revision(count: count)
        default:
            throw flags.invalid("auto-compaction-mode", "is neither periodic nor revision")
        }
    }

    /// The members that a new cluster starts with.
    public func initialCluster() throws(InvalidConfiguration) -> InitialCluster {
        do throws(InitialCluster.Invalid) {
            return try InitialCluster(parsing: initialClusterText)
        } catch {
            throw InvalidConfiguration("invalid value \"\(initialClusterText)\" for flag --initial-cluster: \(error)")
        }
    }

    /// The member that this configuration describes must be one of the initial cluster, by the same URLs: what etcd
    /// checks before it makes a new data directory.
    public func checkInitialCluster(_ comparison: URLComparison = URLComparison()) throws(InvalidConfiguration) {
        let listed = try ownInitialPeerURLs()
        let advertised = initialAdvertisePeerURLs.sorted()
        guard let difference = comparison.difference(advertised, listed) else { return }
        let advertisedText = advertised.joined(separator: ",")
        let missing = Set(listed).subtracting(advertised).sorted()
        guard missing.isEmpty else {
            throw InvalidConfiguration(
                "--initial-cluster has \(missing.map { "\(name)=\($0)" }.joined(separator: ",")) but missing from "
                    + "--initial-advertise-peer-urls=\(advertisedText) (\(difference))")
        }
        let extra = Set(advertised).subtracting(listed).sorted().joined(separator: ",")
        throw InvalidConfiguration(
            "--initial-advertise-peer-urls has \(extra) but missing from --initial-cluster=\(try initialCluster().text)"
        )
    }

    /// The peer URLs of this member in the initial cluster, which must name it.
    public func ownInitialPeerURLs() throws(InvalidConfiguration) -> [String] {
        guard let own = try initialCluster().peerURLs.first(where: { $0.name == name }) else {
            throw InvalidConfiguration("couldn't find local name \"\(name)\" in the initial cluster configuration")
        }
        return own.urls
    }
}
