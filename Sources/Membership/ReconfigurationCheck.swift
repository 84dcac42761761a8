/// etcd's strict reconfiguration check: whether a change may be proposed without putting the quorum at risk.
///
/// What a change does is checked once more, by ``Cluster/validate(_:maximumLearners:)``, when it is applied. This
/// check is the proposer's alone, and no other member need come to the same result.
public struct ReconfigurationCheck {
    /// A peer counts as connected when it has been for this many milliseconds (etcd's HealthInterval).
    public static let healthInterval: Int64 = 5_000
    /// The share of the leader's log that a learner must have before it may vote (etcd's readyPercentThreshold).
    public static let readyShare = 0.9

    private let cluster: Cluster
    private let ownID: UInt64
    private let now: Int64
    private let activeSince: (UInt64) -> Int64?

    /// A check on behalf of the member `ownID`; `activeSince` tells since when a peer is connected, nil when it is not,
    /// on the clock of `now`.
    public init(
        _ cluster: Cluster, ownID: UInt64, now: Int64, activeSince: @escaping (UInt64) -> Int64?
    ) {
        self.cluster = cluster
        self.ownID = ownID
        self.now = now
        self.activeSince = activeSince
    }

    private var voters: [Member] { cluster.members.values.filter { !$0.isLearner } }

    /// The voters that are connected for long enough, this member among them.
    private var connectedVoters: Int {
        voters.count { voter in
            voter.id == ownID || activeSince(voter.id).map { $0 < now - Self.healthInterval } ?? false
        }
    }

    /// Checks the addition of a member.
    public func add(isLearner: Bool) throws(Cluster.Refusal) {
        if !isLearner {
            let started = voters.count(where: \.isStarted)
            // A second member may be added to one that is alone, though the two then need each other.
            let isSecond = started == 1 && voters.count == 1
            if !isSecond && started < Self.quorum(of: voters.count + 1) { throw .notEnoughStarted }
        }
        if connectedVoters < voters.count { throw .unhealthy }
    }

    /// Checks the removal of the member `id`.
    public func remove(_ id: UInt64) throws(Cluster.Refusal) {
        if cluster.members[id]?.isLearner == true { return }
        let remaining = voters.filter { $0.id != id }
        if remaining.count(where: \.isStarted) < Self.quorum(of: remaining.count) { throw .notEnoughStarted }
        // One that is down takes no part in the quorum that works now.
        if id != ownID && activeSince(id) == nil { return }
        if connectedVoters - 1 < 1 + (voters.count - 1) / 2 { throw .unhealthy }
    }

    /// Checks the promotion of a learner, which by itself counts as started.
    public func promote() throws(Cluster.Refusal) {
        if voters.count(where: \.isStarted) + 1 < Self.quorum(of: voters.count + 1) { throw .notEnoughStarted }
    }

    /// Checks that a learner whose log agrees with the leader's up to `match` has nearly all of it.
    public static func learner(match: UInt64, leaderMatch: UInt64) throws(Cluster.Refusal) {
        if Double(match) < Double(leaderMatch) * readyShare { throw .learnerNotReady }
    }

    private static func quorum(of count: Int) -> Int { count / 2 + 1 }
}

extension Member {
    /// Whether the member has ever run: only then has it published a name.
    public var isStarted: Bool { !name.isEmpty }
}
