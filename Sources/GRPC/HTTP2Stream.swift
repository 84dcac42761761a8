import CNGHTTP2

/// One HTTP/2 stream as the session sees it: what waits to be sent and how far the two directions are. The server's
/// and the client's streams add what they do with what arrives.
///
/// A stream belongs to its connection's event loop.
class HTTP2Stream: @unchecked Sendable {
    /// The stream's number; negative until the session gives one.
    final var id: Int32 = -1
    /// The place in the session's list of streams.
    final var slot = -1
    /// The session, until the stream is closed.
    final var session: HTTP2Session?
    /// Only ever used for one step at a time, which the run-time check would cost more than.
    @exclusivity(unchecked) final var outbound = OutboundQueue()
    /// No more is added to `outbound`.
    final var isEnding = false
    /// The last DATA frame, or the trailers, went out.
    final var hasEnded = false
    /// The peer sent its END_STREAM.
    final var remoteEnded = false
    /// The queue was at its high-water mark, so the producer waits for word that it drained.
    final var producerWaits = false

    init() {}

    /// The last byte of an ending stream was taken. Returns whether trailers follow, which are then submitted.
    func submitTrailers() -> Bool { false }
    /// A field of a header block arrived that does not open the stream.
    func receivedHeader(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {}
    /// A header block is whole.
    func receivedHeaders(endStream: Bool) {}
    /// Bytes of the body arrived; they are valid during the call.
    func received(_ bytes: UnsafeRawBufferPointer) {}
    /// The peer will send no more on this stream.
    func receivedEnd() {}
    /// The queue fell under the low-water mark after having been full.
    func drained() {}
    /// The stream is gone; `code` is HTTP/2's error code, 0 for a regular end.
    func closed(code: UInt32) {}
}
