/// Why a lease operation was refused.
public enum LeaseError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No lease has this id.
    case leaseNotFound(Int64)
    /// The id is already taken.
    case leaseExists(Int64)
    /// The TTL, in seconds, is above ``Lessor/maximumTTL``.
    case ttlTooLarge(Int64)
    /// Only the primary lessor (the one of the leader) renews leases.
    case notPrimary
    /// The lease has run out and waits for its revoke to be applied.
    case leaseExpired(Int64)

    public var description: String {
        switch self {
        case .leaseNotFound(let id): "lease \(hexadecimal(id)) not found"
        case .leaseExists(let id): "lease \(hexadecimal(id)) already exists"
        case .ttlTooLarge(let ttl): "lease TTL of \(ttl) s is above the maximum of \(Lessor.maximumTTL) s"
        case .notPrimary: "not the primary lessor"
        case .leaseExpired(let id): "lease \(hexadecimal(id)) has expired and is being revoked"
        }
    }
}

/// `id` as etcd prints lease ids.
func hexadecimal(_ id: Int64) -> String {
    String(UInt64(bitPattern: id), radix: 16)
}
