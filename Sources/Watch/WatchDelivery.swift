/// An encoded `WatchResponse` for a stream.
public struct WatchDelivery: Sendable {
    /// Where it goes.
    public var stream: WatchStreamID
    /// The watcher that it is for, -1 when it is for none or for all of the stream.
    public var watchID: Int64
    /// The number of events in it.
    public var eventCount: Int
    /// The response's bytes up to its events.
    public var head: [UInt8]
    /// The response's events; one array shared by all watchers that were sent the same ones.
    public var body: [UInt8]

    /// The length of the encoded response.
    public var byteCount: Int { head.count + body.count }

    /// The encoded response in one piece.
    public var bytes: [UInt8] { head + body }
}
