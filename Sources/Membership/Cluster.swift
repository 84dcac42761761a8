import FoundationEssentials
import RaftMessages

/// The cluster's members as the applied log says.
///
/// A pure state: the applier feeds it configuration changes and published attributes in log order, and stores what
/// ``Cluster/apply(_:)`` and ``Cluster/publish(_:for:)`` hand back.
public struct Cluster: Equatable, Sendable {
    /// The cluster's id.
    public var id: UInt64
    /// The members by id.
    public private(set) var members: [UInt64: Member] = [:]
    /// The ids of those removed, which may never come back.
    public private(set) var removed: Set<UInt64> = []
    /// The version that all members can speak; nil until the leader has decided it.
    public var version: ClusterVersion?
    /// The version that the cluster is being taken back to; nil while it is not.
    public var downgradeTarget: ClusterVersion?

    /// A cluster of `members`.
    public init(
        id: UInt64, members: [Member] = [], removed: Set<UInt64> = [], version: ClusterVersion? = nil,
        downgradeTarget: ClusterVersion? = nil
    ) {
        self.id = id
        self.members = Dictionary(members.map { ($0.id, $0) }) { _, last in last }
        self.removed = removed
        self.version = version
        self.downgradeTarget = downgradeTarget
    }

    /// The members in ascending order of their ids.
    public var sortedMembers: [Member] { members.values.sorted { $0.id < $1.id } }

    /// What a change did to the list.
    public enum Effect: Equatable, Sendable {
        /// A member is there that was not.
        case added(Member)
        /// A member has other peer URLs.
        case updated(Member)
        /// A learner became a voter.
        case promoted(Member)
        /// A member is gone for good.
        case removed(UInt64)
    }

    /// The learners that a cluster may have unless it is told otherwise.
    public static let defaultMaximumLearners = 1

    /// Checks `change` against the members as they are; a change that fails here has no effect when it is applied.
    ///
    /// All members must come to the same result, so `maximumLearners` must be the same on all.
    public func validate(
        _ change: ConfigurationChange, maximumLearners: Int = defaultMaximumLearners
    ) throws(Refusal) {
        if removed.contains(change.nodeID) { throw .idRemoved }
        switch change.type {
        case .addNode, .addLearnerNode:
            let context = try ChangeContext(decoding: change.context)
            if context.promotes {
                guard let member = members[change.nodeID] else { throw .idNotFound }
                guard member.isLearner else { throw .memberNotLearner }
                return
            }
            if members[change.nodeID] != nil { throw .idExists }
            try refuseSharedURLs(context.member, except: nil)
            if change.type == .addLearnerNode && context.member.isLearner
                && members.values.count(where: \.isLearner) >= maximumLearners
            {
                throw .tooManyLearners
            }
        case .removeNode:
            if members[change.nodeID] == nil { throw .idNotFound }
        case .updateNode:
            if members[change.nodeID] == nil { throw .idNotFound }
            try refuseSharedURLs(try ChangeContext(decoding: change.context).member, except: change.nodeID)
        }
    }

    private func refuseSharedURLs(_ member: Member, except id: UInt64?) throws(Refusal) {
        let taken = Set(members.values.filter { $0.id != id }.flatMap(\.peerURLs))
        if member.peerURLs.contains(where: taken.contains) { throw .peerURLExists }
    }

    /// Carries `change` out; applying one again, as a restart does, changes nothing.
    public mutating func apply(_ change: ConfigurationChange) throws(Refusal) -> Effect {
        switch change.type {
        case .addNode, .addLearnerNode:
            let context = try ChangeContext(decoding: change.context)
            if context.promotes, var member = members[change.nodeID] {
                member.isLearner = false
                members[member.id] = member
                return .promoted(member)
            }
            var member = context.member
            member.id = change.nodeID
            member.isLearner = change.type == .addLearnerNode
            if let known = members[member.id] {
                // What the member published since is newer than the change that is seen again.
                member.name = known.name
                member.clientURLs = known.clientURLs
            }
            members[member.id] = member
            return .added(member)
        case .removeNode:
            members[change.nodeID] = nil
            removed.insert(change.nodeID)
            return .removed(change.nodeID)
        case .updateNode:
            let context = try ChangeContext(decoding: change.context)
            guard var member = members[change.nodeID] else { throw .idNotFound }
            member.peerURLs = context.member.peerURLs
            // etcd takes this over too, and its updates leave it out: then a learner counts as a voter in the list of all
            // members, though not in Raft's. Ours say what they found; one that was promoted since stays a voter.
            member.isLearner = member.isLearner && context.member.isLearner
            members[member.id] = member
            return .updated(member)
        }
    }

    /// Notes what a member published; nil when the cluster does not know it.
    public mutating func publish(_ attributes: PublishedAttributes, for id: UInt64) -> Member? {
        guard var member = members[id] else { return nil }
        member.name = attributes.name ?? ""
        member.clientURLs = attributes.clientURLs ?? []
        members[id] = member
        return member
    }
}

/// What a configuration change carries in etcd: the member as JSON, and whether a learner is promoted.
struct ChangeContext {
    var member: Member
    var promotes: Bool

    private struct Promotion: Decodable {
        var isPromote: Bool?
    }

    init(decoding bytes: [UInt8]) throws(Cluster.Refusal) {
        let decoder = JSONDecoder()
        let data = Data(bytes)
        do {
            member = try decoder.decode(Member.self, from: data)
            promotes = try decoder.decode(Promotion.self, from: data).isPromote ?? false
        } catch {
            throw .malformed("the context of a configuration change is not a member: \(error)")
        }
    }
}
