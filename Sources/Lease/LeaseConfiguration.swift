/// How a ``Lessor`` grants leases and how often it repeats itself.
public struct LeaseConfiguration: Sendable {
    /// The shortest TTL that is granted, in seconds; a shorter request is raised to it.
    public var minimumTTL: Int64 = 2
    /// Whether the remaining TTL of long leases is recorded through the log (etcd's feature `LeaseCheckpoint`).
    public var recordsCheckpoints = false
    /// The time between two checkpoints of one lease, in milliseconds.
    public var checkpointInterval: Int64 = 300_000
    /// The time after which an expired lease is handed out again when its revoke was not applied, in milliseconds.
    public var revokeRetryInterval: Int64 = 3_000

    /// etcd's defaults.
    public init() {}

    /// The minimum TTL that goes with an election timeout, in seconds.
    ///
    /// A lease must outlive one and a half election timeouts, or a change of leader alone would end it.
    public static func minimumTTL(electionTicks: Int, heartbeatMilliseconds: Int) -> Int64 {
        let milliseconds = (3 * electionTicks) / 2 * heartbeatMilliseconds
        return Int64((milliseconds + 999) / 1000)
    }
}
