import FoundationEssentials

/// Whether the cluster is being taken back to an earlier version, in the JSON by which etcd keeps it in the `cluster`
/// bucket.
public struct DowngradeState: Equatable, Sendable {
    /// The version to go back to; nil when the cluster is not being taken back.
    public var target: ClusterVersion?

    /// The state of a cluster that is going back to `target`, or nowhere.
    public init(target: ClusterVersion?) {
        self.target = target
    }

    private struct Stored: Decodable {
        var target: String?
        var enabled: Bool?

        enum CodingKeys: String, CodingKey {
            case target = "target-version"
            case enabled
        }
    }

    private struct Attributes: Decodable {
        var downgrade: Stored?
    }

    /// Reads the state; nil when it is something else.
    public init?(_ bytes: [UInt8]) {
        guard let stored = try? JSONDecoder().decode(Stored.self, from: Data(bytes)) else { return nil }
        self.init(stored)
    }

    /// Reads the state that a member's published attributes carry beside them, if they do.
    public init?(inAttributes bytes: [UInt8]) {
        guard let attributes = try? JSONDecoder().decode(Attributes.self, from: Data(bytes)),
            let stored = attributes.downgrade
        else { return nil }
        self.init(stored)
    }

    private init?(_ stored: Stored) {
        guard stored.enabled == true else {
            self.init(target: nil)
            return
        }
        guard let version = ClusterVersion(stored.target ?? "") else { return nil }
        self.init(target: version)
    }

    /// The state as etcd stores it.
    public var encoded: [UInt8] {
        Array("{\"target-version\":\"\(target?.description ?? "")\",\"enabled\":\(target != nil)}".utf8)
    }
}
