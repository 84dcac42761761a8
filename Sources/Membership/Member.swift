/// What the cluster knows of one member.
public struct Member: Equatable, Sendable {
    /// The id that Raft knows the member by.
    public var id: UInt64
    /// The name it published; empty until it has started.
    public var name: String
    /// Where its peers reach it.
    public var peerURLs: [String]
    /// Where clients reach it; empty until it has started.
    public var clientURLs: [String]
    /// Whether it receives the log without voting.
    public var isLearner: Bool

    /// A member with these attributes.
    public init(
        id: UInt64, name: String = "", peerURLs: [String], clientURLs: [String] = [], isLearner: Bool = false
    ) {
        self.id = id
        self.name = name
        self.peerURLs = peerURLs
        self.clientURLs = clientURLs
        self.isLearner = isLearner
    }
}

/// The JSON in which etcd keeps a member: in configuration changes and in the `members` bucket.
extension Member: Decodable {
    private enum CodingKeys: String, CodingKey {
        case id, name, peerURLs, clientURLs, isLearner
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        id = try values.decodeIfPresent(UInt64.self, forKey: .id) ?? 0
        name = try values.decodeIfPresent(String.self, forKey: .name) ?? ""
        peerURLs = try values.decodeIfPresent([String].self, forKey: .peerURLs) ?? []
        clientURLs = try values.decodeIfPresent([String].self, forKey: .clientURLs) ?? []
        isLearner = try values.decodeIfPresent(Bool.self, forKey: .isLearner) ?? false
    }
}

/// A member's attributes that Raft's configuration carries.
struct RaftAttributes: Decodable, Equatable {
    var peerURLs: [String]
    var isLearner: Bool?
}

/// A member's attributes that it publishes itself.
public struct PublishedAttributes: Decodable, Equatable, Sendable {
    public var name: String?
    public var clientURLs: [String]?

    /// The attributes of a member that serves clients at `clientURLs`.
    public init(name: String, clientURLs: [String]) {
        self.name = name
        self.clientURLs = clientURLs
    }
}
