import RaftMessages

/// Who votes and who learns.
public struct MembershipConfiguration: Equatable, Sendable, CustomStringConvertible {
    public internal(set) var voters = JointQuorum()
    /// Whether the leader ends a joint configuration by itself.
    public internal(set) var autoLeave = false
    /// Members that receive the log and do not vote.
    public internal(set) var learners: Set<UInt64> = []
    /// Outgoing voters that become learners when the joint configuration ends.
    public internal(set) var learnersNext: Set<UInt64> = []

    /// A configuration without members.
    public init() {}

    /// Whether one configuration is passing into another.
    public var isJoint: Bool { !voters.outgoing.isEmpty }

    /// Whether a single member decides.
    public var isSingleton: Bool { voters.incoming.count == 1 && !isJoint }

    /// The configuration as snapshots keep it.
    public var confState: ConfState {
        ConfState(
            voters: voters.incoming.ids, learners: learners.sorted(), votersOutgoing: voters.outgoing.ids,
            learnersNext: learnersNext.sorted(), autoLeave: autoLeave)
    }

    public var description: String {
        var text = "voters=\(voters)"
        if !learners.isEmpty { text += " learners=\(MajorityQuorum(learners))" }
        if !learnersNext.isEmpty { text += " learners_next=\(MajorityQuorum(learnersNext))" }
        if autoLeave { text += " autoleave" }
        return text
    }
}
