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

    /// The number of bytes that ``encode(into:)`` writes, 44 at most.
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
    ///
    /// It is put together on the stack and appended at once: this runs for every response, and the ids alone are
    /// twenty bytes, each of which would otherwise check the array.
    public func encodeField(into writer: inout WireWriter) {
        withUnsafeTemporaryAllocation(byteCount: Self.largestField, alignment: 1) { field in
            // At most 44 bytes follow, so their length takes one byte, filled in when it is known.
            field[0] = 0x0a
            var end = 2
            Self.put(clusterID, tag: 0x08, into: field, at: &end)
            Self.put(memberID, tag: 0x10, into: field, at: &end)
            Self.put(UInt64(bitPattern: revision), tag: 0x18, into: field, at: &end)
            Self.put(raftTerm, tag: 0x20, into: field, at: &end)
            field[1] = UInt8(end - 2)
            writer.bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: field[..<end]))
        }
    }

    /// Tag and length, then four fields of a tag and at most ten bytes each.
    private static let largestField = 2 + 4 * 11

    private static func put(
        _ value: UInt64, tag: UInt8, into field: UnsafeMutableRawBufferPointer, at end: inout Int
    ) {
        if value == 0 { return }
        field[end] = tag
        end += 1
        var rest = value
        while rest >= 0x80 {
            field[end] = UInt8(truncatingIfNeeded: rest) | 0x80
            end += 1
            rest >>= 7
        }
        field[end] = UInt8(rest)
        end += 1
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

    /// What stands before an encoded `RangeResponse` of `length` bytes to make a `RangeStreamResponse` of it.
    public static func streamPieceHead(length: Int) -> [UInt8] {
        var writer = WireWriter()
        writer.delimiter(1, length: length)
        return writer.bytes
    }
}
