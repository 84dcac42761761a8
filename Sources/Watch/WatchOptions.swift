/// Who a hub speaks for, and its limits.
public struct WatchOptions: Sendable {
    /// The cluster's id, in each response's header.
    public var clusterID: UInt64
    /// The member's id, in each response's header.
    public var memberID: UInt64
    /// From this many bytes on a response is split for a watcher that asked for fragments: etcd's request limit of
    /// 1.5 MiB and 512 KiB of allowance.
    public var fragmentBytes = 2 << 20
    /// With more bytes than this waiting to be written, a stream's watchers are set aside until half of it is gone.
    /// It bounds what a client that does not read costs.
    public var streamByteLimit = 1 << 20
    /// Behind the revision that brings a batch over this many bytes of events a new response is begun, so that a busy
    /// applier does not make one giant response.
    public var responseByteLimit = 1 << 20
    /// The most scans of history under way at once, 1 to 200. More would let late watchers start sooner and read the
    /// same history more often.
    public var maximumScans = 8
    /// The most watchers of a hub; a slot is a 32-bit number, and a row with its key takes about 200 bytes.
    public var maximumWatchers = 16 << 20

    /// The default limits for the member with these ids.
    public init(clusterID: UInt64, memberID: UInt64) {
        self.clusterID = clusterID
        self.memberID = memberID
    }
}
