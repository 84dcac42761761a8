import Applier
import EtcdAPI
import Membership

/// What a member tells the cluster of itself, and, as leader, decides about its version.
extension MemberCore {
    /// The version that the cluster speaks; nil until a leader has decided it. Nothing may be written that members of
    /// this version do not read.
    public var clusterVersion: ClusterVersion? { applier.cluster.version }

    /// Proposes this member's name and client URLs. Applied entries show in ``Applier/cluster``.
    public func publish(_ attributes: PublishedAttributes, now: Int64) {
        propose(.attributes(memberID: settings.memberID, attributes), for: clusterVersion, now: now)
    }

    /// Proposes the version that follows from those of the members' servers, when it is another than now and this member
    /// leads. A member that did not tell its version is nil in `servers`.
    ///
    /// Returns what was proposed.
    @discardableResult
    public func decideClusterVersion(_ servers: [ClusterVersion?], now: Int64) -> ClusterVersion? {
        guard isLeader else { return nil }
        let next = VersionDecision.next(
            cluster: clusterVersion, servers: servers, target: applier.cluster.downgradeTarget)
        guard let next else { return nil }
        // All members are at least of the version that comes. On the way back the log has to be one of the target.
        propose(.version(next), for: next, now: now)
        return next
    }

    /// The log entry under `id` that begins the way back to `target`, or ends it with nil.
    public func downgradeEntry(_ target: ClusterVersion?, id: UInt64) -> [UInt8] {
        let own = applier.cluster.members[settings.memberID]
        let published = PublishedAttributes(name: own?.name ?? "", clientURLs: own?.clientURLs ?? [])
        return ClusterRequest.downgrade(DowngradeState(target: target), memberID: settings.memberID, published)
            .entry(id: id, for: clusterVersion)
    }

    /// Refuses a way back to the version that `text` names, as `Maintenance.Downgrade` does.
    public func checkDowngrade(to text: String) throws(EtcdError) -> ClusterVersion {
        guard let target = ClusterVersion(text, isLenient: true) else { throw .wrongDowngradeVersionFormat }
        guard let version = clusterVersion else { throw .clusterVersionUnavailable }
        guard version.canGoBack(to: target) else { throw .invalidDowngradeTargetVersion }
        if applier.cluster.downgradeTarget != nil { throw .downgradeInProcess }
        return target
    }

    private func propose(_ request: ClusterRequest, for version: ClusterVersion?, now: Int64) {
        let id = nextRequestID()
        propose([(id, request.entry(id: id, for: version))], now: now)
    }
}
