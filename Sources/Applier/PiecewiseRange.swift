import EtcdAPI
import MVCC
import WireFormat

/// The pairs of a range, read from one view in pieces: measured first, where the length must be known, and then written,
/// so that little of a large range is in memory at a time.
///
/// In key order it holds a key to go on with. Sorted or filtered, it holds 48 bytes for each pair of the range.
/// Used by one thread at a time.
public final class PiecewiseRange: @unchecked Sendable {
    /// How many pairs one step looks at: some milliseconds' work, after which others have their turn.
    private static let pairsPerStep = 8_192

    private let request: RangeRequest
    private let view: StoreView
    private let end: [UInt8]
    /// How many pairs the whole range has, whatever the limit and the filters leave of it.
    public let count: Int64
    /// Whether the limit left pairs out. Known once ``prepare(head:)`` has returned true, or in key order at once.
    public private(set) var more: Bool
    /// The bytes of all pairs in the answer, once ``prepare(head:)`` has returned true.
    public private(set) var length = 0

    /// Pairs that ``prepare(head:)`` has yet to look at.
    private var unseen: Int
    private var seenTo: [UInt8]
    /// The first pairs, already written.
    private var head: [UInt8] = []
    private var isHeadOpen = true
    /// In key order: pairs that are neither written nor in `head`, and where they begin.
    private var unwritten: Int
    private var writtenTo: [UInt8]
    private var candidates: [Candidate]?
    private var nextCandidate = 0
    private var isSorted = false

    /// A pair that is to be sorted.
    private struct Candidate {
        var revision: Revision
        var createRevision: Int64
        var version: Int64
        /// Of the pair as a field of the answer.
        var size: Int
        /// The value's first bytes, when values are what counts.
        var prefix: UInt64
    }

    /// Throws what the store refuses, such as a compacted revision.
    public init(_ request: RangeRequest, on view: StoreView) throws(EtcdError) {
        self.request = request
        self.view = view
        // One key is the range up to the least key above it.
        end = request.end ?? request.key + [0]
        seenTo = request.key
        writtenTo = request.key
        let count: Int
        do throws(StoreError) {
            count = try view.range(
                key: request.key, end: request.end, revision: request.revision, countOnly: true, visit: { _ in }
            ).count
        } catch {
            throw EtcdError(error)
        }
        self.count = Int64(count)
        let limit = request.limit > 0 ? Int(clamping: request.limit) : Int.max
        if request.countOnly {
            unseen = 0
        } else if request.needsWholeRange {
            // One pair beyond the limit tells that there are more.
            unseen = request.sortsAll ? count : min(count, limit == .max ? limit : limit + 1)
        } else {
            unseen = min(count, limit)
        }
        unwritten = request.needsWholeRange ? 0 : unseen
        more = !request.countOnly && !request.needsWholeRange && count > limit
        if request.needsWholeRange { candidates = [] }
    }

    /// Whether the pairs are not yet in the order that was asked for, so that ``prepare(head:)`` must come before them.
    public var needsOrder: Bool { request.needsWholeRange && !isSorted }

    /// Bytes of memory that are held between the calls.
    public var heldBytes: Int { head.count + (candidates?.count ?? 0) * MemoryLayout<Candidate>.stride }

    /// Measures, or sorts, some of the range; true when that is done. Of a range in key order the first `room` bytes are
    /// written at once; what they take is subtracted from it.
    public func prepare(head room: inout Int) throws(EtcdError) -> Bool {
        var left = min(unseen, Self.pairsPerStep)
        if left > 0 {
            unseen -= left
            var last: [UInt8] = []
            try scan(from: seenTo) { pair in
                left -= 1
                see(pair, &room)
                if left == 0 { last = [UInt8](pair.key) }
                return left > 0
            }
            guard left == 0 else { throw Self.changed }
            seenTo = last + [0]
        }
        if unseen > 0 { return false }
        try sortCandidates()
        return true
    }

    private func see(_ pair: RawKeyValue, _ room: inout Int) {
        if candidates != nil {
            if request.admits(pair) { candidates?.append(candidate(pair)) }
            return
        }
        if isHeadOpen && room > 0 {
            let before = head.count
            append(pair, to: &head)
            length += head.count - before
            room -= head.count - before
            unwritten -= 1
            if room <= 0 { writtenTo = pair.key + [0] }
        } else {
            isHeadOpen = false
            length += size(pair.encoded)
        }
    }

    private func candidate(_ pair: RawKeyValue) -> Candidate {
        var prefix: UInt64 = 0
        if request.sortTarget == .value, let value = try? KeyValueView(pair.encoded).value {
            for index in 0..<8 { prefix = prefix << 8 | (index < value.count ? UInt64(value[index]) : 0) }
        }
        return Candidate(
            revision: Revision(main: pair.modRevision, sub: pair.subRevision), createRevision: pair.createRevision,
            version: pair.version, size: size(pair.encoded), prefix: prefix)
    }

    /// Appends pairs to `piece` until it has `limit` bytes; false when there are no more. After ``prepare(head:)`` has
    /// returned true; in key order also without it.
    public func write(to piece: inout [UInt8], until limit: Int) throws(EtcdError) -> Bool {
        if !head.isEmpty {
            if piece.isEmpty { swap(&piece, &head) } else { piece += head }
            head = []
        }
        if let candidates {
            while piece.count < limit, nextCandidate < candidates.count {
                let revision = candidates[nextCandidate].revision
                nextCandidate += 1
                try withKeyValue(revision) { append($0, to: &piece) }
            }
            return nextCandidate < candidates.count
        }
        guard unwritten > 0, piece.count < limit else { return unwritten > 0 }
        var last: [UInt8] = []
        var left = unwritten
        try scan(from: writtenTo) { pair in
            append(pair, to: &piece)
            left -= 1
            if piece.count < limit && left > 0 { return true }
            last = [UInt8](pair.key)
            return false
        }
        guard !last.isEmpty else { throw Self.changed }
        unwritten = left
        writtenTo = last + [0]
        return left > 0
    }

    // MARK: Pairs

    private func append(_ pair: RawKeyValue, to bytes: inout [UInt8]) { append(pair.encoded, to: &bytes) }

    private func append(_ stored: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        var writer = WireWriter(appendingTo: taken)
        if request.keysOnly, let pair = try? KeyValueView(stored) {
            writer.delimiter(2, length: pair.encodedSizeWithoutValue)
            pair.encodeWithoutValue(into: &writer)
        } else {
            writer.alwaysBytes(2, stored)
        }
        bytes = writer.bytes
    }

    private func size(_ stored: UnsafeRawBufferPointer) -> Int {
        if request.keysOnly, let pair = try? KeyValueView(stored) {
            return WireSize.alwaysBytes(2, pair.encodedSizeWithoutValue)
        }
        return WireSize.alwaysBytes(2, stored.count)
    }

    private func scan(from key: [UInt8], _ visit: (RawKeyValue) -> Bool) throws(EtcdError) {
        do throws(StoreError) {
            try view.scan(from: key, to: end, revision: request.revision, visit: visit)
        } catch {
            throw EtcdError(error)
        }
    }

    private func withKeyValue(
        _ revision: Revision, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EtcdError) {
        do throws(StoreError) { try view.withKeyValue(at: revision, body) } catch { throw EtcdError(error) }
    }

    /// A view never changes, so this is damage.
    private static let changed = EtcdError(
        .unknown, "etcdserver: a range has fewer pairs than it had when it was counted")

    // MARK: Order

    private func sortCandidates() throws(EtcdError) {
        guard !isSorted, var found = candidates else { return }
        isSorted = true
        candidates = []
        try sort(&found)
        let wanted = request.limit > 0 ? min(Int(clamping: request.limit), found.count) : found.count
        more = wanted < found.count
        found.removeLast(found.count - wanted)
        length = found.reduce(0) { $0 + $1.size }
        candidates = found
    }

    private func sort(_ found: inout [Candidate]) throws(EtcdError) {
        var order = request.sortOrder
        if request.sortTarget != .key && order == .none { order = .ascend }
        guard order != .none else { return }
        let descends = order == .descend
        func number(_ value: (Candidate) -> Int64) {
            found.sort { descends ? value($0) > value($1) : value($0) < value($1) }
        }
        switch request.sortTarget {
        case .key: if descends { found.reverse() }
        case .version: number { $0.version }
        case .createRevision: number { $0.createRevision }
        case .modRevision: number { $0.revision.main }
        case .value:
            var failure: EtcdError?
            found.sort { left, right in
                let (first, second) = descends ? (right, left) : (left, right)
                if first.prefix != second.prefix { return first.prefix < second.prefix }
                do throws(EtcdError) {
                    return try valuePrecedes(first, second)
                } catch {
                    failure = error
                    return false
                }
            }
            if let failure { throw failure }
        case .unrecognized: break
        }
    }

    private func valuePrecedes(_ left: Candidate, _ right: Candidate) throws(EtcdError) -> Bool {
        var precedes = false
        var failure: EtcdError?
        try withKeyValue(left.revision) { leftBytes in
            do throws(EtcdError) {
                try withKeyValue(right.revision) { rightBytes in
                    guard let left = try? KeyValueView(leftBytes), let right = try? KeyValueView(rightBytes) else {
                        return
                    }
                    precedes = left.value.lexicographicallyPrecedes(right.value)
                }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return precedes
    }
}
