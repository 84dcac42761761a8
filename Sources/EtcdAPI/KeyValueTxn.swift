import WireFormat

/// How much of a transaction a decoder is willing to build.
///
/// A body of `--max-request-bytes` could otherwise become hundreds of thousands of operations of two bytes each, every
/// one of them some forty times as large in memory.
public struct TxnDecodingLimits: Sendable {
    /// The deepest nesting of transactions accepted by default. Clients nest one or two deep; 64 leaves room and keeps
    /// the decoder's stack small.
    public static let defaultDepth = 64
    /// The comparisons and operations accepted by default, nested ones included: eight megabytes of elements, and some
    /// twenty of keys and values of a byte each; and many times the 128 per list that `--max-txn-ops` allows by default.
    public static let defaultElements = 100_000

    /// How deep transactions may nest; 0 allows none inside the outermost.
    public var depth: Int
    /// How many comparisons and operations there may be in all.
    public var elements: Int

    /// Limits of `depth` and `elements`.
    public init(depth: Int = Self.defaultDepth, elements: Int = Self.defaultElements) {
        self.depth = depth
        self.elements = elements
    }

    /// Takes one element from the allowance.
    fileprivate mutating func takeElement(_ field: Int, at offset: Int) throws(WireError) {
        guard elements > 0 else { throw WireError(.tooMany(field: field), offset: offset) }
        elements -= 1
    }
}

/// An operation of a transaction (`etcdserverpb.RequestOp`).
public enum RequestOp: Equatable, Sendable {
    /// An operation that carries no request; etcd refuses it when it checks the transaction.
    case none
    case range(RangeRequest)
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)

    /// Sets the request that `bytes` carry; the last one wins, two of one kind are merged.
    fileprivate mutating func merge(
        _ bytes: UnsafeRawBufferPointer, limits: inout TxnDecodingLimits
    ) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1:
                var request = RangeRequest()
                if case .range(let earlier) = self { request = earlier }
                try request.merge(try reader.bytes(tag))
                self = .range(request)
            case 2:
                var request = PutRequest()
                if case .put(let earlier) = self { request = earlier }
                try request.merge(try reader.bytes(tag))
                self = .put(request)
            case 3:
                var request = DeleteRangeRequest()
                if case .deleteRange(let earlier) = self { request = earlier }
                try request.merge(try reader.bytes(tag))
                self = .deleteRange(request)
            case 4:
                guard limits.depth > 0 else { throw WireError(.nestedTooDeep, offset: reader.offset) }
                limits.depth -= 1
                var request = TxnRequest()
                if case .txn(let earlier) = self {
                    request = earlier
                    self = .none
                }
                try request.merge(try reader.bytes(tag), limits: &limits)
                self = .txn(request)
                limits.depth += 1
            default:
                try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        switch self {
        case .none: 0
        case .range(let request): WireSize.alwaysBytes(1, request.encodedSize)
        case .put(let request): WireSize.alwaysBytes(2, request.encodedSize)
        case .deleteRange(let request): WireSize.alwaysBytes(3, request.encodedSize)
        case .txn(let request): WireSize.alwaysBytes(4, request.encodedSize)
        }
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        switch self {
        case .none: break
        case .range(let request):
            writer.delimiter(1, length: request.encodedSize)
            request.encode(into: &writer)
        case .put(let request):
            writer.delimiter(2, length: request.encodedSize)
            request.encode(into: &writer)
        case .deleteRange(let request):
            writer.delimiter(3, length: request.encodedSize)
            request.encode(into: &writer)
        case .txn(let request):
            writer.delimiter(4, length: request.encodedSize)
            request.encode(into: &writer)
        }
    }
}

/// Comparisons, and what to do when all of them hold or one does not (`etcdserverpb.TxnRequest`).
public struct TxnRequest: Equatable, Sendable {
    /// The comparisons, all of which must hold for ``success`` to run.
    public var compare: [Compare] = []
    /// Run in order when every comparison holds.
    public var success: [RequestOp] = []
    /// Run in order otherwise.
    public var failure: [RequestOp] = []

    /// A transaction of the given parts.
    public init(compare: [Compare] = [], success: [RequestOp] = [], failure: [RequestOp] = []) {
        self.compare = compare
        self.success = success
        self.failure = failure
    }

    /// The request encoded in `bytes`.
    ///
    /// Throws ``WireError/Reason/nestedTooDeep`` or ``WireError/Reason/tooMany(field:)`` when the transaction is larger
    /// than `limits`.
    public init(
        decoding bytes: UnsafeRawBufferPointer, limits: TxnDecodingLimits = TxnDecodingLimits()
    ) throws(WireError) {
        var limits = limits
        try merge(bytes, limits: &limits)
    }

    fileprivate mutating func merge(
        _ bytes: UnsafeRawBufferPointer, limits: inout TxnDecodingLimits
    ) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1:
                try limits.takeElement(tag.field, at: reader.offset)
                compare.append(try Compare(decoding: try reader.bytes(tag)))
            case 2:
                try limits.takeElement(tag.field, at: reader.offset)
                var operation = RequestOp.none
                try operation.merge(try reader.bytes(tag), limits: &limits)
                success.append(operation)
            case 3:
                try limits.takeElement(tag.field, at: reader.offset)
                var operation = RequestOp.none
                try operation.merge(try reader.bytes(tag), limits: &limits)
                failure.append(operation)
            default:
                try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        var size = 0
        for comparison in compare { size += WireSize.alwaysBytes(1, comparison.encodedSize) }
        for operation in success { size += WireSize.alwaysBytes(2, operation.encodedSize) }
        for operation in failure { size += WireSize.alwaysBytes(3, operation.encodedSize) }
        return size
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        for comparison in compare {
            writer.delimiter(1, length: comparison.encodedSize)
            comparison.encode(into: &writer)
        }
        for operation in success {
            writer.delimiter(2, length: operation.encodedSize)
            operation.encode(into: &writer)
        }
        for operation in failure {
            writer.delimiter(3, length: operation.encodedSize)
            operation.encode(into: &writer)
        }
    }
}
