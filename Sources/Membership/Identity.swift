import Crypto

/// The ids that etcd derives from a cluster's description, so that members agree on them without talking.
public enum Identity {
    /// A member's id: the first eight bytes of the SHA-1 of its peer URLs, sorted and joined, and the cluster token;
    /// for a member added at run time the time in Unix seconds follows, so that a member added again is another one.
    public static func member(peerURLs: [String], token: String, addedAt seconds: Int64? = nil) -> UInt64 {
        var text = peerURLs.sorted().joined() + token
        if let seconds { text += "\(seconds)" }
        return firstEightBytes(of: Array(text.utf8))
    }

    /// A cluster's id: the first eight bytes of the SHA-1 of its members' ids in ascending order.
    public static func cluster(memberIDs: [UInt64]) -> UInt64 {
        firstEightBytes(
            of: memberIDs.sorted().flatMap { id in (0..<8).map { UInt8(truncatingIfNeeded: id >> (56 - 8 * $0)) } })
    }

    /// An id in the form in which etcd prints it and names files and keys by it: hexadecimal without leading zeros.
    public static func text(_ id: UInt64) -> String { String(id, radix: 16) }

    private static func firstEightBytes(of bytes: [UInt8]) -> UInt64 {
        Insecure.SHA1.hash(data: bytes).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
