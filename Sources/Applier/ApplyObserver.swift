import EtcdAPI
import WireFormat

/// What applying entries and answering ranges has done, in numbers, as etcd counts for its metrics.
public struct OperationCounts: Sendable, Equatable {
    /// Single reads: ranges, those inside transactions, comparisons, and what a write reads of the version before.
    public var ranges = 0
    public var puts = 0
    /// Requests to delete, however many keys they meet; each key of a lease that is revoked.
    public var deletes = 0
    /// Transactions of the store with more than one read or write.
    public var transactions = 0
    /// Bytes of keys and values that were put.
    public var putBytes = 0
    public var leasesRevoked = 0
    /// The TTLs of the leases that were granted, in seconds.
    public var grantedTTLs: [Int64] = []

    /// Nothing was done.
    public init() {}

    /// The reads and writes; what a store's transaction made of them makes it count or not.
    private var operations: Int { ranges + puts + deletes }

    /// Counts a transaction of the store that ends now and had begun at `before`.
    mutating func endTransaction(from before: OperationCounts) {
        if operations - before.operations > 1 { transactions += 1 }
    }

    /// Whether there is nothing to tell.
    public var isEmpty: Bool {
        operations == 0 && transactions == 0 && leasesRevoked == 0 && grantedTTLs.isEmpty
    }
}

/// Times the application of entries. Called by the applier's owner: the clock once at the beginning of a batch and once for
/// each entry, for the end of one is the beginning of the next.
public protocol ApplyObserver: AnyObject {
    /// The monotonic clock, in nanoseconds.
    var now: Int64 { get }
    /// The request `request` of kind `kind` was applied with this result.
    func applied(
        _ kind: RaftRequestView.Kind, _ request: RaftRequestView, _ reply: Applier.Reply, from start: Int64,
        to end: Int64)
}
