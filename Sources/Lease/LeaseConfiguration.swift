/// How a ``Lessor`` grants leases and how often it repeats itself.
public struct LeaseConfiguration: Sendable {
    /// The shortest TTL that is granted, in seconds; a shorter request is raised to it.
    public var minimumTTL: Int64 = 2
    /// The time that a change of leader may give a lease anew, in milliseconds, before it is recorded through the log. A
    /// lease that is renewed more often is never recorded, so this can be shorter than etcd's five minutes.
    public var checkpointInterval: Int64 = 60_000
    /// Whether recorded TTLs are kept over a restart at every version of the cluster.
    public var persistsCheckpoints = false
    /// The time after which an expired lease is handed out again when its revoke was not applied, in milliseconds.
    public var revokeRetryInterval: Int64 = 3_000

    /// The defaults.
    public init() {}

    /// The minimum TTL that goes with an election timeout, in seconds.
    ///
    /// A lease must outlive one and a half election timeouts, or a change of leader alone would end it.
    public static func minimumTTL(electionTicks: Int, heartbeatMilliseconds: Int) -> Int64 {
        let milliseconds = (3 * electionTicks) / 2 * heartbeatMilliseconds
        return Int64((milliseconds + 999) / 1000)
    }
}
