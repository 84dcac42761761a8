/// Whether a member that has just started shortens its first wait for a leader: when all others are connected and none of
/// them leads, there is nothing to wait for (etcd's initial election tick advance).
public struct FirstElection: Sendable {
    /// How long after the start it may happen, in milliseconds; etcd's time for a connection.
    public static let longestWait: Int64 = 5_000

    private var isUndecided: Bool
    private let startedAt: Int64

    /// The first election of a member that starts at `startedAt`, in milliseconds; what `--initial-election-tick-advance`
    /// says is whether it may be advanced.
    public init(mayBeAdvanced: Bool, startedAt: Int64) {
        isUndecided = mayBeAdvanced
        self.startedAt = startedAt
    }

    /// Whether now is the moment, which comes once at the most. `others` are the other voters.
    public mutating func shallBeAdvanced(
        now: Int64, hasLeader: Bool, others: [UInt64], isConnected: (UInt64) -> Bool
    ) -> Bool {
        guard isUndecided else { return false }
        if hasLeader || others.isEmpty || now > startedAt + Self.longestWait {
            isUndecided = false
            return false
        }
        guard others.allSatisfy(isConnected) else { return false }
        isUndecided = false
        return true
    }
}
