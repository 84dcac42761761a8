import MVCC

/// What a range can be read from: a view of the store at one revision, or a write transaction that is under way.
protocol RangeSource {
    func range(
        key: [UInt8], end: [UInt8]?, revision: Int64, limit: Int, countOnly: Bool, visit: (RawKeyValue) -> Void
    ) throws(StoreError) -> (count: Int, revision: Int64)

    /// The newest revision that a read sees.
    var visibleRevision: Int64 { get }
    /// The revision up to which history is gone, or -1.
    var compactedRevision: Int64 { get }
}

extension StoreView: RangeSource {
    var visibleRevision: Int64 { currentRevision }
}

extension Store: RangeSource {}
