/// The wire types of protobuf that proto3 messages use.
@frozen public enum WireType: UInt8, Sendable {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
}

/// A field's number and wire type, as they stand before its value.
@frozen public struct WireTag: Equatable, Sendable {
    /// The field number, 1 to 2^29 - 1.
    public var field: Int
    /// How the value is written.
    public var type: WireType

    /// The tag of `field` with a value of `type`.
    @inlinable public init(field: Int, type: WireType) {
        self.field = field
        self.type = type
    }
}

/// Reads the fields of one protobuf message from borrowed bytes, each read checked against the end.
///
/// A caller loops over ``next()`` and, for each tag, calls exactly one of the value readers or ``skip(_:)``.
/// What ``bytes(_:)`` returns points into the bytes that the reader was made over and lives as long as they do.
@frozen public struct WireReader {
    @usableFromInline let base: UnsafeRawBufferPointer
    @usableFromInline var position: Int = 0

    /// The position of the next byte to read, from the start of the message.
    @inlinable public var offset: Int { position }

    /// A reader over the whole of `bytes`.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes
    }

    /// A reader over `bytes` that goes on at byte `start`.
    @inlinable public init(_ bytes: UnsafeRawBufferPointer, at start: Int) {
        precondition(start >= 0 && start <= bytes.count, "WireReader: it begins within its bytes")
        base = bytes
        position = start
    }

    /// Whether every byte has been read.
    @inlinable public var isAtEnd: Bool { offset >= base.count }

    /// The next field's tag, or nil at the end of the message.
    @inlinable public mutating func next() throws(WireError) -> WireTag? {
        if offset >= base.count { return nil }
        let start = offset
        let raw = try rawVarint()
        let number = raw >> 3
        guard number > 0, number < 1 << 29 else { throw WireError(.badFieldNumber, offset: start) }
        guard let type = WireType(rawValue: UInt8(raw & 7)) else {
            throw WireError(.badWireType(UInt8(raw & 7)), offset: start)
        }
        return WireTag(field: Int(number), type: type)
    }

    /// The value of a varint field.
    @inlinable public mutating func varint(_ tag: WireTag) throws(WireError) -> UInt64 {
        guard tag.type == .varint else { throw WireError(.unexpectedWireType(field: tag.field), offset: offset) }
        return try rawVarint()
    }

    /// The value of an `int64` field.
    @inlinable public mutating func int64(_ tag: WireTag) throws(WireError) -> Int64 {
        Int64(bitPattern: try varint(tag))
    }

    /// The value of a `bool` field.
    @inlinable public mutating func bool(_ tag: WireTag) throws(WireError) -> Bool {
        try varint(tag) != 0
    }

    /// The value of a `fixed64` field.
    @inlinable public mutating func fixed64(_ tag: WireTag) throws(WireError) -> UInt64 {
        guard tag.type == .fixed64 else { throw WireError(.unexpectedWireType(field: tag.field), offset: offset) }
        guard base.count - offset >= 8 else { throw WireError(.truncated, offset: offset) }
        defer { position += 8 }
        return UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// The value of a `bytes`, `string` or message field, pointing into the message.
    @inlinable public mutating func bytes(_ tag: WireTag) throws(WireError) -> UnsafeRawBufferPointer {
        guard tag.type == .bytes else { throw WireError(.unexpectedWireType(field: tag.field), offset: offset) }
        let start = offset
        let length = try rawVarint()
        guard length <= UInt64(base.count - offset) else { throw WireError(.truncated, offset: start) }
        let end = offset + Int(length)
        defer { position = end }
        return UnsafeRawBufferPointer(rebasing: base[offset..<end])
    }

    /// The value of a `bytes` field, copied.
    @inlinable public mutating func byteArray(_ tag: WireTag) throws(WireError) -> [UInt8] {
        [UInt8](try bytes(tag))
    }

    /// Appends the values of a repeated `uint64` field, packed or not.
    @inlinable public mutating func appendVarints(_ tag: WireTag, to values: inout [UInt64]) throws(WireError) {
        if tag.type == .bytes {
            var packed = WireReader(try bytes(tag))
            while !packed.isAtEnd { values.append(try packed.rawVarint()) }
        } else {
            values.append(try varint(tag))
        }
    }

    /// Passes over the value of a field that the caller does not know.
    @inlinable public mutating func skip(_ tag: WireTag) throws(WireError) {
        switch tag.type {
        case .varint: _ = try rawVarint()
        case .bytes: _ = try bytes(tag)
        case .fixed64, .fixed32:
            let width = tag.type == .fixed64 ? 8 : 4
            guard base.count - offset >= width else { throw WireError(.truncated, offset: offset) }
            position += width
        }
    }

    @inlinable mutating func rawVarint() throws(WireError) -> UInt64 {
        let start = offset
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < base.count {
            let byte = base[offset]
            position += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
            if shift > 63 { throw WireError(.overlongVarint, offset: start) }
        }
        throw WireError(.truncated, offset: start)
    }
}
