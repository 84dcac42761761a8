import Configuration
import Disk
import Logging
import Member
import Membership
import NIOCore
import NIOPosix
import PeerTransport
import WriteAheadLog

/// What a member finds out from others before it makes its data directory: that it has not been made before, or which
/// cluster it joins.
struct Bootstrap {
    /// The cluster that is joined, and which of its members this one is.
    var joined: (cluster: RunningCluster, own: Membership.Member)?
    var comparison = URLComparison()
    /// What the flags say, with the members that were found.
    var configuration: MemberConfiguration

    /// How long other members may take to say whether this one has been bootstrapped (etcd's BootstrapTimeout).
    private static let bootstrapTimeout = TimeAmount.seconds(1)
    /// How long the members of a running cluster may take to describe it.
    private static let joinTimeout = TimeAmount.seconds(10)

    /// Asks whom `configuration` names; nothing is asked for a data directory that holds a member.
    static func prepare(
        _ configuration: MemberConfiguration, _ tls: MemberTLS, logger: Logger
    ) async throws -> Bootstrap {
        var bootstrap = Bootstrap(configuration: configuration)
        if OpenedMember.exists(configuration, on: POSIXDisk()) {
            logger.info(
                "the server is already initialized as member before, starting as etcd member...",
                metadata: ["data-dir": .string(configuration.dataDirectory), "dir-type": "member"])
            if configuration.discovery.isUsed {
                logger.warning("discovery token is ignored since cluster already initialized; valid logs are found")
            }
            return bootstrap
        }
        let configuration = try await MemberDiscovery.complete(configuration, logger: logger)
        bootstrap.configuration = configuration
        let own = try configuration.ownInitialPeerURLs()
        let joins = configuration.initialClusterState == .existing
        if !joins {
            let names = URLComparison.namesToResolve(own, configuration.initialAdvertisePeerURLs)
            bootstrap.comparison.addresses = await HostResolver.addresses(of: names, logger: logger)
            try configuration.checkInitialCluster(bootstrap.comparison)
        }
        let others = try configuration.initialCluster().peerURLs(except: configuration.name)
        guard !others.isEmpty else {
            if joins {
                throw StartError("--initial-cluster-state existing: --initial-cluster names no other member to ask")
            }
            return bootstrap
        }
        // The member's own transport needs ids, which are what is asked for here.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let transport = PeerTransport(
            group: group,
            settings: PeerTransport.Settings(
                memberID: 0, clusterID: 0, serverVersion: EtcdVersion.server,
                advertisedPeerURLs: configuration.initialAdvertisePeerURLs,
                electionMilliseconds: Int64(configuration.electionMilliseconds),
                snapshots: SnapshotDirectory(disk: POSIXDisk(), path: MemberPaths(configuration).snapshots),
                logger: logger, dialler: tls.dialler),
            events: PeerEvents(
                received: { $0.taken() }, unreachable: { _ in }, snapshotReported: { _, _ in }, removed: {},
                request: { $0.respond(PeerResponse(status: 503)) }))
        let queries = PeerQueries(transport, logger: logger)
        let outcome: Result<Void, any Error>
        do {
            if joins {
                try await bootstrap.join(configuration, others, queries, logger: logger)
            } else {
                try await refuseBootstrapped(configuration, others, queries)
            }
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        await transport.stop()
        try? await group.shutdownGracefully()
        try outcome.get()
        return bootstrap
    }

    /// A member that the others know as started must not begin with an empty log: it would have forgotten its votes.
    private static func refuseBootstrapped(
        _ configuration: MemberConfiguration, _ others: [String], _ queries: PeerQueries
    ) async throws {
        guard let cluster = await queries.anyCluster(at: others, timeout: bootstrapTimeout) else { return }
        let members = try configuration.initialCluster().members(token: configuration.initialClusterToken)
        let own = members.first { $0.name == configuration.name }
        guard let known = cluster.members.first(where: { $0.id == own?.id }), !known.clientURLs.isEmpty else { return }
        throw StartError("member \(Identity.text(known.id)) has already been bootstrapped")
    }

    /// Finds the place of this member in the cluster whose members listen at `others`.
    private mutating func join(
        _ configuration: MemberConfiguration, _ others: [String], _ queries: PeerQueries, logger: Logger
    ) async throws {
        guard let cluster = await queries.cluster(at: others, timeout: Self.joinTimeout) else {
            throw StartError(
                "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs ("
                    + "\(others.joined(separator: ",")))")
        }
        guard !cluster.members.isEmpty else {
            throw StartError(
                "cannot fetch cluster info from peer urls: failed to get raft cluster member(s) from the given URLs")
        }
        let initial = try configuration.initialCluster()
        let names = cluster.namesToResolve(for: initial)
        comparison.addresses = await HostResolver.addresses(of: names, logger: logger)
        let own = try cluster.member(configuration.name, of: initial, by: comparison)
        let versions = await queries.versions(of: cluster.members.filter { $0.id != own.id }).compactMap { $0?.cluster }
        let isDowngrading = await queries.isDowngrading(cluster.members.filter { $0.id != own.id })
        guard RunningCluster.isCompatible(versions, isDowngrading: isDowngrading) else {
            let told = versions.map(\.series).joined(separator: ", ")
            throw StartError(
                "incompatible with current running cluster (server version \(EtcdVersion.server), cluster versions told: "
                    + "\(told.isEmpty ? "none" : told))")
        }
        joined = (cluster, own)
    }
}
