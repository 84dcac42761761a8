import WireFormat

extension WireReader {
    /// The value of an enum field: protobuf keeps the low 32 bits of the varint.
    mutating func enumeration(_ tag: WireTag) throws(WireError) -> Int32 {
        Int32(truncatingIfNeeded: try varint(tag))
    }
}

extension WireWriter {
    /// Writes an enum field unless `value` is zero; a negative number takes ten bytes, as for `int32`.
    mutating func enumeration(_ field: Int, _ value: Int32) {
        int64(field, Int64(value))
    }
}

extension WireSize {
    /// The bytes of an enum field, zero when it is left out.
    static func enumeration(_ field: Int, _ value: Int32) -> Int {
        int64(field, Int64(value))
    }

    /// The bytes of a `bool` field, zero when it is left out.
    static func bool(_ field: Int, _ value: Bool) -> Int {
        varint(field, value ? 1 : 0)
    }
}
