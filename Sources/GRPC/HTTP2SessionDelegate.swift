/// What a session tells the connection it belongs to. Everything is called while the session reads or writes, so
/// nothing here may feed or pull the session; submitting frames is fine.
protocol HTTP2SessionDelegate: AnyObject {
    /// The peer opens a stream. Only servers are asked.
    func openedStream(_ id: Int32) -> HTTP2Stream
    /// A ping of the peer arrived; the session has answered it.
    func receivedPing()
    /// The answer to a ping of ours arrived.
    func receivedPingAnswer(_ payload: UInt64)
    /// The peer reset a stream.
    func receivedReset()
    /// A stream was reset for what the peer did wrong on it, or for an error of ours.
    func sentReset(code: UInt32)
    /// The peer will not take streams above `lastStream`.
    func receivedGoAway(code: UInt32, lastStream: Int32, debug: UnsafeRawBufferPointer)
    /// The session, or its owner, gave up on the peer for this reason.
    func sentGoAway(reason: String)
    /// The number of open streams fell to zero.
    func becameIdle()
}

extension HTTP2Session {
    /// What a session is told at its start.
    struct Settings {
        /// How many streams the peer may have open.
        var maximumStreams: UInt32
        /// How many bytes the peer may send on one stream before the application takes them.
        var streamWindow: Int32
        /// How many bytes the peer may send on all streams before the session takes them.
        var connectionWindow: Int32
        /// The largest list of header fields, as HTTP/2 counts it; larger ones are refused by `isOversized`.
        var maximumHeaderList: UInt32
    }
}
