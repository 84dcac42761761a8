import Configuration
import Disk
import EtcdAPI
import GRPC
import Glibc
import Logging
import MVCC
import Member
import Membership
import Metrics
import NIOCore
import NIOPosix
import PeerTransport
import Synchronization
import Tracing
import Watch
import WriteAheadLog

/// A running member: its threads, its listeners, and the order in which they come and go.
public final class EtcdMember: @unchecked Sendable {
    /// How long calls that are under way may take when the member stops.
    private static let shutdownLimit = TimeAmount.seconds(3)
    /// One core is left to the member's own thread, which every write passes through.
    private static let eventLoops = max(1, System.coreCount - 1)
    /// Threads for reads that would hold an event loop up.
    private static let readerThreads = 2

    private let configuration: MemberConfiguration
    private let logger: Logger
    private let group: MultiThreadedEventLoopGroup
    private let readers: NIOThreadPool
    private let hashers: NIOThreadPool
    private let passwords: PasswordPool
    private let member: MemberThread
    private let log: LogThread
    private let backend: BackendThread
    private let watch: WatchThread
    private var threads: [ServiceThread] = []
    private var memberThread: ServiceThread?
    /// Sends the spans of traced calls.
    private var exporter: SpanExporter?
    private let clients: Server
    private let http: HTTPService
    private let peers: PeerTransport
    private let corruption: CorruptionMonitor
    private let notice: ServingNotice
    private let audit: AuditTrail?

    /// Starts a member, and returns when it serves clients.
    /// - Parameter removed: called when the member was removed from its cluster and is to be stopped; then it may have
    ///   never served.
    public static func start(
        _ configuration: MemberConfiguration, logger: Logger, removed: @escaping @Sendable () -> Void
    ) async throws -> EtcdMember {
        raiseDescriptorLimit()
        let configuration = DefaultHost.advertise(in: configuration, logger: logger)
        if configuration.locksMemory { try MemoryLock.take(logger) }
        // The ports come first: without them nothing is made on the disk.
        let sockets = configuration.sockets
        let peerSockets = try configuration.listenPeerURLs.map { try ListeningSocket($0, sockets) }
        let listeners = try ClientListeners(configuration)
        let tls = try MemberTLS(configuration, logger: logger)
        let tokens = try TokenProviders(configuration.auth, logger: logger)
        let observation = Observation(configuration, logger: logger)
        let audit = try AuditTrail.open(configuration.audit, metrics: observation.metrics.audit, logger: logger)
        let bootstrap = try await Bootstrap.prepare(configuration, tls, logger: logger)
        let opened = try open(bootstrap.configuration, bootstrap, logger: logger)
        logger.info(
            "starting an etcd server",
            metadata: [
                "etcd-version": .string(EtcdVersion.server), "name": .string(configuration.name),
                "data-dir": .string(configuration.dataDirectory),
                "local-member-id": .string(Identity.text(opened.memberID)),
                "cluster-id": .string(Identity.text(opened.clusterID)),
                "initial-cluster-state": .string(
                    opened.isNew ? configuration.initialClusterState.rawValue : "restarted"),
            ])
        for note in opened.notes { logger.warning("\(note)") }
        let ready = ReadySignal()
        let isRemoved = Atomic(false)
        let member = EtcdMember(
            configuration, opened, tls, tokens, observation, audit: audit, logger: logger,
            ready: { ready.signal() },
            removed: {
                isRemoved.store(true, ordering: .releasing)
                removed()
                ready.signal()
            })
        member.exporter = try observation.exporter(configuration.tracing, group: member.group, logger: logger)
        member.exporter?.start()
        for peer in opened.firstPeers { member.peers.setPeer(peer.id, urls: peer.peerURLs) }
        let others = opened.core.applier.storedMembers.filter { $0.id != opened.memberID }
        try await member.corruption.checkBeforeServing(others: others.map { ($0.id, $0.peerURLs) })
        for socket in peerSockets {
            try await member.peers.accept(from: socket.take(), tls: tls.forPeers(socket.url))
        }
        member.run(opened)
        try await listeners.serveMonitoring(member.clients, member.http, tls, logger: logger)
        await ready.wait()
        if isRemoved.load(ordering: .acquiring) { return member }
        member.corruption.start()
        logger.info("ready to serve client requests")
        try await listeners.serve(member.clients, member.http, tls, logger: logger)
        return member
    }

    private static func open(
        _ configuration: MemberConfiguration, _ bootstrap: Bootstrap, logger: Logger
    ) throws(StartError) -> OpenedMember {
        try OpenedMember.open(
            configuration,
            MemberSurroundings(
                disk: POSIXDisk(synchronizes: !configuration.unsafeNoFsync), randomNumber: { Int.random(in: 0..<$0) },
                unixMilliseconds: Clock.unixMilliseconds,
                waitingForLock: { path in
                    logger.info(
                        "waiting for the lock on the database, which another process holds",
                        metadata: ["path": .string(path)])
                },
                raftLog: { level, line in
                    // The ordinary second acknowledgement of entries that are written; one a batch would fill the log.
                    if line.hasSuffix("missing from unstable log; ignoring") { return }
                    switch level {
                    case .debug: logger.debug("\(line)")
                    case .info: logger.info("\(line)")
                    case .warning: logger.warning("\(line)")
                    case .error: logger.error("\(line)")
                    }
                }), joining: bootstrap.joined, comparison: bootstrap.comparison)
    }

    private init(
        _ configuration: MemberConfiguration, _ opened: OpenedMember, _ tls: MemberTLS, _ tokens: TokenProviders,
        _ observation: Observation, audit: AuditTrail?, logger: Logger, ready: @escaping @Sendable () -> Void,
        removed: @escaping @Sendable () -> Void
    ) {
        self.configuration = configuration
        self.logger = logger
        group = MultiThreadedEventLoopGroup(numberOfThreads: Self.eventLoops)
        readers = NIOThreadPool(numberOfThreads: Self.readerThreads)
        readers.start()
        hashers = NIOThreadPool(numberOfThreads: 1)
        hashers.start()
        self.audit = audit
        let metrics = observation.metrics
        let status = MemberStatus(
            memberID: opened.memberID, clusterID: opened.clusterID,
            requestIDs: RequestIDs(
                memberID: opened.memberID, startedAt: Clock.unixMilliseconds, series: .clients))
        let publisher = opened.core.applier.store.publisher
        metrics.show(status, publisher, quota: configuration.quotaBackendBytes)
        QuotaNote.write(configuration.quotaBackendBytes, logger)
        let member = MemberThread(configuration, ready: ready, removed: removed)
        self.member = member
        let failure = DiskFailure(
            member: member, electionMilliseconds: Int64(configuration.electionMilliseconds), logger: logger)
        let backend = BackendThread(
            disk: POSIXDisk(synchronizes: !configuration.unsafeNoFsync), walDirectory: opened.paths.wal,
            snapshots: opened.snapshots,
            kept: .init(segments: configuration.maxWALs, snapshots: configuration.maxSnapshots), logger: logger,
            metrics: metrics, committed: { member.send(.committed($0, $1)) },
            restored: { member.send(.restored($0)) },
            defragmented: { work, outcome in member.perform { $0.defragmentationEnded(work, outcome) } },
            failed: { failure.stop("failed to commit the backend", $0) })
        self.backend = backend
        log = LogThread(
            snapshots: opened.snapshots, logger: logger, metrics: metrics, done: { member.send(.appended($0)) },
            snapshotSaved: { member.send(.snapshotSaved($0)) },
            segmentBegan: { backend.send(.prepareSegment($0)) },
            failed: { failure.stop("failed to write the write-ahead log", $0) })
        watch = WatchThread(publisher: publisher, status: status, metrics: metrics)
        let authority = Authority(
            provider: tokens.provider, trustsCertificates: configuration.clientTLS.requiresClientCertificate,
            status: status)
        opened.core.applier.auth.publish(through: authority.publisher)
        metrics.show(authority.publisher)
        passwords = PasswordPool(cost: configuration.auth.bcryptCost)
        tokens.start(on: group.next(), pool: passwords)
        let memory = ResponseMemory(limit: LargeReads.memoryLimit)
        let large = LargeReads(readers: readers, memory: memory)
        let settings = Server.Configuration(configuration, memory: memory)
        let gateways = Gateways(
            Array(group.makeIterator()), member: member, authority: authority, memory: memory, stages: metrics.stages)
        http = HTTPService(
            gateways: gateways, member: member, status: status, metrics: metrics, settings: configuration.http,
            auth: authority.publisher,
            v2: StoreV2Service(
                configuration, member: member, status: status, large: large, metrics: metrics.storeV2),
            audit: audit, bodyLimit: settings.maximumHTTPBody)
        let hashes = HashStore(
            hashers: hashers, publisher: publisher, logger: logger, metrics: metrics.store)
        let peerService = PeerService(member: member, gateways: gateways, status: status, hashes: hashes)
        peers = PeerTransport(
            group: group,
            settings: PeerTransport.Settings(
                memberID: opened.memberID, clusterID: opened.clusterID, serverVersion: EtcdVersion.server,
                advertisedPeerURLs: configuration.initialAdvertisePeerURLs,
                electionMilliseconds: Int64(configuration.electionMilliseconds), snapshots: opened.snapshots,
                logger: logger, dialler: tls.dialler, metrics: metrics
            ).following(configuration),
            events: PeerEvents(
                received: { member.send(.messages($0)) }, unreachable: { member.send(.unreachable($0)) },
                gone: { member.send(.gone($0)) },
                snapshotReported: { member.send(.snapshotReported(to: $0, succeeded: $1)) },
                removed: { member.send(.removedByPeers) }, request: { peerService.answer($0) }))
        let leases = LeaseForwarder(
            member: member, peers: peers, requestTimeout: opened.core.settings.requestTimeout)
        corruption = CorruptionMonitor(
            configuration.corruptionChecks, hashes: hashes, member: member, peers: peers, status: status,
            requestTimeout: opened.core.settings.requestTimeout, logger: logger)
        let leaders = LeaderRequirement(
            status: status, electionMilliseconds: Int64(configuration.electionMilliseconds))
        let services = Services(
            Services.Needs(
                gateways: gateways, member: member, status: status, publisher: publisher,
                large: large,
                hashers: hashers, watch: watch, leases: leases, promotion: Promotion(member: member, peers: peers),
                passwords: passwords, configuration: configuration, logger: logger,
                observation: observation, audit: audit))
        notice = services.notice
        let guards = CallGuards(
            leaders: leaders, learners: LearnerRestriction(status: status), auth: AuthGuard(gateways: gateways),
            audit: audit)
        let methods = guards.guarding(services.methods)
        clients = Server(
            group: group, configuration: settings, methods: methods,
            observer: CallObservation.observer(observation, audit: audit.map { ($0, authority) }, logger),
            readBatchEnded: { gateways[$0].flush() })
        parts = MemberThread.Parts(
            core: opened.core, log: log, backend: backend, watch: watch, peers: peers, status: status,
            leaders: leaders, leases: leases, hashes: hashes, metrics: metrics, slow: observation.slow,
            settings: MemberThread.Settings(
                autoCompactor: AutoCompactor(configuration.autoCompaction), compaction: configuration.compaction,
                advancesFirstElection: configuration.advancesFirstElection,
                versions: VersionMonitor(logger: logger) { [peers] in
                    await PeerQueries(peers, logger: logger).versions(of: $0).map { $0?.server }
                },
                logger: logger))
    }

    /// What the member's thread is started with; nil once it has it.
    private var parts: MemberThread.Parts?

    private func run(_ opened: OpenedMember) {
        guard let parts else { preconditionFailure("a member is started once") }
        self.parts = nil
        threads = [log.start(opened.log), backend.start()]
        if let audit { threads.append(audit.start()) }
        var options = WatchOptions(clusterID: opened.clusterID, memberID: opened.memberID)
        options.fragmentBytes = Server.Configuration(configuration).maximumMessageSize
        threads.append(watch.start(options, progressEvery: configuration.watchProgressMilliseconds))
        nonisolated(unsafe) let handedOver = parts
        memberThread = member.start(handedOver)
    }

    /// Hands the leadership over, stops serving, finishes what is under way, and closes the files.
    public func stop() async {
        corruption.stop()
        notice.memberStops()
        await withCheckedContinuation { continuation in member.perform { $0.handOver { continuation.resume() } } }
        try? await clients.shutdown(limit: Self.shutdownLimit)
        ListeningSocket.removeFiles(of: configuration)
        await peers.stop()
        member.send(.stop)
        memberThread?.join()
        watch.send(.stop)
        log.send(.stop)
        backend.send(.stop)
        audit?.stop()
        for thread in threads { thread.join() }
        // Its thread has ended, so the core is this one's now.
        let database = member.core.applier.backend
        do {
            try database.commitNow()
        } catch {
            logger.warning("the last commit of the backend failed", metadata: ["error": .string("\(error)")])
        }
        database.close()
        try? await readers.shutdownGracefully()
        try? await hashers.shutdownGracefully()
        await passwords.shutDown()
        await exporter?.stop()
        try? await group.shutdownGracefully()
    }

    /// Every connection takes a descriptor, and the usual soft limit of 1024 is for programs that use `select`.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
