/// A cluster as one of its members describes it to a member that is about to join.
public struct RunningCluster: Equatable, Sendable {
    public var id: UInt64
    public var members: [Member]

    /// The cluster `id` of `members`.
    public init(id: UInt64, members: [Member]) {
        self.id = id
        self.members = members.sorted { $0.id < $1.id }
    }

    /// Why a member cannot join.
    public struct Mismatch: Error, Equatable, CustomStringConvertible {
        public var description: String
    }

    /// Finds the members of `initial` in this cluster by their peer URLs, and returns the one that is called `name`
    /// there. Each member of the one must be in the other.
    public func member(
        _ name: String, of initial: InitialCluster, by comparison: URLComparison
    ) throws(Mismatch) -> Member {
        guard members.count == initial.peerURLs.count else {
            throw mismatch(
                "member count is unequal: the cluster has \(members.count), --initial-cluster \(initial.peerURLs.count)"
                    + " (\(initial.text))")
        }
        var found: [String: Member] = [:]
        for member in members {
            var difference: String?
            let match = initial.peerURLs.first { candidate in
                difference = comparison.difference(member.peerURLs, candidate.urls)
                return difference == nil
            }
            guard let match else {
                throw mismatch(
                    "PeerURLs: no match found for existing member (\(Identity.text(member.id)), "
                        + "[\(member.peerURLs.joined(separator: " "))]) in --initial-cluster \(initial.text), "
                        + "last resolver error (\(difference ?? ""))")
            }
            found[match.name] = member
        }
        guard let own = found[name] else {
            throw mismatch("no member has the peer URLs of \(name) in --initial-cluster \(initial.text)")
        }
        return own
    }

    private func mismatch(_ reason: String) -> Mismatch {
        let list = members.map { "\(Identity.text($0.id)) \($0.name)=[\($0.peerURLs.joined(separator: " "))]" }
        return Mismatch(
            description: "error validating peerURLs {ClusterID:\(Identity.text(id)) Members:["
                + "\(list.joined(separator: ", "))]}: \(reason)")
    }

    /// The names that must be resolved to compare the members' URLs with those of `initial`.
    public func namesToResolve(for initial: InitialCluster) -> Set<String> {
        // URLs that stand on both sides need no resolving.
        let ours = Set(initial.peerURLs.map(\.urls))
        let theirs = Set(members.map { $0.peerURLs.sorted() })
        var names: Set<String> = []
        for left in theirs.subtracting(ours) {
            for right in ours.subtracting(theirs) { names.formUnion(URLComparison.namesToResolve(left, right)) }
        }
        return names
    }

    /// Whether a server of ours may join a cluster whose other members tell `versions` of it: at least one does, and
    /// none is out of reach. While the cluster is being taken back it may still be one series above this server.
    public static func isCompatible(_ versions: [ClusterVersion], isDowngrading: Bool) -> Bool {
        var newest = ClusterVersion.server
        if isDowngrading { newest.minor += 1 }
        return !versions.isEmpty && versions.allSatisfy { (ClusterVersion.minimum...newest).contains($0) }
    }
}
