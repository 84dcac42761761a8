/// What a simulated run is like; everything else follows from the seed.
public struct SimulationSettings: Sendable {
    /// The members that the cluster begins with.
    public var members = 3
    /// Machines for members that are added.
    public var spares = 2
    /// How long faults and clients go on, in microseconds of simulated time.
    public var duration: Int64 = 12_000_000
    /// Clients that read and write registers.
    public var registerClients = 4
    public var leaseClients = 2
    public var watchClients = 2
    /// The registers; few, so that clients meet.
    public var keys = 5

    /// What the members do wrong; for tests that show that it is found.
    public var sabotage: Sabotage?

    /// Mistakes that a member could make, each of which breaks a promise.
    public enum Sabotage: String, CaseIterable, Sendable {
        /// Says that entries are on the disk before they are.
        case acknowledgesBeforeSynchronizing
        /// Does not write down its term and its vote.
        case forgetsHardState
        /// Answers linearizable reads from what it has.
        case readsLocally
        /// Forgets a response to a watcher now and then.
        case losesWatchEvents
        /// Says that a lease is renewed and does not renew it.
        case renewsNothing
        /// Does not synchronise the database that comes with a leader's snapshot. Found by one seed in seventy.
        case trustsSnapshotFile
    }

    /// The election timeout, in microseconds: etcd's default.
    static let electionTimeout: Int64 = 1_000_000
    /// How long the cluster may take to have a leader once nothing is broken any more. A split vote costs up to two
    /// election timeouts more, and may follow another; with this many in a row something is wrong.
    static let longestElection = 10 * electionTimeout
    /// How long the cluster may take to finish what is under way once it has a leader, in microseconds.
    static let longestSettling: Int64 = 30_000_000

    public init() {}
}
