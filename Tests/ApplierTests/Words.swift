import EtcdAPI
import Testing

/// The words of a script's line, read from front to back.
struct Words {
    private var words: ArraySlice<String>

    init(_ line: String) {
        let spaced = line.replacing("(", with: " ( ").replacing(")", with: " ) ")
        words = spaced.split(separator: " ").map(String.init)[...]
    }

    mutating func next() -> String { words.popFirst() ?? "" }

    mutating func number() -> Int64 { Int64(next()) ?? 0 }

    private mutating func take(_ word: String) -> Bool {
        guard words.first == word else { return false }
        words.removeFirst()
        return true
    }

    /// A word as bytes; `''` is none.
    private static func bytes(_ word: String) -> [UInt8] { word == "''" ? [] : Array(word.utf8) }

    private static func end(_ text: String) -> [UInt8] { text == "0" ? [0] : Array(text.utf8) }

    /// The options up to the end of the operation, `name` or `name=value`.
    private mutating func options() -> [String: String] {
        var found: [String: String] = [:]
        while let word = words.first, ![")", ";", "else", "then"].contains(word) {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            found[parts[0]] = parts.count > 1 ? parts[1] : ""
            words.removeFirst()
        }
        return found
    }

    mutating func operation() -> RequestOp {
        let word = next()
        switch word {
        case "put": return .put(put())
        case "delete":
            var request = DeleteRangeRequest(key: Self.bytes(next()))
            let options = options()
            request.rangeEnd = options["end"].map(Self.end) ?? []
            request.prevKV = options["prev"] != nil
            return .deleteRange(request)
        case "get": return .range(range())
        case "txn": return .txn(transaction())
        case "(":
            let inner = operation()
            #expect(take(")"))
            return inner
        default: return .none
        }
    }

    private mutating func put() -> PutRequest {
        var request = PutRequest(key: Self.bytes(next()), value: Self.bytes(next()))
        let options = options()
        request.lease = options["lease"].flatMap { Int64($0) } ?? 0
        request.prevKV = options["prev"] != nil
        request.ignoreValue = options["ignore-value"] != nil
        request.ignoreLease = options["ignore-lease"] != nil
        return request
    }

    private mutating func range() -> RangeRequest {
        var request = RangeRequest(key: Self.bytes(next()))
        let options = options()
        func number(_ name: String) -> Int64 { options[name].flatMap { Int64($0) } ?? 0 }
        request.rangeEnd = options["end"].map(Self.end) ?? []
        request.revision = number("rev")
        request.limit = number("limit")
        request.keysOnly = options["keys"] != nil
        request.countOnly = options["count"] != nil
        request.minModRevision = number("minmod")
        request.maxModRevision = number("maxmod")
        request.minCreateRevision = number("mincreate")
        request.maxCreateRevision = number("maxcreate")
        let targets: [String: SortTarget] = [
            "version": .version, "create": .createRevision, "mod": .modRevision, "value": .value,
            "unknown": .unrecognized(9),
        ]
        let orders: [String: SortOrder] = ["ascend": .ascend, "descend": .descend, "unknown": .unrecognized(9)]
        request.sortTarget = targets[options["sort"] ?? ""] ?? .key
        request.sortOrder = orders[options["order"] ?? ""] ?? .none
        return request
    }

    private mutating func transaction() -> TxnRequest {
        var request = TxnRequest()
        if take("if") {
            repeat { request.compare.append(comparison()) } while take("and")
        }
        if take("then") {
            repeat { request.success.append(operation()) } while take(";")
        }
        if take("else") {
            repeat { request.failure.append(operation()) } while take(";")
        }
        return request
    }

    /// `TARGET of KEY [to END] RELATION OPERAND`.
    private mutating func comparison() -> Compare {
        let target = next()
        var comparison = Compare()
        #expect(take("of"))
        comparison.key = Self.bytes(next())
        if take("to") { comparison.rangeEnd = Self.end(next()) }
        let results: [String: Compare.Result] = ["=": .equal, "!=": .notEqual, ">": .greater, "<": .less]
        comparison.result = results[next()] ?? .unrecognized(9)
        let operand = next()
        let number = Int64(operand) ?? 0
        switch target {
        case "version": (comparison.target, comparison.operand) = (.version, .version(number))
        case "create": (comparison.target, comparison.operand) = (.createRevision, .createRevision(number))
        case "mod": (comparison.target, comparison.operand) = (.modRevision, .modRevision(number))
        case "lease": (comparison.target, comparison.operand) = (.lease, .lease(number))
        default: (comparison.target, comparison.operand) = (.value, .value(Self.bytes(operand)))
        }
        return comparison
    }
}

/// Responses as a script shows them: pairs as `key=value@modified`, with what differs from a plain first version.
enum Describe {
    static func pair(_ pair: Mvccpb_KeyValue) -> String {
        var text = "\(String(decoding: pair.key, as: UTF8.self))=\(String(decoding: pair.value, as: UTF8.self))"
        text += "@\(pair.modRevision)"
        if pair.version != 1 { text += " v\(pair.version) from \(pair.createRevision)" }
        if pair.lease != 0 { text += " lease \(pair.lease)" }
        return text
    }

    private static func list(_ pairs: [Mvccpb_KeyValue]) -> String { "[\(pairs.map(pair).joined(separator: ", "))]" }

    static func put(_ response: Etcdserverpb_PutResponse) -> String {
        response.hasPrevKv ? " was \(pair(response.prevKv))" : ""
    }

    static func delete(_ response: Etcdserverpb_DeleteRangeResponse) -> String {
        " deleted \(response.deleted)" + (response.prevKvs.isEmpty ? "" : " \(list(response.prevKvs))")
    }

    static func range(_ response: Etcdserverpb_RangeResponse) -> String {
        " \(list(response.kvs)) of \(response.count)\(response.more ? " more" : "")"
    }

    static func txn(_ response: Etcdserverpb_TxnResponse) -> String {
        var parts = [response.succeeded ? " then" : " else"]
        for operation in response.responses {
            switch operation.response {
            case .responseRange(let inner): parts.append("get@\(inner.header.revision)\(range(inner))")
            case .responsePut(let inner): parts.append("put@\(inner.header.revision)\(put(inner))")
            case .responseDeleteRange(let inner): parts.append("delete@\(inner.header.revision)\(delete(inner))")
            case .responseTxn(let inner): parts.append("(txn\(txn(inner)))")
            case nil: parts.append("nothing")
            }
        }
        return parts.joined(separator: " | ")
    }
}
