import WireFormat

/// What a transaction did.
public struct Commit: Sendable {
    /// The store's revision after the transaction; the one before it when nothing was written.
    public var revision: Int64
    /// The changes in the order in which they were made; their sub revisions count from 0.
    public var changes: [Change]
}

/// One change of one key, with all that a watcher's event and the lease book-keeping need.
public struct Change: Sendable {
    /// Whether the key was deleted.
    public var isDelete: Bool
    /// The bytes of the key-value as an event carries it. For a put they are the stored ones; for a deletion they hold the
    /// key and the revision of the deletion.
    public var encodedKeyValue: [UInt8]
    /// When the change was made.
    public var revision: Revision
    /// The revision that created the key; 0 for a deletion.
    public var createRevision: Int64
    /// The number of changes since the creation, itself included; 0 for a deletion.
    public var version: Int64
    /// The lease that the key is attached to from now on, 0 for none.
    public var lease: Int64
    /// The lease that the key was attached to before, 0 for none.
    public var previousLease: Int64

    /// The key.
    public var key: [UInt8] { withKey { [UInt8]($0) } }

    /// Calls `body` with the key, which is not copied and valid during the call.
    public func withKey<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        encodedKeyValue.withUnsafeBytes { body(Self.key(of: $0)) }
    }

    /// The key at the front of key-value bytes that this module encoded.
    static func key(of bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var reader = WireReader(bytes)
        guard let tag = try? reader.next(), tag.field == 1, let key = try? reader.bytes(tag) else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return key
    }
}

/// A key-value that a range visits; the pointers are valid during the visit.
public struct RawKeyValue {
    /// The key.
    public let key: UnsafeRawBufferPointer
    /// The stored bytes of the key-value, as a response carries them.
    public let encoded: UnsafeRawBufferPointer
    /// The revision that created the key in its present life.
    public let createRevision: Int64
    /// The revision of the newest change at the range's revision.
    public let modRevision: Int64
    /// The number of that change within its transaction.
    public let subRevision: Int64
    /// The number of changes since the creation, itself included.
    public let version: Int64
    /// Whether the stored bytes name a lease.
    public let hasLease: Bool
}

/// A change that a history read visits; the pointers are valid during the visit.
public struct RawChange {
    /// Whether the key was deleted.
    public let isDelete: Bool
    /// When the change was made.
    public let revision: Revision
    /// The key.
    public let key: UnsafeRawBufferPointer
    /// The bytes of the key-value as an event carries it, see ``Change/encodedKeyValue``.
    public let encoded: UnsafeRawBufferPointer
}
