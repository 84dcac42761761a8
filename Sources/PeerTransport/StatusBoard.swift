import Synchronization

/// What is known of the connections with a peer.
public struct PeerStatus: Equatable, Sendable {
    /// Since when it has been reachable without a break, in milliseconds of the monotonic clock; nil when it is not.
    public var activeSince: Int64?
    /// Streams to the peer that it has opened, and streams from it that this member has: two of each when all is well.
    public var streamsOut = 0
    public var streamsIn = 0
    /// The last probe's time to the answer, in nanoseconds; nil before the first.
    public var roundTripNanoseconds: Int64?
    /// How far the peer's clock was ahead of this member's at the last probe, in nanoseconds.
    public var clockDriftNanoseconds: Int64 = 0
    /// Bytes of messages written to the peer.
    public var sentBytes: UInt64 = 0
    /// Bytes read from the peer's streams and posts.
    public var receivedBytes: UInt64 = 0
    /// Messages that could not be sent.
    public var sendFailures: UInt64 = 0

    /// A peer that was never reached.
    public init() {}
}

/// The peers' states for other threads to read.
final class StatusBoard: Sendable {
    private let peers = Mutex<[UInt64: PeerStatus]>([:])

    subscript(id: UInt64) -> PeerStatus? {
        get { peers.withLock { $0[id] } }
        set { peers.withLock { $0[id] = newValue } }
    }

    var all: [UInt64: PeerStatus] { peers.withLock { $0 } }
}
