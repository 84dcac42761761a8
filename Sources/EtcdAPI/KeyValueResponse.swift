import WireFormat

/// The header of every response (`etcdserverpb.ResponseHeader`).
public struct ResponseHeader: Equatable, Sendable {
    /// The cluster that answers.
    public var clusterID: UInt64
    /// The member that answers.
    public var memberID: UInt64
    /// The store's revision when the request was applied.
    public var revision: Int64
    /// The Raft term when the request was applied.
    public var raftTerm: UInt64

    /// A header with the given fields.
    public init(clusterID: UInt64 = 0, memberID: UInt64 = 0, revision: Int64 = 0, raftTerm: UInt64 = 0) {
        self.clusterID = clusterID
        self.memberID = memberID
        self.revision = revision
        self.raftTerm = raftTerm
    }

    /// The header encoded in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: clusterID = try reader.varint(tag)
            case 2: memberID = try reader.varint(tag)
            case 3: revision = try reader.int64(tag)
            case 4: raftTerm = try reader.varint(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes, 43 at most.
    public var encodedSize: Int {
        WireSize.varint(1, clusterID) + WireSize.varint(2, memberID) + WireSize.int64(3, revision)
            + WireSize.varint(4, raftTerm)
    }

    /// Appends the encoded header.
    public func encode(into writer: inout WireWriter) {
        writer.varint(1, clusterID)
        writer.varint(2, memberID)
        writer.int64(3, revision)
        writer.varint(4, raftTerm)
    }

    /// Appends the header as field 1 of a response; every response of etcd has it there.
    public func encodeField(into writer: inout WireWriter) {
        writer.delimiter(1, length: encodedSize)
        encode(into: &writer)
    }

    /// The number of bytes that ``encodeField(into:)`` writes.
    public var encodedFieldSize: Int { WireSize.alwaysBytes(1, encodedSize) }
}

/// Writes a `RangeResponse` field by field, stored key-values as they are, without decoding or gathering them.
///
/// The writer it is made over may hold bytes already (a frame's prefix); the response goes behind them.
public struct RangeResponseWriter {
    /// The bytes so far.
    public private(set) var writer: WireWriter

    /// Begins a response with `header`; a response inside a transaction or a stream's earlier pieces may have none.
    public init(header: ResponseHeader?, into writer: consuming WireWriter = WireWriter()) {
        self.writer = writer
        header?.encodeField(into: &self.writer)
    }

    /// Appends a key-value as it is stored.
    public mutating func append(stored bytes: UnsafeRawBufferPointer) {
        writer.alwaysBytes(2, bytes)
    }

    /// Appends a stored key-value without its value, for `keys_only`.
    public mutating func appendWithoutValue(_ view: KeyValueView) {
        writer.delimiter(2, length: view.encodedSizeWithoutValue)
        view.encodeWithoutValue(into: &writer)
    }

    /// Appends a key-value.
    public mutating func append(_ keyValue: KeyValue) {
        writer.delimiter(2, length: keyValue.encodedSize)
        keyValue.encode(into: &writer)
    }

    /// Ends the response: whether keys beyond the limit are left, and how many keys the range has.
    public consuming func finish(more: Bool = false, count: Int64) -> WireWriter {
        writer.bool(3, more)
        writer.int64(4, count)
        return writer
    }
}

/// Writes a `DeleteRangeResponse`, previous versions as they are stored.
public struct DeleteRangeResponseWriter {
    private var writer: WireWriter

    /// Begins the response to a delete that ended `deleted` keys.
    public init(header: ResponseHeader?, deleted: Int64, into writer: consuming WireWriter = WireWriter()) {
        self.writer = writer
        header?.encodeField(into: &self.writer)
        self.writer.int64(2, deleted)
    }

    /// Appends a version that the delete ended, as it is stored.
    public mutating func append(previous bytes: UnsafeRawBufferPointer) {
        writer.alwaysBytes(3, bytes)
    }

    /// Ends the response.
    public consuming func finish() -> WireWriter { writer }
}

/// Writes a `TxnResponse` from the responses of its operations, already encoded.
public struct TxnResponseWriter {
    /// The operations' responses, by their field in `ResponseOp`.
    public enum Operation: Int, Sendable {
        case range = 1
        case put = 2
        case deleteRange = 3
        case txn = 4
    }

    private var writer: WireWriter

    /// Begins the response; `succeeded` says whether every comparison held.
    public init(header: ResponseHeader?, succeeded: Bool, into writer: consuming WireWriter = WireWriter()) {
        self.writer = writer
        header?.encodeField(into: &self.writer)
        self.writer.bool(2, succeeded)
    }

    /// Appends the response of the next operation, encoded as its own message.
    public mutating func append(_ operation: Operation, response: [UInt8]) {
        writer.delimiter(3, length: WireSize.alwaysBytes(operation.rawValue, response.count))
        writer.alwaysBytes(operation.rawValue, response)
    }

    /// Ends the response.
    public consuming func finish() -> WireWriter { writer }
}

/// The responses of the KV service that need no writer of their own.
public enum KeyValueResponse {
    /// Appends a `PutResponse`; `previous` is the stored version that the put replaced, when it was asked for.
    public static func encodePut(
        header: ResponseHeader?, previous: UnsafeRawBufferPointer? = nil, into writer: inout WireWriter
    ) {
        header?.encodeField(into: &writer)
        if let previous { writer.alwaysBytes(2, previous) }
    }

    /// Appends a `CompactionResponse`, or any other response that is a header alone.
    public static func encodeHeaderOnly(_ header: ResponseHeader, into writer: inout WireWriter) {
        header.encodeField(into: &writer)
    }

    /// Appends a `RangeStreamResponse` around an encoded `RangeResponse`.
    public static func encodeStreamPiece(_ response: [UInt8], into writer: inout WireWriter) {
        writer.alwaysBytes(1, response)
    }
}
