/// Leases: `etcd_debugging_lease_…`.
public final class LeaseMetrics: Sendable {
    public let granted: Counter
    public let revoked: Counter
    public let renewed: Counter
    /// The TTLs that were granted, in seconds.
    public let timesToLive: Histogram

    init(_ registry: Registry) {
        let name = "etcd_debugging_lease_"
        granted = registry.counter(name + "granted_total", "The total number of granted leases.")
        revoked = registry.counter(name + "revoked_total", "The total number of revoked leases.")
        renewed = registry.counter(name + "renewed_total", "The number of renewed leases seen by the leader.")
        timesToLive = registry.histogram(
            name + "ttl_total", "Bucketed histogram of lease TTLs.", bounds: Buckets.exponential(1, 2, 24))
    }
}
