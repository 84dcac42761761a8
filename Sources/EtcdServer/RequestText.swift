import EtcdAPI

/// Requests as etcd's log lines show them: keys, but the sizes of values in place of the values.
enum RequestText {
    /// What is shown of a key, in bytes, and of a transaction's operations.
    private static let keyLimit = 256
    private static let operationLimit = 16

    /// The kind's name as etcd's metrics have it, such as `LeaseGrant`.
    static func name(_ kind: RaftRequestView.Kind) -> String {
        let name = "\(kind)"
        return name.prefix(1).uppercased() + name.dropFirst()
    }

    /// A request in the log, such as `header:<ID:7 > put:<key:"a" value_size:3 >`.
    static func describe(_ request: RaftRequestView) -> String {
        "header:<ID:\(request.id) > " + body(request)
    }

    private static func body(_ request: RaftRequestView) -> String {
        guard let kind = request.kind else { return "" }
        switch kind {
        case .put:
            guard let put = try? PutRequest(decoding: request.request) else { break }
            return "put:<\(describe(put))>"
        case .deleteRange:
            guard let delete = try? DeleteRangeRequest(decoding: request.request) else { break }
            return "delete_range:<\(describe(delete))>"
        case .txn:
            guard let txn = try? TxnRequest(decoding: request.request) else { break }
            return "txn:<\(describe(txn))>"
        case .compaction:
            guard let compaction = try? CompactionRequest(decoding: request.request) else { break }
            return "compaction:<revision:\(compaction.revision) physical:\(compaction.physical) >"
        default: break
        }
        // The other requests may hold what belongs in no log, such as a password.
        return "\(name(kind)):<size:\(request.request.count) >"
    }

    private static func describe(_ put: PutRequest) -> String {
        var text = "key:\(quote(put.key)) "
        if put.lease != 0 { text += "lease:\(put.lease) " }
        text += "value_size:\(put.value.count) "
        if put.prevKV { text += "prev_kv:true " }
        return text
    }

    private static func describe(_ delete: DeleteRangeRequest) -> String {
        var text = "key:\(quote(delete.key)) "
        if !delete.rangeEnd.isEmpty { text += "range_end:\(quote(delete.rangeEnd)) " }
        return text
    }

    /// A range, such as `key:"a" range_end:"b" limit:10 `.
    static func describe(_ range: RangeRequest) -> String {
        var text = "key:\(quote(range.key)) "
        if !range.rangeEnd.isEmpty { text += "range_end:\(quote(range.rangeEnd)) " }
        if range.limit != 0 { text += "limit:\(range.limit) " }
        if range.revision != 0 { text += "revision:\(range.revision) " }
        if range.serializable { text += "serializable:true " }
        if range.keysOnly { text += "keys_only:true " }
        if range.countOnly { text += "count_only:true " }
        return text
    }

    /// A transaction: the keys that it compares and the operations of both branches.
    static func describe(_ txn: TxnRequest) -> String {
        var text = ""
        for comparison in txn.compare.prefix(operationLimit) { text += "compare:<key:\(quote(comparison.key)) > " }
        for (branch, operations) in [("success", txn.success), ("failure", txn.failure)] {
            for operation in operations.prefix(operationLimit) {
                text += "\(branch):<\(describe(operation))> "
            }
        }
        return text
    }

    private static func describe(_ operation: RequestOp) -> String {
        switch operation {
        case .range(let range): "request_range:<\(describe(range))> "
        case .put(let put): "request_put:<\(describe(put))> "
        case .deleteRange(let delete): "request_delete_range:<\(describe(delete))> "
        // What is nested deeper says little more.
        case .txn: "request_txn:<> "
        case .none: ""
        }
    }

    /// Bytes as Go's protobuf prints them.
    private static func quote(_ bytes: [UInt8]) -> String {
        var text = "\""
        for byte in bytes.prefix(keyLimit) {
            switch byte {
            case 0x22: text += "\\\""
            case 0x5c: text += "\\\\"
            case 0x0a: text += "\\n"
            case 0x0d: text += "\\r"
            case 0x09: text += "\\t"
            case 0x20...0x7e: text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let octal = String(byte, radix: 8)
                text += "\\" + String(repeating: "0", count: 3 - octal.count) + octal
            }
        }
        return text + "\"" + (bytes.count > keyLimit ? "... " : "")
    }
}
