import EtcdAPI
import MVCC
import WireFormat

/// The answer to a range request, whose stored pairs go into the reply as they lie in the store.
public enum RangeQuery {
    /// The encoded `RangeResponse`. `header` lacks the revision, which is the source's.
    public static func run(
        _ request: RangeRequest, on view: StoreView, header: ResponseHeader
    ) throws(EtcdError) -> [UInt8] {
        try answer(request, on: view, header: header)
    }

    /// The encoded `RangeResponse`, or nil when its pairs take more than `most` bytes and are more than one; then
    /// ``ReadAnswer`` is for it. `header` lacks the revision, which is the source's.
    public static func run(
        _ request: RangeRequest, on view: StoreView, header: ResponseHeader, upTo most: Int
    ) throws(EtcdError) -> [UInt8]? {
        try answer(request, on: view, header: header, upTo: most)
    }

    /// The encoded response, however long.
    static func answer(
        _ request: RangeRequest, on source: some RangeSource, header: ResponseHeader
    ) throws(EtcdError) -> [UInt8] {
        guard let answer = try answer(request, on: source, header: header, upTo: .max) else {
            preconditionFailure("no answer is longer than the largest number")
        }
        return answer
    }

    private static func answer(
        _ request: RangeRequest, on source: some RangeSource, header: ResponseHeader, upTo most: Int
    ) throws(EtcdError) -> [UInt8]? {
        do throws(StoreError) {
            if request.needsWholeRange { return try sorted(request, on: source, header: header, upTo: most) }
            return try inKeyOrder(request, on: source, header: header, upTo: most)
        } catch {
            throw EtcdError(error)
        }
    }

    /// A reply holds its header and a pair or two in this many bytes; larger ones grow.
    private static let usualReplyBytes = 512

    private static func inKeyOrder(
        _ request: RangeRequest, on source: some RangeSource, header: ResponseHeader, upTo most: Int
    ) throws(StoreError) -> [UInt8]? {
        var header = header
        header.revision = source.visibleRevision
        var reply = RangeResponseWriter(header: header, into: WireWriter(capacity: usualReplyBytes))
        let limit = max(0, Int(clamping: request.limit))
        var fits = true
        let result = try source.range(
            key: request.key, end: request.end, revision: request.revision, limit: limit, countOnly: request.countOnly
        ) { pair in
            if reply.writer.bytes.count <= most { reply.append(pair, keysOnly: request.keysOnly) } else { fits = false }
        }
        guard fits else { return nil }
        // The count is of the whole range, whatever the limit was. A count alone is never cut short.
        let more = limit > 0 && !request.countOnly && result.count > limit
        return reply.finish(more: more, count: Int64(result.count)).bytes
    }

    /// A pair set aside for sorting: where its bytes lie in the copy, and what it may be sorted by.
    private struct Candidate {
        var bytes: Range<Int>
        var createRevision: Int64
        var modRevision: Int64
        var version: Int64
    }

    private static func sorted(
        _ request: RangeRequest, on source: some RangeSource, header: ResponseHeader, upTo most: Int
    ) throws(StoreError) -> [UInt8]? {
        var fits = true
        var copy: [UInt8] = []
        var candidates: [Candidate] = []
        // etcd gives the store the limit when only the target names a sort, and sorts what it gets.
        let limit = request.sortsAll ? 0 : max(0, Int(clamping: request.limit))
        let result = try source.range(
            key: request.key, end: request.end, revision: request.revision,
            limit: limit == 0 || limit == .max ? limit : limit + 1,
            countOnly: request.countOnly
        ) { pair in
            guard request.admits(pair) else { return }
            if copy.count > most { fits = false }
            guard fits else { return }
            let start = copy.count
            copy.append(contentsOf: pair.encoded)
            candidates.append(
                Candidate(
                    bytes: start..<copy.count, createRevision: pair.createRevision, modRevision: pair.modRevision,
                    version: pair.version))
        }
        guard fits else { return nil }
        return try copy.span.withUnsafeBytes { (stored) throws(StoreError) in
            try sort(&candidates, stored, request)
            var header = header
            header.revision = source.visibleRevision
            var reply = RangeResponseWriter(header: header)
            let wanted = request.limit > 0 ? min(Int(clamping: request.limit), candidates.count) : candidates.count
            for candidate in candidates[..<wanted] {
                let bytes = UnsafeRawBufferPointer(rebasing: stored[candidate.bytes])
                if request.keysOnly {
                    reply.appendWithoutValue(try view(bytes))
                } else {
                    reply.append(stored: bytes)
                }
            }
            return reply.finish(more: wanted < candidates.count, count: Int64(result.count)).bytes
        }
    }

    private static func view(_ bytes: UnsafeRawBufferPointer) throws(StoreError) -> KeyValueView {
        do { return try KeyValueView(bytes) } catch {
            throw .backend(.corrupt(path: "", what: "a stored pair: \(error)"))
        }
    }

    private static func sort(
        _ candidates: inout [Candidate], _ stored: UnsafeRawBufferPointer, _ request: RangeRequest
    ) throws(StoreError) {
        var order = request.sortOrder
        if request.sortTarget != .key && order == .none { order = .ascend }
        guard order != .none else { return }
        let descends = order == .descend
        func number(_ value: (Candidate) -> Int64) {
            candidates.sort { descends ? value($0) > value($1) : value($0) < value($1) }
        }
        switch request.sortTarget {
        case .key: if descends { candidates.reverse() }
        case .version: number { $0.version }
        case .createRevision: number { $0.createRevision }
        case .modRevision: number { $0.modRevision }
        case .value:
            var keyed: [(candidate: Candidate, value: UnsafeRawBufferPointer)] = []
            for candidate in candidates {
                keyed.append((candidate, try view(UnsafeRawBufferPointer(rebasing: stored[candidate.bytes])).value))
            }
            keyed.sort { left, right in
                descends
                    ? right.value.lexicographicallyPrecedes(left.value)
                    : left.value.lexicographicallyPrecedes(right.value)
            }
            candidates = keyed.map(\.candidate)
        case .unrecognized: break
        }
    }
}

extension RangeRequest {
    /// The end of the range as the store takes it: nil for one key.
    public var end: [UInt8]? { rangeEnd.isEmpty ? nil : rangeEnd }

    /// Whether pairs must be filtered or sorted by something else than the key.
    public var needsWholeRange: Bool { sortsAll || sortTarget != .key }

    /// Whether the whole range must be seen before the limit applies. Ascending keys are the store's own order.
    var sortsAll: Bool {
        let ordered = sortOrder != .none && !(sortTarget == .key && sortOrder == .ascend)
        return ordered || minModRevision != 0 || maxModRevision != 0 || minCreateRevision != 0
            || maxCreateRevision != 0
    }

    func admits(_ pair: RawKeyValue) -> Bool {
        (maxModRevision == 0 || pair.modRevision <= maxModRevision)
            && (minModRevision == 0 || pair.modRevision >= minModRevision)
            && (maxCreateRevision == 0 || pair.createRevision <= maxCreateRevision)
            && (minCreateRevision == 0 || pair.createRevision >= minCreateRevision)
    }
}

extension RangeResponseWriter {
    /// Adds `pair`, without its value when only keys are wanted.
    public mutating func append(_ pair: RawKeyValue, keysOnly: Bool) {
        // A pair that does not decode was checked when it was written and read; it goes out as it is.
        if keysOnly, let view = try? KeyValueView(pair.encoded) {
            appendWithoutValue(view)
        } else {
            append(stored: pair.encoded)
        }
    }
}

extension EtcdError {
    /// What a client is told of a store's refusal.
    public init(_ error: StoreError) {
        switch error {
        case .compacted: self = .compacted
        case .futureRevision: self = .futureRevision
        default: self = EtcdError(.unknown, "\(error)")
        }
    }
}
