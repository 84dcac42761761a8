import WireFormat

/// One condition of a transaction (`etcdserverpb.Compare`).
public struct Compare: Equatable, Sendable {
    /// How the stored field must relate to the given one.
    public enum Result: Hashable, Sendable {
        case equal
        case greater
        case less
        case notEqual
        case unrecognized(Int32)

        /// The relation with this number on the wire.
        public init(rawValue: Int32) {
            switch rawValue {
            case 0: self = .equal
            case 1: self = .greater
            case 2: self = .less
            case 3: self = .notEqual
            default: self = .unrecognized(rawValue)
            }
        }

        /// The number on the wire.
        public var rawValue: Int32 {
            switch self {
            case .equal: 0
            case .greater: 1
            case .less: 2
            case .notEqual: 3
            case .unrecognized(let number): number
            }
        }
    }

    /// The stored field that is compared.
    public enum Target: Hashable, Sendable {
        case version
        case createRevision
        case modRevision
        case value
        case lease
        case unrecognized(Int32)

        /// The target with this number on the wire.
        public init(rawValue: Int32) {
            switch rawValue {
            case 0: self = .version
            case 1: self = .createRevision
            case 2: self = .modRevision
            case 3: self = .value
            case 4: self = .lease
            default: self = .unrecognized(rawValue)
            }
        }

        /// The number on the wire.
        public var rawValue: Int32 {
            switch self {
            case .version: 0
            case .createRevision: 1
            case .modRevision: 2
            case .value: 3
            case .lease: 4
            case .unrecognized(let number): number
            }
        }
    }

    /// What to compare with. etcd reads the field that ``Compare/target`` names and takes one that is not there as zero
    /// or empty.
    public enum Operand: Equatable, Sendable {
        case none
        case version(Int64)
        case createRevision(Int64)
        case modRevision(Int64)
        case value([UInt8])
        case lease(Int64)
    }

    /// How the stored field must relate to ``operand``.
    public var result = Result.equal
    /// The stored field that is compared.
    public var target = Target.version
    /// The key, or the first key of the range, whose fields are compared.
    public var key: [UInt8] = []
    /// What to compare with.
    public var operand = Operand.none
    /// The exclusive end of the range that must satisfy the condition, with the meaning it has in ``RangeRequest``.
    public var rangeEnd: [UInt8] = []

    /// The condition that `target` of `key` relates to `operand` as `result` says.
    public init(
        key: [UInt8] = [], target: Target = .version, result: Result = .equal, operand: Operand = .none,
        rangeEnd: [UInt8] = []
    ) {
        self.result = result
        self.target = target
        self.key = key
        self.operand = operand
        self.rangeEnd = rangeEnd
    }

    /// The condition encoded in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: result = Result(rawValue: try reader.enumeration(tag))
            case 2: target = Target(rawValue: try reader.enumeration(tag))
            case 3: key = try reader.byteArray(tag)
            case 4: operand = .version(try reader.int64(tag))
            case 5: operand = .createRevision(try reader.int64(tag))
            case 6: operand = .modRevision(try reader.int64(tag))
            case 7: operand = .value(try reader.byteArray(tag))
            case 8: operand = .lease(try reader.int64(tag))
            case 64: rangeEnd = try reader.byteArray(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        // An operand is written even when it is zero, in a field whose tag takes one byte.
        let operandSize =
            switch operand {
            case .none: 0
            case .version(let number), .createRevision(let number), .modRevision(let number), .lease(let number):
                1 + WireSize.rawVarint(UInt64(bitPattern: number))
            case .value(let value): WireSize.alwaysBytes(7, value.count)
            }
        return WireSize.enumeration(1, result.rawValue) + WireSize.enumeration(2, target.rawValue)
            + WireSize.bytes(3, key.count) + operandSize + WireSize.bytes(64, rangeEnd.count)
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        writer.enumeration(1, result.rawValue)
        writer.enumeration(2, target.rawValue)
        writer.bytes(3, key)
        switch operand {
        case .none: break
        case .version(let number): writer.alwaysVarint(4, UInt64(bitPattern: number))
        case .createRevision(let number): writer.alwaysVarint(5, UInt64(bitPattern: number))
        case .modRevision(let number): writer.alwaysVarint(6, UInt64(bitPattern: number))
        case .value(let value): writer.alwaysBytes(7, value)
        case .lease(let number): writer.alwaysVarint(8, UInt64(bitPattern: number))
        }
        writer.bytes(64, rangeEnd)
    }
}
