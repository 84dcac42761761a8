import Logging
import Member
import Membership
import Synchronization

/// Keeps the cluster's version right: the leader asks every member for the version of its server, at the beginning of
/// its term and every four seconds, and proposes what follows.
///
/// Used on the member's thread.
final class VersionMonitor: @unchecked Sendable {
    /// etcd's monitorVersionInterval, in milliseconds.
    private static let interval: Int64 = 4_000

    /// Asks members for the versions of their servers; nil for one that does not tell it.
    private let ask: @Sendable ([Membership.Member]) async -> [ClusterVersion?]
    private let logger: Logger
    private var nextLook: Int64 = 0
    private var isAsking = false
    /// What was seen last.
    private var seen = Seen()

    /// What makes the monitor look at once when it changes.
    private struct Seen: Equatable {
        /// The term that this member leads and has applied an entry of.
        var ledTerm: UInt64?
        var version: ClusterVersion?
        var downgradeTarget: ClusterVersion?
        /// Whether the data directory is ready to be opened by the version that the cluster was taken back to.
        var isBack = false
    }

    init(logger: Logger, ask: @escaping @Sendable ([Membership.Member]) async -> [ClusterVersion?]) {
        self.logger = logger
        self.ask = ask
    }

    /// Notes what a turn of the member changed, and returns whether there is something to do because of it.
    func note(_ core: MemberCore) -> Bool {
        let cluster = core.applier.cluster
        var now = Seen(version: cluster.version, downgradeTarget: cluster.downgradeTarget)
        if core.isLeader && core.hasAppliedInTerm { now.ledTerm = core.term }
        if let target = cluster.downgradeTarget { now.isBack = cluster.version == target && !core.needsSnapshot }
        guard now != seen else { return false }
        log(now, core)
        seen = now
        nextLook = 0
        return true
    }

    private func log(_ now: Seen, _ core: MemberCore) {
        let ids: Logger.Metadata = [
            "cluster-id": .string(Identity.text(core.applier.cluster.id)),
            "local-member-id": .string(Identity.text(core.settings.memberID)),
        ]
        if let version = now.version, version != seen.version {
            if let before = seen.version {
                logger.info(
                    "updated cluster version",
                    metadata: ids.merging(["from": .string(before.series), "to": .string(version.series)]) { $1 })
            } else {
                logger.info(
                    "set initial cluster version",
                    metadata: ids.merging(["cluster-version": .string(version.series)]) { $1 })
            }
        }
        if now.downgradeTarget != seen.downgradeTarget {
            if let target = now.downgradeTarget {
                logger.warning(
                    "cluster is downgrading to target version",
                    metadata: [
                        "target-cluster-version": .string(target.series),
                        "current-server-version": .string(EtcdVersion.server),
                    ])
            } else {
                logger.info("the cluster is no longer downgrading", metadata: ids)
            }
        }
        if now.isBack && !seen.isBack {
            logger.info(
                "The server is ready to downgrade",
                metadata: [
                    "target-version": .string(now.downgradeTarget?.series ?? ""),
                    "server-version": .string(EtcdVersion.server),
                ])
        }
    }

    /// Looks at the members' versions when it is time to.
    func look(_ member: MemberThread, now: Int64) {
        let core = member.core
        guard now >= nextLook, !isAsking, core.isLeader, core.hasAppliedInTerm else { return }
        nextLook = now + Self.interval
        let others = core.applier.cluster.sortedMembers.filter { $0.id != core.settings.memberID }
        guard !others.isEmpty else {
            core.decideClusterVersion([.server], now: now)
            return
        }
        isAsking = true
        Task {
            let versions = await ask(others)
            member.perform { [self] member in
                isAsking = false
                member.core.decideClusterVersion([.server] + versions, now: Clock.milliseconds)
            }
        }
    }
}
