import WireFormat

/// A write of one key (`etcdserverpb.PutRequest`).
public struct PutRequest: Equatable, Sendable {
    /// The key to write.
    public var key: [UInt8] = []
    /// Its new value.
    public var value: [UInt8] = []
    /// The lease to hang the key on, 0 for none.
    public var lease: Int64 = 0
    /// Answer with the version that the put replaces.
    public var prevKV = false
    /// Keep the present value; the key must exist.
    public var ignoreValue = false
    /// Keep the present lease; the key must exist.
    public var ignoreLease = false

    /// A put of `value` under `key`.
    public init(key: [UInt8] = [], value: [UInt8] = [], lease: Int64 = 0) {
        self.key = key
        self.value = value
        self.lease = lease
    }

    /// The request encoded in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        try merge(bytes)
    }

    /// Sets the fields that `bytes` carry, as protobuf does when a message field comes twice.
    mutating func merge(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: key = try reader.byteArray(tag)
            case 2: value = try reader.byteArray(tag)
            case 3: lease = try reader.int64(tag)
            case 4: prevKV = try reader.bool(tag)
            case 5: ignoreValue = try reader.bool(tag)
            case 6: ignoreLease = try reader.bool(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        WireSize.bytes(1, key.count) + WireSize.bytes(2, value.count) + WireSize.int64(3, lease)
            + WireSize.bool(4, prevKV) + WireSize.bool(5, ignoreValue) + WireSize.bool(6, ignoreLease)
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        writer.bytes(1, key)
        writer.bytes(2, value)
        writer.int64(3, lease)
        writer.bool(4, prevKV)
        writer.bool(5, ignoreValue)
        writer.bool(6, ignoreLease)
    }
}

/// A put read in place: key and value point into the message and live as long as it does.
public struct PutRequestView {
    public private(set) var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public private(set) var value = UnsafeRawBufferPointer(start: nil, count: 0)
    public private(set) var lease: Int64 = 0
    public private(set) var prevKV = false
    public private(set) var ignoreValue = false
    public private(set) var ignoreLease = false

    /// The request encoded in `bytes`.
    public init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: key = try reader.bytes(tag)
            case 2: value = try reader.bytes(tag)
            case 3: lease = try reader.int64(tag)
            case 4: prevKV = try reader.bool(tag)
            case 5: ignoreValue = try reader.bool(tag)
            case 6: ignoreLease = try reader.bool(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// Whether the put needs nothing of the version that it replaces.
    public var isPlain: Bool { !prevKV && !ignoreValue && !ignoreLease }
}

/// A delete of one key or a range of keys (`etcdserverpb.DeleteRangeRequest`).
public struct DeleteRangeRequest: Equatable, Sendable {
    /// The first key.
    public var key: [UInt8] = []
    /// The exclusive end, with the meaning it has in ``RangeRequest``.
    public var rangeEnd: [UInt8] = []
    /// Answer with the versions that the delete ends.
    public var prevKV = false

    /// A delete of `key`, or of the range up to `rangeEnd` when that is not empty.
    public init(key: [UInt8] = [], rangeEnd: [UInt8] = []) {
        self.key = key
        self.rangeEnd = rangeEnd
    }

    /// The request encoded in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        try merge(bytes)
    }

    /// Sets the fields that `bytes` carry, as protobuf does when a message field comes twice.
    mutating func merge(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: key = try reader.byteArray(tag)
            case 2: rangeEnd = try reader.byteArray(tag)
            case 3: prevKV = try reader.bool(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        WireSize.bytes(1, key.count) + WireSize.bytes(2, rangeEnd.count) + WireSize.bool(3, prevKV)
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        writer.bytes(1, key)
        writer.bytes(2, rangeEnd)
        writer.bool(3, prevKV)
    }
}

/// A request to forget history below a revision (`etcdserverpb.CompactionRequest`).
public struct CompactionRequest: Equatable, Sendable {
    /// The oldest revision to keep readable.
    public var revision: Int64 = 0
    /// Answer only when the old versions are gone from the backend.
    public var physical = false

    /// A compaction at `revision`.
    public init(revision: Int64 = 0, physical: Bool = false) {
        self.revision = revision
        self.physical = physical
    }

    /// The request encoded in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: revision = try reader.int64(tag)
            case 2: physical = try reader.bool(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        WireSize.int64(1, revision) + WireSize.bool(2, physical)
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        writer.int64(1, revision)
        writer.bool(2, physical)
    }
}
