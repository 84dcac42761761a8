import Glibc

/// How the descriptors that a process may have are shared out: a member that could open no file any more would have to
/// end, so neither clients nor strangers at the peer port may use them up.
public struct DescriptorBudget: Equatable, Sendable {
    /// Those that are not for clients: files, listeners, other members (etcd keeps as many).
    private static let reserved = 150
    /// How many of these connections to the peer port may take. Each member has a handful.
    private static let reservedForPeers = 75
    /// The most connections to the peer port; the rest of them are strangers'.
    private static let mostPeers = 1024

    /// Connections that clients may have.
    public let clients: Int
    /// Connections to the peer port.
    public let peers: Int

    /// The shares of `descriptors` in all.
    public init(descriptors: Int) {
        peers = min(Self.mostPeers, max(Self.reservedForPeers, descriptors / 16))
        clients = max(descriptors / 2, descriptors - Self.reserved - (peers - Self.reservedForPeers))
    }

    /// The shares of this process, whose soft limit is the hard one or is going to be.
    public static var ofProcess: DescriptorBudget {
        var limit = rlimit()
        let isKnown = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        return DescriptorBudget(descriptors: isKnown ? Int(clamping: limit.rlim_max) : .max)
    }
}
