import Membership

/// What a starting member tells the cluster of itself, again and again until it is applied. Then the member is ready.
public struct Publication: Sendable {
    private let attributes: PublishedAttributes
    private var isDone = false
    private var due: Int64

    /// A member with these `attributes` that starts at `now`, in milliseconds.
    public init(_ attributes: PublishedAttributes, now: Int64) {
        self.attributes = attributes
        due = now
    }

    /// Proposes the attributes when it is time to.
    public mutating func proposeIfDue(_ core: MemberCore, now: Int64) {
        // The cluster's version says in which form.
        guard !isDone, core.leader != 0, core.clusterVersion != nil, now >= due else { return }
        due = now + core.settings.requestTimeout
        core.publish(attributes, now: now)
    }

    /// Whether the member is ready since what was applied last; true once.
    public mutating func becomesReady(_ core: MemberCore) -> Bool {
        guard !isDone, let own = core.applier.cluster.members[core.settings.memberID] else { return false }
        guard core.leader != 0, core.clusterVersion != nil else { return false }
        guard own.name == attributes.name ?? "", own.clientURLs == attributes.clientURLs ?? [] else { return false }
        // What the log held when this run began may already say the same; only an entry of this term shows that the
        // member is part of the cluster now.
        guard core.hasAppliedInTerm else { return false }
        isDone = true
        return true
    }
}
