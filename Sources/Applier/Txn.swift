import EtcdAPI
import MVCC
import WireFormat

/// Carries transactions out: the comparisons first, then every operation of the branches that they choose.
///
/// Nested transactions are compared before anything is written, so that a transaction either is checked whole or leaves
/// the store as it was.
struct TxnExecution {
    /// Which branch each transaction took, the outer one before those nested in it.
    private var path: [Bool] = []
    var branches: [Bool] { path }
    private var position = 0
    /// The reads of comparisons and checks.
    private var reads = 0

    /// The reads since the last call.
    mutating func takeReads() -> Int {
        defer { reads = 0 }
        return reads
    }

    /// Whether `request` can write, in whichever branch.
    static func isReadOnly(_ request: TxnRequest) -> Bool {
        (request.success + request.failure).allSatisfy { operation in
            switch operation {
            case .range: true
            case .txn(let nested): isReadOnly(nested)
            case .none, .put, .deleteRange: false
            }
        }
    }

    /// Whether every range in `request` may be answered from what this member has, without asking the others.
    static func isSerializable(_ request: TxnRequest) -> Bool {
        (request.success + request.failure).allSatisfy { operation in
            switch operation {
            case .range(let range): range.serializable
            case .txn(let nested): isSerializable(nested)
            case .none, .put, .deleteRange: false
            }
        }
    }

    /// Compares against `source` and notes the branches.
    init(_ request: TxnRequest, on source: some RangeSource) {
        choose(request, on: source)
    }

    private mutating func choose(_ request: TxnRequest, on source: some RangeSource) {
        let succeeded = request.compare.allSatisfy { comparison in
            reads += 1
            return Self.holds(comparison, on: source)
        }
        path.append(succeeded)
        for case .txn(let nested) in succeeded ? request.success : request.failure {
            choose(nested, on: source)
        }
    }

    private static func holds(_ comparison: Compare, on source: some RangeSource) -> Bool {
        var all = true
        let end = comparison.rangeEnd.isEmpty ? nil : comparison.rangeEnd
        let found = try? source.range(key: comparison.key, end: end, revision: 0, limit: 0, countOnly: false) { pair in
            guard all else { return }
            guard let view = try? KeyValueView(pair.encoded) else {
                all = false
                return
            }
            all = comparison.holds(for: view)
        }
        guard let found else { return false }
        if found.count > 0 { return all }
        // A value that does not exist equals none, not even the empty one.
        if comparison.target == .value { return false }
        guard let absent = try? KeyValueView(UnsafeRawBufferPointer(start: nil, count: 0)) else { return false }
        return comparison.holds(for: absent)
    }

    /// What the chosen branches ask is possible: leases and keys that puts need exist, revisions can be read.
    mutating func check(
        _ request: TxnRequest, on source: some RangeSource, leaseExists: (Int64) -> Bool
    ) throws(EtcdError) {
        position = 0
        try checkPuts(request, on: source, leaseExists: leaseExists)
        position = 0
        try checkRanges(request, on: source)
    }

    private mutating func checkPuts(
        _ request: TxnRequest, on source: some RangeSource, leaseExists: (Int64) -> Bool
    ) throws(EtcdError) {
        for operation in branch(of: request) {
            switch operation {
            case .put(let put):
                if put.ignoreValue || put.ignoreLease {
                    reads += 1
                    if try !Self.exists(put.key, on: source) { throw .keyNotFound }
                }
                if put.lease != 0, !leaseExists(put.lease) { throw .leaseNotFound }
            case .txn(let nested): try checkPuts(nested, on: source, leaseExists: leaseExists)
            case .none, .range, .deleteRange: break
            }
        }
    }

    private mutating func checkRanges(_ request: TxnRequest, on source: some RangeSource) throws(EtcdError) {
        for operation in branch(of: request) {
            switch operation {
            case .range(let range) where range.revision != 0:
                if range.revision > source.visibleRevision { throw .futureRevision }
                if range.revision < source.compactedRevision { throw .compacted }
            case .txn(let nested): try checkRanges(nested, on: source)
            case .none, .range, .put, .deleteRange: break
            }
        }
    }

    static func exists(_ key: [UInt8], on source: some RangeSource) throws(EtcdError) -> Bool {
        do throws(StoreError) {
            return try source.range(key: key, end: nil, revision: 0, limit: 0, countOnly: true) { _ in }.count > 0
        } catch {
            throw EtcdError(error)
        }
    }

    private mutating func branch(of request: TxnRequest) -> [RequestOp] {
        let succeeded = path[position]
        position += 1
        return succeeded ? request.success : request.failure
    }

    /// The answers of one level, before its header is known: an outer header carries the revision that the whole
    /// transaction made.
    struct Responses {
        var succeeded: Bool
        var answers: [(TxnResponseWriter.Operation, [UInt8])] = []
    }

    static func encode(_ responses: Responses, header: ResponseHeader) -> [UInt8] {
        var writer = TxnResponseWriter(header: header, succeeded: responses.succeeded)
        for (operation, answer) in responses.answers { writer.append(operation, response: answer) }
        return writer.finish().bytes
    }

    /// Runs the operations of `request` in order; `execute` answers one range, put or delete.
    mutating func run(
        _ request: TxnRequest,
        execute: (RequestOp) throws(EtcdError) -> (TxnResponseWriter.Operation, [UInt8])
    ) throws(EtcdError) -> Responses {
        position = 0
        return try responses(request, execute: execute)
    }

    private mutating func responses(
        _ request: TxnRequest,
        execute: (RequestOp) throws(EtcdError) -> (TxnResponseWriter.Operation, [UInt8])
    ) throws(EtcdError) -> Responses {
        var result = Responses(succeeded: path[position])
        for operation in branch(of: request) {
            if case .txn(let nested) = operation {
                let inner = try responses(nested, execute: execute)
                result.answers.append((.txn, Self.encode(inner, header: ResponseHeader())))
            } else {
                result.answers.append(try execute(operation))
            }
        }
        return result
    }
}

extension Compare {
    /// Whether the comparison holds for one pair.
    fileprivate func holds(for pair: KeyValueView) -> Bool {
        let difference: Int
        switch target {
        case .value:
            var expected: [UInt8] = []
            if case .value(let bytes) = operand { expected = bytes }
            difference = expected.withUnsafeBytes { expected in
                if pair.value.lexicographicallyPrecedes(expected) { return -1 }
                return expected.lexicographicallyPrecedes(pair.value) ? 1 : 0
            }
        case .createRevision: difference = order(pair.createRevision, number)
        case .modRevision: difference = order(pair.modRevision, number)
        case .version: difference = order(pair.version, number)
        case .lease: difference = order(pair.lease, number)
        case .unrecognized: difference = 0
        }
        switch result {
        case .equal: return difference == 0
        case .notEqual: return difference != 0
        case .greater: return difference > 0
        case .less: return difference < 0
        case .unrecognized: return true
        }
    }

    /// The operand that belongs to the target; one of another kind counts as zero, as it does in etcd.
    private var number: Int64 {
        switch (target, operand) {
        case (.version, .version(let number)), (.createRevision, .createRevision(let number)),
            (.modRevision, .modRevision(let number)), (.lease, .lease(let number)):
            number
        default: 0
        }
    }

    private func order(_ left: Int64, _ right: Int64) -> Int { left < right ? -1 : (left > right ? 1 : 0) }
}

/// A transaction that only reads, answered from a view without a log entry.
public enum TxnQuery {
    /// Whether `request` can write nothing.
    public static func isReadOnly(_ request: TxnRequest) -> Bool { TxnExecution.isReadOnly(request) }

    /// Whether this member may answer `request` without asking the others.
    public static func isSerializable(_ request: TxnRequest) -> Bool { TxnExecution.isSerializable(request) }

    /// The encoded `TxnResponse`; its reads are added to `counts`.
    public static func run(
        _ request: TxnRequest, on view: StoreView, header: ResponseHeader, counts: inout OperationCounts
    ) throws(EtcdError) -> [UInt8] {
        let before = counts
        var ranges = 0
        var execution = TxnExecution(request, on: view)
        defer {
            counts.ranges += ranges + execution.takeReads()
            counts.endTransaction(from: before)
        }
        try execution.check(request, on: view) { _ in true }
        var header = header
        header.revision = view.currentRevision
        let responses = try execution.run(request) { (operation) throws(EtcdError) in
            guard case .range(let range) = operation else {
                preconditionFailure("a transaction that was found to be read-only writes")
            }
            ranges += 1
            return (.range, try RangeQuery.run(range, on: view, header: ResponseHeader()))
        }
        return TxnExecution.encode(responses, header: header)
    }
}
