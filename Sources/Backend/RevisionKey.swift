/// A key of the `key` bucket: the revision of one change.
///
/// Its bytes are the main revision (8, big-endian), `_`, the sub revision (8, big-endian) and, for the deletion of a key, a
/// trailing `t`. Byte order is revision order.
public struct RevisionKey: Hashable, Comparable, Sendable {
    /// The revision of the transaction.
    public var main: Int64
    /// The number of the change within its transaction, from 0.
    public var sub: Int64
    /// Whether the change deleted the key.
    public var isTombstone: Bool

    /// The length of a revision's bytes without the tombstone mark.
    public static let length = 17
    static let separator = UInt8(ascii: "_")
    static let tombstoneMark = UInt8(ascii: "t")

    /// The key of a change.
    public init(main: Int64, sub: Int64, isTombstone: Bool = false) {
        self.main = main
        self.sub = sub
        self.isTombstone = isTombstone
    }

    /// Reads a key from its bytes; nil when they are not a revision.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.length || bytes.count == Self.length + 1, bytes[8] == Self.separator else {
            return nil
        }
        isTombstone = bytes.count > Self.length
        if isTombstone, bytes[Self.length] != Self.tombstoneMark { return nil }
        main = Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: Int64.self))
        sub = Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: 9, as: Int64.self))
        guard main >= 0, sub >= 0 else { return nil }
    }

    /// The key's bytes, 17 or 18.
    public var bytes: [UInt8] {
        let count = isTombstone ? Self.length + 1 : Self.length
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            write(into: UnsafeMutableRawBufferPointer(buffer))
            initialized = count
        }
    }

    /// Calls `body` with the key's bytes, which are valid during the call, without allocating.
    @inlinable
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // 24 bytes on the stack hold the longest key.
        var storage: (UInt64, UInt64, UInt64) = (0, 0, 0)
        return try withUnsafeMutableBytes(of: &storage) { (buffer) throws(Failure) in
            write(into: buffer)
            return try body(UnsafeRawBufferPointer(start: buffer.baseAddress, count: isTombstone ? 18 : 17))
        }
    }

    @usableFromInline
    func write(into buffer: UnsafeMutableRawBufferPointer) {
        buffer.storeBytes(of: main.bigEndian, toByteOffset: 0, as: Int64.self)
        buffer[8] = Self.separator
        buffer.storeBytes(of: sub.bigEndian, toByteOffset: 9, as: Int64.self)
        if isTombstone { buffer[Self.length] = Self.tombstoneMark }
    }

    public static func < (left: RevisionKey, right: RevisionKey) -> Bool {
        if left.main != right.main { return left.main < right.main }
        if left.sub != right.sub { return left.sub < right.sub }
        return !left.isTombstone && right.isTombstone
    }
}
