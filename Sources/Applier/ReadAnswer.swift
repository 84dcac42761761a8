import EtcdAPI
import MVCC
import WireFormat

/// The answer to a range or to a transaction that only reads, which need not be whole in memory: it is measured, in
/// steps, and then written in pieces that make it up.
///
/// It holds its view until it goes. Used by one thread at a time.
public final class ReadAnswer: @unchecked Sendable {
    private enum Layout {
        case range(PiecewiseRange)
        case txn(Transaction)
    }

    /// A transaction whose branches are chosen.
    private struct Transaction {
        var succeeded: Bool
        var operations: [Layout] = []
    }

    /// Something to write, in order.
    private enum Part {
        case bytes([UInt8])
        case pairs(PiecewiseRange)
    }

    /// How many bytes of the answer are written while it is measured: those that are wanted first.
    private var room: Int
    private let header: ResponseHeader
    private let layout: Layout
    /// The ranges that are not measured yet, the next one last.
    private var unmeasured: [PiecewiseRange] = []
    private let ranges: [PiecewiseRange]
    private var parts: [Part] = []
    private var nextPart = 0
    /// What a transaction reads, for metrics.
    public private(set) var counts = OperationCounts()
    /// The bytes of the whole answer, once ``prepare()`` has returned true.
    public private(set) var length = 0
    /// The bytes that ``nextPiece(_:)`` has yet to give.
    public private(set) var unwritten = 0

    /// The answer to `request`; of it at most `head` bytes and a pair are written while it is measured. `header` lacks the
    /// revision, which is the view's. Throws what the store refuses.
    public init(
        _ request: RangeRequest, on view: StoreView, header: ResponseHeader, head: Int
    ) throws(EtcdError) {
        let range = try PiecewiseRange(request, on: view)
        room = head
        self.header = header.at(view.currentRevision)
        layout = .range(range)
        ranges = [range]
        unmeasured = ranges
    }

    /// The answer to `request`, which only reads; see ``init(_:on:header:head:)-(RangeRequest,_,_,_)``.
    public init(_ request: TxnRequest, on view: StoreView, header: ResponseHeader, head: Int) throws(EtcdError) {
        var execution = TxnExecution(request, on: view)
        try execution.check(request, on: view) { _ in true }
        counts.ranges = execution.takeReads()
        var ranges: [PiecewiseRange] = []
        var branches = execution.branches[...]
        layout = .txn(try Self.transaction(request, &branches, on: view, &ranges))
        room = head
        self.header = header.at(view.currentRevision)
        self.ranges = ranges
        unmeasured = ranges.reversed()
        counts.ranges += ranges.count
        counts.endTransaction(from: OperationCounts())
    }

    private static func transaction(
        _ request: TxnRequest, _ branches: inout ArraySlice<Bool>, on view: StoreView,
        _ ranges: inout [PiecewiseRange]
    ) throws(EtcdError) -> Transaction {
        var transaction = Transaction(succeeded: branches.removeFirst())
        for operation in transaction.succeeded ? request.success : request.failure {
            switch operation {
            case .range(let request):
                let range = try PiecewiseRange(request, on: view)
                ranges.append(range)
                transaction.operations.append(.range(range))
            case .txn(let nested):
                transaction.operations.append(.txn(try Self.transaction(nested, &branches, on: view, &ranges)))
            case .none, .put, .deleteRange:
                preconditionFailure("a transaction that was found to be read-only writes")
            }
        }
        return transaction
    }

    /// Bytes of memory that the answer holds besides its view.
    public var heldBytes: Int { ranges.reduce(0) { $0 + $1.heldBytes } }

    /// Measures some milliseconds long; true when the length is known.
    public func prepare() throws(EtcdError) -> Bool {
        if let range = unmeasured.last, try range.prepare(head: &room) { unmeasured.removeLast() }
        guard unmeasured.isEmpty else { return false }
        lay(layout, header)
        length = parts.reduce(0) { sum, part in
            switch part {
            case .bytes(let bytes): sum + bytes.count
            case .pairs(let range): sum + range.length
            }
        }
        unwritten = length
        return true
    }

    /// The next bytes: `limit` of them and at most a pair more, or what is left. Throws when the store turns out to be
    /// damaged; then the answer cannot be completed.
    public func nextPiece(_ limit: Int) throws(EtcdError) -> [UInt8] {
        var piece: [UInt8] = []
        piece.reserveCapacity(min(limit, unwritten) + 64)
        while piece.count < limit, nextPart < parts.count {
            switch parts[nextPart] {
            case .bytes(let bytes): piece += bytes
            case .pairs(let range): if try range.write(to: &piece, until: limit) { continue }
            }
            nextPart += 1
        }
        unwritten -= piece.count
        guard unwritten >= 0, unwritten == 0 || nextPart < parts.count else {
            throw EtcdError(.unknown, "etcdserver: an answer is not as long as it was measured")
        }
        return piece
    }

    // MARK: Layout

    private static let rangeField = 1
    private static let txnField = 4

    private func lay(_ layout: Layout, _ header: ResponseHeader) {
        switch layout {
        case .range(let range):
            parts.append(.bytes(Self.head(header)))
            parts.append(.pairs(range))
            parts.append(.bytes(Self.tail(range)))
        case .txn(let transaction):
            parts.append(.bytes(TxnResponseWriter(header: header, succeeded: transaction.succeeded).finish().bytes))
            for operation in transaction.operations {
                let field: Int
                let inner: ResponseHeader
                switch operation {
                case .range:
                    field = Self.rangeField
                    inner = ResponseHeader().at(self.header.revision)
                case .txn:
                    field = Self.txnField
                    inner = ResponseHeader()
                }
                let size = Self.size(operation, inner, revision: self.header.revision)
                var prefix = WireWriter()
                prefix.delimiter(3, length: WireSize.alwaysBytes(field, size))
                prefix.delimiter(field, length: size)
                parts.append(.bytes(prefix.bytes))
                lay(operation, inner)
            }
        }
    }

    private static func size(_ layout: Layout, _ header: ResponseHeader, revision: Int64) -> Int {
        switch layout {
        case .range(let range): return header.encodedFieldSize + range.length + tail(range).count
        case .txn(let transaction):
            var size = TxnResponseWriter(header: header, succeeded: transaction.succeeded).finish().bytes.count
            for operation in transaction.operations {
                let inner: Int
                let field: Int
                switch operation {
                case .range:
                    field = rangeField
                    inner = Self.size(operation, ResponseHeader().at(revision), revision: revision)
                case .txn:
                    field = txnField
                    inner = Self.size(operation, ResponseHeader(), revision: revision)
                }
                size += WireSize.alwaysBytes(3, WireSize.alwaysBytes(field, inner))
            }
            return size
        }
    }

    private static func head(_ header: ResponseHeader) -> [UInt8] {
        var writer = WireWriter()
        header.encodeField(into: &writer)
        return writer.bytes
    }

    private static func tail(_ range: PiecewiseRange) -> [UInt8] {
        RangeResponseWriter(header: nil).finish(more: range.more, count: range.count).bytes
    }
}

extension ResponseHeader {
    /// The header with the revision that was read at.
    fileprivate func at(_ revision: Int64) -> ResponseHeader {
        var header = self
        header.revision = revision
        return header
    }
}
