import WireFormat

/// What a role may do with a range of keys (`authpb.Permission`).
public struct Permission: Hashable, Sendable {
    /// Reading, writing, or both.
    public enum Kind: UInt64, Sendable {
        case read = 0
        case write = 1
        case readWrite = 2

        /// Whether it allows reading.
        public var reads: Bool { self != .write }
        /// Whether it allows writing.
        public var writes: Bool { self != .read }
    }

    public var kind: Kind
    public var key: [UInt8]
    /// The end of the range: empty for the one key, a zero byte for all keys from ``key`` on.
    public var rangeEnd: [UInt8]

    /// The end of a range that has none.
    public static let openEnd: [UInt8] = [0]

    /// A permission for `key`, or for the range up to `rangeEnd`.
    public init(_ kind: Kind, key: [UInt8], rangeEnd: [UInt8] = []) {
        self.kind = kind
        self.key = key
        self.rangeEnd = rangeEnd
    }

    /// Whether the range holds any key at all, and is written as etcd wants it.
    public var isValid: Bool {
        if key.isEmpty { return false }
        return rangeEnd.isEmpty || rangeEnd == Self.openEnd || key.lexicographicallyPrecedes(rangeEnd)
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init(.read, key: [])
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1:
                guard let kind = Kind(rawValue: try reader.varint(tag)) else {
                    throw WireError(.badValue(field: 1), offset: reader.offset)
                }
                self.kind = kind
            case 2: key = try reader.byteArray(tag)
            case 3: rangeEnd = try reader.byteArray(tag)
            default: try reader.skip(tag)
            }
        }
    }

    var encoded: [UInt8] {
        var writer = WireWriter()
        writer.varint(1, kind.rawValue)
        writer.bytes(2, key)
        writer.bytes(3, rangeEnd)
        return writer.bytes
    }
}
