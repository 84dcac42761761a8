/// The release series that a server or a cluster speaks for, such as 3.4: what etcd calls the cluster's version.
///
/// Patches of a series write and read the same, so they do not count.
public struct ClusterVersion: Comparable, Hashable, Sendable, CustomStringConvertible {
    public var major: Int
    public var minor: Int

    /// The series `major.minor`.
    public init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// The newest series whose formats this server writes; what it speaks for by itself.
    public static let server = ClusterVersion(3, 7)
    /// What a cluster is given while not all of its members could be asked (etcd's MinClusterVersion).
    public static let minimum = ClusterVersion(3, 0)
    /// The oldest series that a cluster of this server may be taken back to: what has been tried.
    public static let oldestTarget = ClusterVersion(3, 4)
    /// From here on the log carries versions and attributes in requests of their own, which members of 3.4 do not know.
    public static let clusterRequests = ClusterVersion(3, 5)
    /// From here on the backend names the version of its own layout.
    public static let storageVersions = ClusterVersion(3, 6)

    private static let longestText = 64

    /// Reads `3.4.23`, whatever its patch and labels; with `isLenient` also `3.4`, as people write it.
    public init?(_ text: String, isLenient: Bool = false) {
        guard text.utf8.count <= Self.longestText else { return nil }
        // Labels stand behind the patch, as in 3.6.0-rc.1+git.
        let core = text.prefix { $0 != "-" && $0 != "+" }
        let parts = core.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 || isLenient && parts.count == 2 else { return nil }
        var numbers: [Int] = []
        for part in parts {
            guard !part.isEmpty, part.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(part) else {
                return nil
            }
            numbers.append(number)
        }
        self.init(numbers[0], numbers[1])
    }

    public static func < (left: ClusterVersion, right: ClusterVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    /// The version with a patch, as etcd stores and tells it: `3.4.0`.
    public var description: String { "\(major).\(minor).0" }

    /// The version as people say it: `3.4`.
    public var series: String { "\(major).\(minor)" }

    /// Whether a cluster of this version may be taken back to `target`.
    ///
    /// etcd allows one series back; each binary of it knows its neighbours only. This server writes all from 3.4 on.
    public func canGoBack(to target: ClusterVersion) -> Bool {
        target.major == major && target < self && target >= Self.oldestTarget
    }
}

/// What the leader makes of the cluster's version, from the versions of its members.
public enum VersionDecision {
    /// The version that the cluster should have now; nil when the one that it has is right, or nothing can be said.
    ///
    /// - Parameters:
    ///   - cluster: the cluster's version; nil when it has none yet.
    ///   - servers: the version of each member's server, nil for a member that did not tell it.
    ///   - target: where the cluster is being taken back to, if it is.
    public static func next(
        cluster: ClusterVersion?, servers: [ClusterVersion?], target: ClusterVersion?
    ) -> ClusterVersion? {
        let known = servers.compactMap(\.self)
        let lowest = known.count == servers.count ? known.min() : nil
        guard let cluster else { return lowest ?? .minimum }
        guard let lowest else { return nil }
        if let target {
            // While it is being taken back a cluster never rises, not even to the target.
            return cluster.canGoBack(to: target) ? target : nil
        }
        return cluster.major == lowest.major && cluster < lowest ? lowest : nil
    }
}
