/// One change of one key, as the applier posts it.
public struct WatchChange: Sendable {
    /// Whether the key was deleted.
    public var isDelete: Bool
    /// Whether the change made the key exist (its create revision is this revision).
    public var isCreate: Bool
    /// The key.
    public var key: [UInt8]
    /// The stored `mvccpb.KeyValue`; for a delete one with the key and the mod revision only.
    public var encodedKeyValue: [UInt8]
    /// The revision of the transaction that made the change.
    public var revision: Int64
    /// The change's place in its transaction, from 0.
    public var sub: Int64

    /// A change with these values.
    public init(
        isDelete: Bool, isCreate: Bool, key: [UInt8], encodedKeyValue: [UInt8], revision: Int64, sub: Int64
    ) {
        self.isDelete = isDelete
        self.isCreate = isCreate
        self.key = key
        self.encodedKeyValue = encodedKeyValue
        self.revision = revision
        self.sub = sub
    }
}
