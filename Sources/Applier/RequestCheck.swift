import EtcdAPI

/// What etcd refuses in a request before it looks at the store.
public enum RequestCheck {
    public static func check(_ request: RangeRequest) throws(EtcdError) {
        if request.key.isEmpty { throw .emptyKey }
        if case .unrecognized = request.sortOrder { throw .invalidSortOption }
        if case .unrecognized = request.sortTarget { throw .invalidSortOption }
    }

    public static func check(_ request: PutRequest) throws(EtcdError) {
        if request.key.isEmpty { throw .emptyKey }
        if request.ignoreValue && !request.value.isEmpty { throw .valueProvided }
        if request.ignoreLease && request.lease != 0 { throw .leaseProvided }
    }

    public static func check(_ request: PutRequestView) throws(EtcdError) {
        if request.key.isEmpty { throw .emptyKey }
        if request.ignoreValue && !request.value.isEmpty { throw .valueProvided }
        if request.ignoreLease && request.lease != 0 { throw .leaseProvided }
    }

    public static func check(_ request: DeleteRangeRequest) throws(EtcdError) {
        if request.key.isEmpty { throw .emptyKey }
    }

    /// Checks a transaction with at most `limit` comparisons or operations a level, the levels below counted in.
    public static func check(_ request: TxnRequest, limit: Int) throws(EtcdError) {
        try checkOperations(request, limit: limit)
        _ = try writes(of: request.success)
        _ = try writes(of: request.failure)
    }

    private static func checkOperations(_ request: TxnRequest, limit: Int) throws(EtcdError) {
        let largest = max(request.compare.count, request.success.count, request.failure.count)
        if largest > limit { throw .tooManyOperations }
        for comparison in request.compare where comparison.key.isEmpty { throw .emptyKey }
        for operation in request.success { try check(operation, limit: limit - largest) }
        for operation in request.failure { try check(operation, limit: limit - largest) }
    }

    private static func check(_ operation: RequestOp, limit: Int) throws(EtcdError) {
        switch operation {
        case .none: throw .keyNotFound
        case .range(let request): try check(request)
        case .put(let request): try check(request)
        case .deleteRange(let request): try check(request)
        case .txn(let request): try checkOperations(request, limit: limit)
        }
    }

    /// The keys that one branch of a transaction puts, and the ranges that it deletes.
    private struct Writes {
        var puts: Set<[UInt8]> = []
        var deletes = KeyRanges()
    }

    /// No key may be written twice in one revision, whichever branches are taken: the two branches of one nested
    /// transaction exclude each other, everything else may come together.
    private static func writes(of operations: [RequestOp]) throws(EtcdError) -> Writes {
        var result = Writes()
        for case .deleteRange(let request) in operations {
            result.deletes.insert(key: request.key, end: request.rangeEnd)
        }
        for case .txn(let request) in operations {
            let success = try writes(of: request.success)
            let failure = try writes(of: request.failure)
            for key in success.puts where result.puts.contains(key) || result.deletes.contains(key) {
                throw .duplicateKey
            }
            for key in failure.puts {
                let takenElsewhere = result.puts.contains(key)
                if takenElsewhere || result.deletes.contains(key) { throw .duplicateKey }
            }
            result.puts.formUnion(success.puts)
            result.puts.formUnion(failure.puts)
            // Only now: what one branch deletes does not count against what the same transaction puts.
            result.deletes.insert(success.deletes)
            result.deletes.insert(failure.deletes)
        }
        for case .put(let request) in operations {
            if result.deletes.contains(request.key) { throw .duplicateKey }
            if !result.puts.insert(request.key).inserted { throw .duplicateKey }
        }
        return result
    }
}

/// A set of keys made of ranges, kept sorted and merged when it is asked.
///
/// An end of one zero byte is that key here, and not the end of all keys, since etcd's check takes it so.
struct KeyRanges {
    private struct Span {
        var start: [UInt8]
        var end: [UInt8]
    }

    private var spans: [Span] = []
    private var isMerged = true

    /// Adds one key, or the range up to `end`.
    mutating func insert(key: [UInt8], end: [UInt8]) {
        if end.isEmpty {
            spans.append(Span(start: key, end: key + [0]))
        } else if key.lexicographicallyPrecedes(end) {
            spans.append(Span(start: key, end: end))
        }
        isMerged = false
    }

    /// Adds all keys of `other`.
    mutating func insert(_ other: KeyRanges) {
        guard !other.spans.isEmpty else { return }
        spans += other.spans
        isMerged = false
    }

    /// Whether `key` is in one of the ranges.
    mutating func contains(_ key: [UInt8]) -> Bool {
        if !isMerged { merge() }
        var low = 0
        var high = spans.count
        while low < high {
            let middle = (low + high) / 2
            if key.lexicographicallyPrecedes(spans[middle].start) { high = middle } else { low = middle + 1 }
        }
        return low > 0 && key.lexicographicallyPrecedes(spans[low - 1].end)
    }

    private mutating func merge() {
        spans.sort { $0.start.lexicographicallyPrecedes($1.start) }
        var merged: [Span] = []
        for span in spans {
            guard let last = merged.last, !last.end.lexicographicallyPrecedes(span.start) else {
                merged.append(span)
                continue
            }
            if last.end.lexicographicallyPrecedes(span.end) { merged[merged.count - 1].end = span.end }
        }
        spans = merged
        isMerged = true
    }
}
