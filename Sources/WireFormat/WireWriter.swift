/// Appends protobuf fields to a byte array.
///
/// The plain writers leave a zero or empty value out, as proto3 does; the `always` ones write it, as etcd's Raft
/// messages do for the fields that proto2 marks as set.
@frozen public struct WireWriter {
    /// What has been written.
    public var bytes: [UInt8]

    /// An empty writer with room for `capacity` bytes.
    @inlinable public init(capacity: Int = 0) {
        bytes = []
        if capacity > 0 { bytes.reserveCapacity(capacity) }
    }

    /// A writer that goes on behind `bytes`.
    @inlinable public init(appendingTo bytes: consuming [UInt8]) {
        self.bytes = bytes
    }

    /// Writes a varint field unless `value` is zero.
    @inlinable public mutating func varint(_ field: Int, _ value: UInt64) {
        if value != 0 { alwaysVarint(field, value) }
    }

    /// Writes an `int64` field unless `value` is zero; a negative value takes ten bytes.
    @inlinable public mutating func int64(_ field: Int, _ value: Int64) {
        if value != 0 { alwaysVarint(field, UInt64(bitPattern: value)) }
    }

    /// Writes a `bool` field unless it is false.
    @inlinable public mutating func bool(_ field: Int, _ value: Bool) {
        if value { alwaysVarint(field, 1) }
    }

    /// Writes a varint field.
    @inlinable public mutating func alwaysVarint(_ field: Int, _ value: UInt64) {
        rawVarint(UInt64(field) << 3)
        rawVarint(value)
    }

    /// Writes a `bytes` field unless it is empty.
    @inlinable public mutating func bytes(_ field: Int, _ value: [UInt8]) {
        if !value.isEmpty { alwaysBytes(field, value) }
    }

    /// Writes a `bytes` or message field.
    @inlinable public mutating func alwaysBytes(_ field: Int, _ value: [UInt8]) {
        delimiter(field, length: value.count)
        bytes.append(contentsOf: value)
    }

    /// Writes a `bytes` or message field from borrowed bytes.
    @inlinable public mutating func alwaysBytes(_ field: Int, _ value: UnsafeRawBufferPointer) {
        delimiter(field, length: value.count)
        bytes.append(contentsOf: value)
    }

    /// Writes a `string` field unless it is empty.
    @inlinable public mutating func string(_ field: Int, _ value: String) {
        if !value.isEmpty { alwaysBytes(field, Array(value.utf8)) }
    }

    /// Writes the tag and length of a field whose `length` bytes the caller appends to ``bytes`` next.
    @inlinable public mutating func delimiter(_ field: Int, length: Int) {
        rawVarint(UInt64(field) << 3 | 2)
        rawVarint(UInt64(length))
    }

    /// Writes a bare varint.
    @inlinable public mutating func rawVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}

/// The sizes of encoded fields, for writing a length before its bytes.
@frozen public enum WireSize {
    /// The bytes that a bare varint takes, 1 to 10.
    @inlinable public static func rawVarint(_ value: UInt64) -> Int {
        (max(1, 64 - value.leadingZeroBitCount) + 6) / 7
    }

    /// The bytes of a varint field, zero when it is left out.
    @inlinable public static func varint(_ field: Int, _ value: UInt64) -> Int {
        value == 0 ? 0 : rawVarint(UInt64(field) << 3) + rawVarint(value)
    }

    /// The bytes of an `int64` field, zero when it is left out.
    @inlinable public static func int64(_ field: Int, _ value: Int64) -> Int {
        varint(field, UInt64(bitPattern: value))
    }

    /// The bytes of a `bytes` or message field of `length`, also when it is empty.
    @inlinable public static func alwaysBytes(_ field: Int, _ length: Int) -> Int {
        rawVarint(UInt64(field) << 3) + rawVarint(UInt64(length)) + length
    }

    /// The bytes of a `bytes` field of `length`, zero when it is left out.
    @inlinable public static func bytes(_ field: Int, _ length: Int) -> Int {
        length == 0 ? 0 : alwaysBytes(field, length)
    }
}
