import WireFormat

/// The stored form of a key-value, `mvccpb.KeyValue`: key 1, create_revision 2, mod_revision 3, version 4, value 5, lease 6.
public enum StoredKeyValue {
    /// The bytes of a key-value, in one allocation.
    public static func encode(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, createRevision: Int64, modRevision: Int64,
        version: Int64, lease: Int64
    ) -> [UInt8] {
        let size =
            WireSize.bytes(1, key.count) + WireSize.int64(2, createRevision) + WireSize.int64(3, modRevision)
            + WireSize.int64(4, version) + WireSize.bytes(5, value.count) + WireSize.int64(6, lease)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
            var output = FieldOutput(UnsafeMutableRawBufferPointer(buffer))
            output.bytes(1, key)
            output.int64(2, createRevision)
            output.int64(3, modRevision)
            output.int64(4, version)
            output.bytes(5, value)
            output.int64(6, lease)
            precondition(output.offset == size, "a key-value's computed size is its encoded size")
            initialized = size
        }
    }

    /// The bytes that are stored for a deletion: the key alone.
    static func encodeTombstone(key: UnsafeRawBufferPointer) -> [UInt8] {
        encodeDeletion(key: key, modRevision: 0)
    }

    /// The bytes of a deletion's key-value as an event carries them: the key and the revision of the deletion.
    static func encodeDeletion(key: UnsafeRawBufferPointer, modRevision: Int64) -> [UInt8] {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        return encode(key: key, value: none, createRevision: 0, modRevision: modRevision, version: 0, lease: 0)
    }

    /// Reads the fields of a stored key-value; unknown fields are passed over.
    public static func fields(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> KeyValueFields {
        var fields = KeyValueFields()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: fields.key = try reader.bytes(tag)
            case 2: fields.createRevision = try reader.int64(tag)
            case 3: fields.modRevision = try reader.int64(tag)
            case 4: fields.version = try reader.int64(tag)
            case 5: fields.value = try reader.bytes(tag)
            case 6: fields.lease = try reader.int64(tag)
            default: try reader.skip(tag)
            }
        }
        return fields
    }
}

/// The fields of a stored key-value; key and value point into its bytes.
public struct KeyValueFields {
    /// The key.
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The revision that created the key in its present life.
    public var createRevision: Int64 = 0
    /// The revision of this change.
    public var modRevision: Int64 = 0
    /// The number of changes since the creation, itself included.
    public var version: Int64 = 0
    /// The value.
    public var value = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The lease that the key is attached to, 0 for none.
    public var lease: Int64 = 0
}

/// Writes protobuf fields into memory that is exactly large enough.
private struct FieldOutput {
    private let target: UnsafeMutableRawBufferPointer
    private(set) var offset = 0

    init(_ target: UnsafeMutableRawBufferPointer) {
        self.target = target
    }

    mutating func int64(_ field: UInt64, _ value: Int64) {
        if value == 0 { return }
        varint(field << 3)
        varint(UInt64(bitPattern: value))
    }

    mutating func bytes(_ field: UInt64, _ value: UnsafeRawBufferPointer) {
        if value.isEmpty { return }
        varint(field << 3 | 2)
        varint(UInt64(value.count))
        UnsafeMutableRawBufferPointer(rebasing: target[offset..<(offset + value.count)]).copyMemory(from: value)
        offset += value.count
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            target[offset] = UInt8(truncatingIfNeeded: rest) | 0x80
            offset += 1
            rest >>= 7
        }
        target[offset] = UInt8(truncatingIfNeeded: rest)
        offset += 1
    }
}
