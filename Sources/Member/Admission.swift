import EtcdAPI

/// When a member takes no more requests for the log, whatever they ask.
public struct Admission: Sendable {
    /// etcd's bound on how far a member may be behind what is committed. One that is further behind could not answer in
    /// time, and each further request would wait longer than the last.
    public static let maximumLag: UInt64 = 5_000
    /// How many requests may wait for the log: about a second's work of a busy member.
    public static let maximumWaiting = 50_000

    /// What the member knows is committed, by index.
    public var committed: UInt64
    /// What it has applied.
    public var applied: UInt64

    public init(committed: UInt64, applied: UInt64) {
        self.committed = committed
        self.applied = applied
    }

    /// What a client is told whose request is not taken while `waiting` others wait, or nil when it is.
    public func refusal(waiting: Int) -> EtcdError? {
        let lag = committed > applied ? committed - applied : 0
        return lag > Self.maximumLag || waiting >= Self.maximumWaiting ? .tooManyRequests : nil
    }
}
