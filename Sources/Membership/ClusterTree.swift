import FoundationEssentials
import StoreV2

/// The cluster as the version-2 store has it: members up to 3.5 are restored from there, so ours must write it as they do,
/// with the same number of changes, and must read it.
extension Cluster {
    /// What is wrong with a store.
    public struct MalformedTree: Error, CustomStringConvertible {
        public var description: String
    }

    private static let membersPath = "/0/members"
    private static let removedPath = "/0/removed_members"
    private static let versionPath = "/0/version"

    /// Reads the cluster out of `tree`.
    public init(id: UInt64, in tree: KeyTree) throws(MalformedTree) {
        var members: [Member] = []
        for name in tree.names(in: Self.membersPath) {
            guard let memberID = UInt64(name, radix: 16) else {
                throw MalformedTree(
                    description: "the snapshot has a member with the id \"\(name)\", which is no hexadecimal number")
            }
            let path = "\(Self.membersPath)/\(name)"
            guard let text = tree.value(at: "\(path)/raftAttributes"),
                let raft = try? JSONDecoder().decode(RaftAttributes.self, from: Data(text))
            else { throw MalformedTree(description: "the snapshot's member \(name) has no peer URLs") }
            let published = tree.value(at: "\(path)/attributes").flatMap { MemberJSON.attributes($0) }
            members.append(
                Member(
                    id: memberID, name: published?.name ?? "", peerURLs: raft.peerURLs,
                    clientURLs: published?.clientURLs ?? [], isLearner: raft.isLearner ?? false))
        }
        let removed = tree.names(in: Self.removedPath).compactMap { UInt64($0, radix: 16) }
        var version: ClusterVersion?
        if let text = tree.value(at: Self.versionPath) {
            let text = String(decoding: text, as: UTF8.self)
            version = ClusterVersion(text)
            guard version != nil else {
                throw MalformedTree(description: "the snapshot's cluster version \"\(text)\" is none")
            }
        }
        self.init(id: id, members: members, removed: Set(removed), version: version)
    }

    /// Notes in `tree` what a change did to the list of members.
    public static func record(_ effect: Effect, in tree: KeyTree) {
        // The tree says the same as the list, in which the change was possible; where it does not, because another
        // version wrote it, the list counts.
        switch effect {
        case .added(let member):
            _ = try? tree.create(raftAttributesPath(member.id), value: raftAttributes(member))
            // A member of a new cluster has its name from the start; etcd forgets it with a snapshot until it is published.
            if !member.name.isEmpty {
                let attributes = PublishedAttributes(name: member.name, clientURLs: member.clientURLs)
                tree.place(attributesPath(member.id), value: MemberJSON.encode(attributes))
            }
        case .updated(let member), .promoted(let member):
            _ = try? tree.update(raftAttributesPath(member.id), value: raftAttributes(member))
        case .removed(let id):
            let name = Identity.text(id)
            _ = try? tree.delete(Array("\(membersPath)/\(name)".utf8), recursive: true)
            _ = try? tree.create(Array("\(removedPath)/\(name)".utf8))
        }
    }

    /// Notes in `tree` what a member published.
    public static func record(_ attributes: PublishedAttributes, of id: UInt64, in tree: KeyTree) {
        _ = try? tree.set(attributesPath(id), value: MemberJSON.encode(attributes))
    }

    /// Notes the cluster's version in `tree`.
    public static func record(_ version: ClusterVersion, in tree: KeyTree) {
        _ = try? tree.set(Array(versionPath.utf8), value: Array(version.description.utf8))
    }

    private static func attributesPath(_ id: UInt64) -> [UInt8] {
        Array("\(membersPath)/\(Identity.text(id))/attributes".utf8)
    }

    private static func raftAttributesPath(_ id: UInt64) -> [UInt8] {
        Array("\(membersPath)/\(Identity.text(id))/raftAttributes".utf8)
    }

    private static func raftAttributes(_ member: Member) -> [UInt8] {
        MemberJSON.encode(RaftAttributes(peerURLs: member.peerURLs, isLearner: member.isLearner ? true : nil))
    }
}
