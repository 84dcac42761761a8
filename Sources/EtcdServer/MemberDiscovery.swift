import Configuration
import Discovery
import Logging
import Member
import Membership
import NIOCore

/// How a new member finds the others when the flags do not name them: by a discovery service, or by the DNS.
enum MemberDiscovery {
    /// `configuration` with the initial cluster that was found, and the token from which the members' ids follow.
    static func complete(_ configuration: MemberConfiguration, logger: Logger) async throws -> MemberConfiguration {
        let discovery = configuration.discovery
        guard discovery.isUsed else { return configuration }
        var found = configuration
        if !discovery.srvDomain.isEmpty {
            found.initialClusterText = try await ServiceRecordLookup.cluster(configuration, logger: logger)
            guard try found.initialCluster().peerURLs.contains(where: { $0.name == configuration.name }) else {
                throw StartError("cannot find local etcd member \"\(configuration.name)\" in SRV records")
            }
            return found
        }
        guard configuration.initialClusterState == .new else {
            throw StartError("discovery URL should not be set when joining existing initial cluster")
        }
        let own = configuration.initialAdvertisePeerURLs.sorted()
        let ownText = own.map { "\(configuration.name)=\($0)" }.joined(separator: ",")
        found.initialClusterToken = discovery.service?.token ?? discovery.url
        let id = Identity.member(peerURLs: own, token: found.initialClusterToken)
        let cluster: InitialCluster
        if let service = discovery.service {
            let client = DiscoveryClientV3(service, logger: logger)
            cluster = try await client.join(
                DiscoveryV3(token: service.token, id: id, ownURLs: ownText))
        } else {
            let client = try DiscoveryClientV2(url: discovery.url, proxy: discovery.proxy, logger: logger)
            cluster = try await client.join(id: id, ownURLs: ownText)
        }
        found.initialClusterText = cluster.text
        return found
    }

    /// Says how far a discovery is.
    static func note(found: [String], wanted: Int, _ logger: Logger) {
        logger.info(
            "found peers from discovery server; waiting for more",
            metadata: [
                "found-peers": .array(found.map { .string($0) }),
                "needed-peers": .stringConvertible(max(0, wanted - found.count)),
            ])
    }

    static func notePause(_ seconds: Int, _ reason: String, _ logger: Logger) {
        logger.warning(
            "retry connecting to discovery service",
            metadata: ["reason": .string(reason), "backoff": .string("\(seconds)s")])
    }
}
