import FoundationEssentials

/// The image of etcd's version-2 store that a Raft snapshot file carries: up to version 3.5 the members of the cluster
/// are restored from it, so ours must hold them, and ours must read them from it.
public struct StoreV2Image {
    /// What is wrong with an image.
    public struct Malformed: Error, CustomStringConvertible {
        public var description: String
    }

    struct Node: Codable {
        var path: String
        var createdIndex: UInt64
        var modifiedIndex: UInt64
        var expireTime: String
        var value: String
        var children: [String: Node]?

        enum CodingKeys: String, CodingKey {
            case path = "Path"
            case createdIndex = "CreatedIndex"
            case modifiedIndex = "ModifiedIndex"
            case expireTime = "ExpireTime"
            case value = "Value"
            case children = "Children"
        }

        static let noExpiry = "0001-01-01T00:00:00Z"

        static func directory(_ path: String, _ children: [String: Node]) -> Node {
            Node(path: path, createdIndex: 0, modifiedIndex: 0, expireTime: noExpiry, value: "", children: children)
        }

        static func file(_ path: String, _ value: [UInt8]) -> Node {
            Node(
                path: path, createdIndex: 0, modifiedIndex: 0, expireTime: noExpiry,
                value: String(decoding: value, as: UTF8.self), children: nil)
        }

        func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(path, forKey: .path)
            try values.encode(createdIndex, forKey: .createdIndex)
            try values.encode(modifiedIndex, forKey: .modifiedIndex)
            try values.encode(expireTime, forKey: .expireTime)
            try values.encode(value, forKey: .value)
            // A node without children is a file, and etcd tells it from an empty directory by the null.
            try values.encode(children, forKey: .children)
        }
    }

    private struct Event: Codable {}

    private struct Queue: Codable {
        var Events: [Event?]
        var Size: Int
        var Front: Int
        var Back: Int
        var Capacity: Int
    }

    private struct History: Codable {
        var Queue: Queue
        var StartIndex: UInt64
        var LastIndex: UInt64
    }

    private struct Hub: Codable {
        var EventHistory: History
    }

    private struct Image: Codable {
        var Root: Node
        var WatcherHub: Hub?
        var CurrentIndex: UInt64
        var Stats: [String: UInt64]?
        var CurrentVersion: Int
    }

    /// The subtree of the users' version-2 keys, carried from image to image untouched.
    private var keys: Node
    private var currentIndex: UInt64

    /// The image of a store without any key.
    public init() {
        keys = .directory("/1", [:])
        currentIndex = 0
    }

    /// Reads an image and the cluster in it.
    public init(decoding bytes: [UInt8], clusterID: UInt64) throws(Malformed) {
        let image: Image
        do {
            image = try JSONDecoder().decode(Image.self, from: Data(bytes))
        } catch {
            throw Malformed(description: "the snapshot's version-2 store is not the JSON that etcd writes: \(error)")
        }
        keys = image.Root.children?["1"] ?? .directory("/1", [:])
        currentIndex = image.CurrentIndex
        cluster = try Self.cluster(in: image.Root.children?["0"], id: clusterID)
    }

    /// The cluster that the decoded image held.
    public private(set) var cluster: Cluster?

    private static func cluster(in root: Node?, id: UInt64) throws(Malformed) -> Cluster {
        var members: [Member] = []
        for (name, node) in root?.children?["members"]?.children ?? [:] {
            guard let memberID = UInt64(name, radix: 16) else {
                throw Malformed(
                    description: "the snapshot has a member with the id \"\(name)\", which is no hexadecimal number")
            }
            guard let raftText = node.children?["raftAttributes"]?.value,
                let raft = try? JSONDecoder().decode(RaftAttributes.self, from: Data(raftText.utf8))
            else {
                throw Malformed(description: "the snapshot's member \(name) has no peer URLs")
            }
            let published = node.children?["attributes"].flatMap { MemberJSON.attributes(Array($0.value.utf8)) }
            members.append(
                Member(
                    id: memberID, name: published?.name ?? "", peerURLs: raft.peerURLs,
                    clientURLs: published?.clientURLs ?? [], isLearner: raft.isLearner ?? false))
        }
        let removed = (root?.children?["removed_members"]?.children ?? [:]).keys.compactMap { UInt64($0, radix: 16) }
        var version: ClusterVersion?
        if let text = root?.children?["version"]?.value {
            version = ClusterVersion(text)
            guard version != nil else {
                throw Malformed(description: "the snapshot's cluster version \"\(text)\" is none")
            }
        }
        return Cluster(id: id, members: members, removed: Set(removed), version: version)
    }

    /// The image with `cluster` in it.
    public func encode(_ cluster: Cluster) -> [UInt8] {
        var members: [String: Node] = [:]
        for member in cluster.members.values {
            let name = Identity.text(member.id)
            let path = "/0/members/\(name)"
            var children = [
                "raftAttributes": Node.file(
                    "\(path)/raftAttributes",
                    MemberJSON.encode(
                        RaftAttributes(peerURLs: member.peerURLs, isLearner: member.isLearner ? true : nil)))
            ]
            if !member.name.isEmpty {
                children["attributes"] = .file(
                    "\(path)/attributes",
                    MemberJSON.encode(PublishedAttributes(name: member.name, clientURLs: member.clientURLs)))
            }
            members[name] = .directory(path, children)
        }
        var clusterRoot = ["members": Node.directory("/0/members", members)]
        if !cluster.removed.isEmpty {
            let names = cluster.removed.map(Identity.text)
            clusterRoot["removed_members"] = .directory(
                "/0/removed_members",
                Dictionary(uniqueKeysWithValues: names.map { ($0, .file("/0/removed_members/\($0)", [])) }))
        }
        if let version = cluster.version {
            clusterRoot["version"] = .file("/0/version", Array(version.description.utf8))
        }
        let image = Image(
            Root: .directory("/", ["0": .directory("/0", clusterRoot), "1": keys]),
            WatcherHub: Hub(EventHistory: Self.emptyHistory), CurrentIndex: currentIndex, Stats: [:], CurrentVersion: 2)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        // It has only strings, integers and lists, which always encode.
        guard let data = try? encoder.encode(image) else {
            preconditionFailure("the image of the version-2 store did not encode as JSON")
        }
        return [UInt8](data)
    }

    /// etcd indexes into the list without looking at its length, so it must be as long as the capacity says.
    private static let emptyHistory: History = {
        let capacity = 1000
        return History(
            Queue: Queue(
                Events: [Event?](repeating: nil, count: capacity), Size: 0, Front: 0, Back: 0, Capacity: capacity),
            StartIndex: 0, LastIndex: 0)
    }()
}
