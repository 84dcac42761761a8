import NIOCore

/// How much one read of a connection's socket takes. Others wait while it is dealt with, and what costs most by far for its
/// size are large heads and calls that begin or are reset, so a connection that sends many of those is read in small pieces.
enum ReadSize {
    /// Follows what comes, up to 64 KiB at a time.
    static let usual = AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 65536)
    /// Some dozens of fields at a time.
    static let small = FixedSizeRecvByteBufferAllocator(capacity: 4096)
    /// So many calls in one read are some milliseconds of work: the connection's next reads are small.
    static let manyCalls = 128
    /// While reads are small and have more calls than these, more of them wait to be read.
    static let someCalls = 8
    /// The bytes of a head, as encoded, beyond which it is large: clients of etcd need some hundred.
    static let largeHead = 1024
}
