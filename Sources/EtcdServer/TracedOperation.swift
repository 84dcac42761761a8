import EtcdAPI
import Tracing

/// What a traced call asks for, under the names that etcd's own spans and their attributes have.
///
/// Source: etcd 3.7, pull requests 20325, 20389 and 20511.
struct TracedOperation: Sendable {
    var name: String
    var attributes: [(key: String, value: Span.Value)]

    /// What is shown of a key, in bytes: thousands of spans may wait for the collector.
    private static let keyLimit = 256

    static func range(_ request: RangeRequest) -> TracedOperation {
        TracedOperation(
            name: "range",
            attributes: [
                ("range_begin", key(request.key)), ("range_end", key(request.rangeEnd)),
                ("rev", .number(request.revision)), ("limit", .number(request.limit)),
                ("count_only", .flag(request.countOnly)), ("keys_only", .flag(request.keysOnly)),
            ])
    }

    static func put(key bytes: some Collection<UInt8>) -> TracedOperation {
        TracedOperation(name: "put", attributes: [("key", key(bytes))])
    }

    static func deleteRange(_ request: DeleteRangeRequest) -> TracedOperation {
        TracedOperation(
            name: "delete_range", attributes: [("range_begin", key(request.key)), ("range_end", key(request.rangeEnd))])
    }

    static func compact(_ request: CompactionRequest) -> TracedOperation {
        TracedOperation(name: "compact", attributes: [("rev", .number(request.revision))])
    }

    static func txn(_ request: TxnRequest, isReadOnly: Bool) -> TracedOperation {
        let first = request.success.first.map(describe)
        return TracedOperation(
            name: "txn",
            attributes: [
                ("compare_first_key", key(request.compare.first?.key ?? [])),
                ("success_first_key", key(first?.key ?? [])), ("success_first_type", .text(first?.type ?? "")),
                ("success_first_lease", .number(first?.lease ?? -1)),
                ("compare_len", .number(Int64(request.compare.count))),
                ("success_len", .number(Int64(request.success.count))),
                ("failure_len", .number(Int64(request.failure.count))), ("read_only", .flag(isReadOnly)),
            ])
    }

    /// An operation's key, its kind, and the lease of a put; -1 where there can be none.
    private static func describe(_ operation: RequestOp) -> (key: [UInt8], type: String, lease: Int64) {
        switch operation {
        case .range(let range): (range.key, "range", -1)
        case .put(let put): (put.key, "put", put.lease)
        case .deleteRange(let delete): (delete.key, "delete_range", -1)
        case .txn: ([], "txn", -1)
        case .none: ([], "", -1)
        }
    }

    private static func key(_ bytes: some Collection<UInt8>) -> Span.Value {
        .text(String(decoding: bytes.prefix(keyLimit), as: UTF8.self))
    }
}
