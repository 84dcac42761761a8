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
    public var compaction: CompactionSettings
    /// The megabytes that a defragmentation at the start must free to be done; 0 never defragments.
    public var bootstrapDefragmentationMegabytes: Int
    /// The time between two progress notifications of a watcher that hears nothing else.
    public var watchProgressMilliseconds: Int64
    /// The time between two looks at a downgrade.
    public var downgradeCheckMilliseconds: Int64
    /// Whether the process's memory is kept out of swap.
    public var locksMemory: Bool
    /// Whether files are never synchronised, which loses data when the machine stops.
    public var unsafeNoFsync: Bool
    /// HTTP alone is served here; when there are such URLs, `listenClientURLs` serve gRPC alone.
    public var listenClientHTTPURLs: [ServiceURL]
    public var sockets: SocketOptions
    public var grpc: GRPCSettings
    public var http: HTTPSettings
    public var peerTimeouts: PeerTimeouts
    public var clientTLS: TransportSecurity
    public var peerTLS: TransportSecurity
    public var tlsPolicy: TLSPolicy
    public var auth: AuthSettings
    public var discovery: DiscoverySettings
    public var v2: V2Settings
    public var corruptionChecks: CorruptionChecks
    public var leaseCheckpoints: LeaseCheckpoints
    public var features: FeatureGates
    public var monitoring: MonitoringSettings
    public var tracing: TracingSettings
    public var logging: LoggingSettings
    public var audit: AuditSettings
    /// What the log is to say about the way in which the member was told all this.
    public var notes: [ConfigurationNote]

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

    /// The bytes of a configuration file that are read at most; a longer one is refused.
    public static let longestFile = FileReading.longest

    /// What the command line asks for.
    public enum Request: Sendable {
        case run(MemberConfiguration)
        case showVersion
        case showHelp
    }

    /// Reads the command line (without the program's name), the environment, and the file that one of them names.
    /// - Parameter readFile: the text of the file at a path, or the reason why there is none.
    public static func parse(
        arguments: [String], environment: [String: String],
        readFile: (String) -> Result<String, InvalidConfiguration> = {
            .failure(InvalidConfiguration("open \($0): no such file or directory"))
        }
    ) throws(InvalidConfiguration) -> Request {
        if let word = arguments.first, word == "gateway" || word == "grpc-proxy" {
            throw InvalidConfiguration("the command '\(word)' is not part of this server; etcd's own has it")
        }
        let settings = Settings(definitions)
        let commandLine = CommandLineReading(arguments, into: settings)
        if commandLine.wantsHelp { return .showHelp }
        if commandLine.wantsVersion && settings.mistakes.isEmpty { return .showVersion }
        var notes: [ConfigurationNote] = []
        var path = settings.text("config-file")
        if path.isEmpty { path = environment["ETCD_CONFIG_FILE"] ?? "" }
        if path.isEmpty {
            notes += EnvironmentReading.read(environment, into: settings)
        } else {
            settings.forgetAll()
            switch readFile(path) {
            case .success(let text): FileReading.read(text, file: path, into: settings)
            case .failure(let error): error.mistakes.forEach { settings.note($0.text) }
            }
            notes.append(.fileLoaded(path))
        }
        settings.checkNames()
        var configuration = MemberConfiguration(settings)
        guard settings.mistakes.isEmpty else { throw InvalidConfiguration(settings.mistakes) }
        configuration.notes = notes + ConfigurationNote.notes(settings, configuration)
        return .run(configuration)
    }

    /// etcd's limit on the election timeout.
    private static let longestElectionMilliseconds = 50_000
    /// etcd's default quota: 2 GiB.
    private static let defaultQuotaBytes: Int64 = 2 << 30

    private init(_ settings: Settings) {
        name = settings.text("name")
        let directory = settings.text("data-dir")
        dataDirectory = directory.isEmpty ? "\(name).etcd" : directory
        walDirectory = settings.text("wal-dir")
        snapshotCount = settings.number("snapshot-count")
        snapshotCatchUpEntries = settings.number("snapshot-catchup-entries")
        maxSnapshots = settings.number("max-snapshots")
        maxWALs = settings.number("max-wals")
        heartbeatMilliseconds = settings.number("heartbeat-interval")
        electionMilliseconds = settings.number("election-timeout")
        advancesFirstElection = settings.isOn("initial-election-tick-advance")
        preVote = settings.isOn("pre-vote")
        strictReconfigurationCheck = settings.isOn("strict-reconfig-check")
        maximumLearners = settings.number("max-learners")
        let quota: Int64 = settings.number("quota-backend-bytes")
        quotaBackendBytes = quota == 0 ? Self.defaultQuotaBytes : quota
        maxTxnOperations = settings.number("max-txn-ops")
        maxRequestBytes = settings.number("max-request-bytes")
        autoCompaction = AutoCompaction(settings)
        let interval = settings.milliseconds("backend-batch-interval")
        backendBatchMilliseconds = interval == 0 ? 100 : Int(interval)
        let limit: Int = settings.number("backend-batch-limit")
        // etcd takes what is not above zero for "not given".
        backendBatchLimit = limit <= 0 ? 10_000 : limit
        compaction = CompactionSettings(settings)
        bootstrapDefragmentationMegabytes = settings.number("bootstrap-defrag-threshold-megabytes")
        watchProgressMilliseconds = settings.milliseconds("watch-progress-notify-interval")
        downgradeCheckMilliseconds = settings.milliseconds("downgrade-check-time")
        locksMemory = settings.isOn("memory-mlock")
        unsafeNoFsync = settings.isOn("unsafe-no-fsync")
        forcesNewCluster = settings.isOn("force-new-cluster")
        listenClientURLs = settings.urls("listen-client-urls")
        listenClientHTTPURLs = settings.urls("listen-client-http-urls")
        listenPeerURLs = settings.urls("listen-peer-urls")
        let advertisedClients = settings.urls("advertise-client-urls")
        advertiseClientURLs = advertisedClients.map(\.text)
        let advertisedPeers = settings.urls("initial-advertise-peer-urls")
        initialAdvertisePeerURLs = advertisedPeers.map(\.text)
        initialClusterToken = settings.text("initial-cluster-token")
        initialClusterState = ClusterState(rawValue: settings.choice("initial-cluster-state")) ?? .new
        sockets = SocketOptions(settings)
        grpc = GRPCSettings(settings)
        http = HTTPSettings(settings)
        peerTimeouts = PeerTimeouts(settings)
        clientTLS = TransportSecurity(client: settings)
        peerTLS = TransportSecurity(peer: settings)
        tlsPolicy = TLSPolicy(settings)
        auth = AuthSettings(settings)
        discovery = DiscoverySettings(settings)
        v2 = V2Settings(settings)
        features = FeatureGates(settings)
        corruptionChecks = CorruptionChecks(settings, gates: features)
        leaseCheckpoints = LeaseCheckpoints(settings, gates: features)
        monitoring = MonitoringSettings(settings)
        tracing = TracingSettings(settings)
        logging = LoggingSettings(settings)
        audit = AuditSettings(settings)
        notes = []
        initialClusterText = settings.text("initial-cluster")
        if initialClusterText.isEmpty && !discovery.isUsed {
            initialClusterText = initialAdvertisePeerURLs.map { "\(name)=\($0)" }.joined(separator: ",")
        }
        check(settings)
        checkAdvertised(clients: advertisedClients, peers: advertisedPeers, settings)
    }

    /// What contradicts itself, in etcd's order.
    private func check(_ settings: Settings) {
        for urls in [listenPeerURLs, listenClientURLs, listenClientHTTPURLs] {
            URLRules.checkBindable(urls, settings)
        }
        if listenPeerURLs.isEmpty { settings.note("--listen-peer-urls names no URL") }
        if listenClientURLs.isEmpty { settings.note("--listen-client-urls names no URL") }
        let ways = [
            !discovery.url.isEmpty, settings.isGiven("initial-cluster") && !initialClusterText.isEmpty,
            !discovery.srvDomain.isEmpty, discovery.service != nil,
        ]
        if ways.filter({ $0 }).count > 1 {
            settings.note(
                "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery\", "
                    + "\"discovery-endpoints\" or \"discovery-srv\"")
        }
        checkTimers(settings)
        if maxRequestBytes == 0 { settings.note("--max-request-bytes must be >0 (set to 0)") }
    }

    private func checkAdvertised(clients: [ServiceURL], peers: [ServiceURL], _ settings: Settings) {
        if let url = URLRules.withoutHost(peers) {
            settings.note(
                "--initial-advertise-peer-urls \"\(peers.map(\.text).joined(separator: ","))\" must be "
                    + "\"host:port\" (unexpected empty host (\(url.text)))")
        }
        if let url = URLRules.withoutHost(clients) {
            settings.note(
                "--advertise-client-urls \"\(clients.map(\.text).joined(separator: ","))\" must be \"host:port\" "
                    + "(unexpected empty host (\(url.text)))")
        }
        // A file keeps the default beside its own listeners, as in etcd.
        if settings.file == nil && settings.isGiven("listen-client-urls") && settings.refused.isEmpty
            && !settings.isGiven("advertise-client-urls")
        {
            settings.note("--advertise-client-urls is required when --listen-client-urls is set explicitly")
        }
    }

    private func checkTimers(_ settings: Settings) {
        let (heartbeat, election) = (heartbeatMilliseconds, electionMilliseconds)
        if heartbeat == 0 { settings.note("--heartbeat-interval must be >0 (set to 0ms)") }
        if election == 0 { settings.note("--election-timeout must be >0 (set to 0ms)") }
        if heartbeat > 0 && election > 0 && 5 * heartbeat > election {
            settings.note(
                "--election-timeout[\(election)ms] should be at least as 5 times as --heartbeat-interval[\(heartbeat)ms]"
            )
        }
        if election > Self.longestElectionMilliseconds {
            settings.note(
                "--election-timeout[\(election)ms] is too long, and should be set less than "
                    + "\(Self.longestElectionMilliseconds)ms")
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

extension MemberConfiguration.AutoCompaction {
    /// Reads the mode and what it keeps.
    init(_ settings: Settings) {
        let text = settings.text("auto-compaction-retention")
        let mode = settings.text("auto-compaction-mode")
        var reason: String?
        self = .off
        switch mode {
        case "periodic":
            // A bare number counts hours.
            if let hours = Int64(text) {
                if hours < 0 || hours >= 1 << 32 { reason = "out of range" }
                if hours > 0 { self = .periodic(milliseconds: hours &* 3_600_000) }
            } else if let nanoseconds = GoDuration.nanoseconds(text), nanoseconds >= 0 {
                if nanoseconds > 0 { self = .periodic(milliseconds: max(1, nanoseconds / 1_000_000)) }
            } else {
                reason = "no duration such as 5m, and no number of hours"
            }
        case "revision":
            let count = Int64(text) ?? -1
            if count < 0 { reason = "no number of revisions" }
            if count > 0 { self = .revision(count: count) }
        case "": settings.note("undefined auto-compaction-mode")
        default: settings.note("unknown auto-compaction-mode \"\(mode)\"")
        }
        if let reason { settings.note("error parsing auto-compaction-retention \"\(text)\": \(reason)") }
    }
}
