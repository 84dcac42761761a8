import WireFormat

/// The order of a range's results. Numbers that etcd does not define are kept, so that the server can refuse them.
public enum SortOrder: Hashable, Sendable {
    /// As the keys come, ascending.
    case none
    case ascend
    case descend
    case unrecognized(Int32)

    /// The order with this number on the wire.
    public init(rawValue: Int32) {
        switch rawValue {
        case 0: self = .none
        case 1: self = .ascend
        case 2: self = .descend
        default: self = .unrecognized(rawValue)
        }
    }

    /// The number on the wire.
    public var rawValue: Int32 {
        switch self {
        case .none: 0
        case .ascend: 1
        case .descend: 2
        case .unrecognized(let number): number
        }
    }
}

/// The field by which a range's results are ordered.
public enum SortTarget: Hashable, Sendable {
    case key
    case version
    case createRevision
    case modRevision
    case value
    case unrecognized(Int32)

    /// The target with this number on the wire.
    public init(rawValue: Int32) {
        switch rawValue {
        case 0: self = .key
        case 1: self = .version
        case 2: self = .createRevision
        case 3: self = .modRevision
        case 4: self = .value
        default: self = .unrecognized(rawValue)
        }
    }

    /// The number on the wire.
    public var rawValue: Int32 {
        switch self {
        case .key: 0
        case .version: 1
        case .createRevision: 2
        case .modRevision: 3
        case .value: 4
        case .unrecognized(let number): number
        }
    }
}

/// A read of one key or a range of keys (`etcdserverpb.RangeRequest`).
public struct RangeRequest: Equatable, Sendable {
    /// The first key.
    public var key: [UInt8] = []
    /// The exclusive end: empty asks for the one key, a single zero byte for everything from the key on.
    public var rangeEnd: [UInt8] = []
    /// The most results to return; 0 is no limit.
    public var limit: Int64 = 0
    /// The revision to read at; 0 or less is the newest.
    public var revision: Int64 = 0
    /// The order of the results.
    public var sortOrder = SortOrder.none
    /// What the order goes by.
    public var sortTarget = SortTarget.key
    /// Read this member's state without asking the quorum.
    public var serializable = false
    /// Leave the values out.
    public var keysOnly = false
    /// Return the number of keys and none of them.
    public var countOnly = false
    /// Leave out keys with an older modification revision; 0 is no bound, here and below.
    public var minModRevision: Int64 = 0
    /// Leave out keys with a newer modification revision.
    public var maxModRevision: Int64 = 0
    /// Leave out keys with an older creation revision.
    public var minCreateRevision: Int64 = 0
    /// Leave out keys with a newer creation revision.
    public var maxCreateRevision: Int64 = 0

    /// A read of `key`, or of the range up to `rangeEnd` when that is not empty.
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
            case 3: limit = try reader.int64(tag)
            case 4: revision = try reader.int64(tag)
            case 5: sortOrder = SortOrder(rawValue: try reader.enumeration(tag))
            case 6: sortTarget = SortTarget(rawValue: try reader.enumeration(tag))
            case 7: serializable = try reader.bool(tag)
            case 8: keysOnly = try reader.bool(tag)
            case 9: countOnly = try reader.bool(tag)
            case 10: minModRevision = try reader.int64(tag)
            case 11: maxModRevision = try reader.int64(tag)
            case 12: minCreateRevision = try reader.int64(tag)
            case 13: maxCreateRevision = try reader.int64(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        WireSize.bytes(1, key.count) + WireSize.bytes(2, rangeEnd.count) + WireSize.int64(3, limit)
            + WireSize.int64(4, revision) + WireSize.enumeration(5, sortOrder.rawValue)
            + WireSize.enumeration(6, sortTarget.rawValue) + WireSize.bool(7, serializable)
            + WireSize.bool(8, keysOnly) + WireSize.bool(9, countOnly) + WireSize.int64(10, minModRevision)
            + WireSize.int64(11, maxModRevision) + WireSize.int64(12, minCreateRevision)
            + WireSize.int64(13, maxCreateRevision)
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        writer.bytes(1, key)
        writer.bytes(2, rangeEnd)
        writer.int64(3, limit)
        writer.int64(4, revision)
        writer.enumeration(5, sortOrder.rawValue)
        writer.enumeration(6, sortTarget.rawValue)
        writer.bool(7, serializable)
        writer.bool(8, keysOnly)
        writer.bool(9, countOnly)
        writer.int64(10, minModRevision)
        writer.int64(11, maxModRevision)
        writer.int64(12, minCreateRevision)
        writer.int64(13, maxCreateRevision)
    }
}
