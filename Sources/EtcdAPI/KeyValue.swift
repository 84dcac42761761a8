import WireFormat

/// One version of a key (`mvccpb.KeyValue`), owning its bytes.
public struct KeyValue: Equatable, Sendable {
    /// The key.
    public var key: [UInt8]
    /// The revision at which the key's current life began.
    public var createRevision: Int64
    /// The revision of this version.
    public var modRevision: Int64
    /// How often the key was written since its creation, 1 for the first time; 0 in a tombstone.
    public var version: Int64
    /// The value.
    public var value: [UInt8]
    /// The lease that the key hangs on, 0 for none.
    public var lease: Int64

    /// A version of `key` with the given fields.
    public init(
        key: [UInt8] = [], createRevision: Int64 = 0, modRevision: Int64 = 0, version: Int64 = 0, value: [UInt8] = [],
        lease: Int64 = 0
    ) {
        self.key = key
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.value = value
        self.lease = lease
    }

    /// The version encoded in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init(try KeyValueView(bytes))
    }

    /// A copy of what `view` shows.
    public init(_ view: KeyValueView) {
        self.init(
            key: [UInt8](view.key), createRevision: view.createRevision, modRevision: view.modRevision,
            version: view.version, value: [UInt8](view.value), lease: view.lease)
    }

    /// The number of bytes that ``encode(into:)`` writes.
    public var encodedSize: Int {
        WireSize.bytes(1, key.count) + WireSize.int64(2, createRevision) + WireSize.int64(3, modRevision)
            + WireSize.int64(4, version) + WireSize.bytes(5, value.count) + WireSize.int64(6, lease)
    }

    /// Appends the encoded message.
    public func encode(into writer: inout WireWriter) {
        writer.bytes(1, key)
        writer.int64(2, createRevision)
        writer.int64(3, modRevision)
        writer.int64(4, version)
        writer.bytes(5, value)
        writer.int64(6, lease)
    }
}

/// A stored `mvccpb.KeyValue` read in place: nothing is copied or allocated.
///
/// The view borrows the bytes it was made over and is valid as long as they are.
public struct KeyValueView {
    /// The whole encoded message.
    public let bytes: UnsafeRawBufferPointer
    /// The key, inside ``bytes``.
    public private(set) var key = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The revision at which the key's current life began.
    public private(set) var createRevision: Int64 = 0
    /// The revision of this version.
    public private(set) var modRevision: Int64 = 0
    /// How often the key was written since its creation; 0 in a tombstone.
    public private(set) var version: Int64 = 0
    /// The value, inside ``bytes``.
    public private(set) var value = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The lease that the key hangs on, 0 for none.
    public private(set) var lease: Int64 = 0

    /// A view of the message in `bytes`; throws when they are not one.
    public init(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.bytes = bytes
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: key = try reader.bytes(tag)
            case 2: createRevision = try reader.int64(tag)
            case 3: modRevision = try reader.int64(tag)
            case 4: version = try reader.int64(tag)
            case 5: value = try reader.bytes(tag)
            case 6: lease = try reader.int64(tag)
            default: try reader.skip(tag)
            }
        }
    }

    /// The modification revision of the stored message in `bytes`.
    public static func modRevision(in bytes: UnsafeRawBufferPointer) throws(WireError) -> Int64 {
        try KeyValueView(bytes).modRevision
    }

    /// The creation revision of the stored message in `bytes`.
    public static func createRevision(in bytes: UnsafeRawBufferPointer) throws(WireError) -> Int64 {
        try KeyValueView(bytes).createRevision
    }

    /// The version number of the stored message in `bytes`.
    public static func version(in bytes: UnsafeRawBufferPointer) throws(WireError) -> Int64 {
        try KeyValueView(bytes).version
    }

    /// The lease of the stored message in `bytes`.
    public static func lease(in bytes: UnsafeRawBufferPointer) throws(WireError) -> Int64 {
        try KeyValueView(bytes).lease
    }

    /// Where in `bytes` the key stands.
    public static func keyRange(in bytes: UnsafeRawBufferPointer) throws(WireError) -> Range<Int> {
        let view = try KeyValueView(bytes)
        return view.range(of: view.key)
    }

    /// Where in `bytes` the value stands; an empty range at 0 when it is empty.
    public static func valueRange(in bytes: UnsafeRawBufferPointer) throws(WireError) -> Range<Int> {
        let view = try KeyValueView(bytes)
        return view.range(of: view.value)
    }

    /// The number of bytes that ``encodeWithoutValue(into:)`` writes.
    public var encodedSizeWithoutValue: Int {
        WireSize.bytes(1, key.count) + WireSize.int64(2, createRevision) + WireSize.int64(3, modRevision)
            + WireSize.int64(4, version) + WireSize.int64(6, lease)
    }

    /// Appends the message without its value, as a range with `keys_only` answers it.
    public func encodeWithoutValue(into writer: inout WireWriter) {
        if !key.isEmpty { writer.alwaysBytes(1, key) }
        writer.int64(2, createRevision)
        writer.int64(3, modRevision)
        writer.int64(4, version)
        writer.int64(6, lease)
    }

    private func range(of part: UnsafeRawBufferPointer) -> Range<Int> {
        guard let start = part.baseAddress, let base = bytes.baseAddress, !part.isEmpty else { return 0..<0 }
        let offset = start - base
        return offset..<offset + part.count
    }
}
