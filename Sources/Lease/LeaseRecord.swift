import WireFormat

/// Where a ``Lessor`` keeps its leases: bucket `lease`, under ``LeaseRecord/key(of:)``.
///
/// The calls happen while an entry is applied and belong into the same write batch as what the entry does to the keys.
public protocol LeaseStorage: AnyObject {
    /// Stores the record of lease `id`, in place of an earlier one.
    func put(id: Int64, record: [UInt8])
    /// Removes the record of lease `id`.
    func delete(id: Int64)
}

/// What is kept of a lease on disk: etcd's message `leasepb.Lease`.
public struct LeaseRecord: Equatable, Sendable {
    /// The lease's id, never 0.
    public var id: Int64
    /// The granted TTL in seconds.
    public var ttl: Int64
    /// The TTL that was left at the last checkpoint in seconds, 0 when there was none.
    public var remainingTTL: Int64

    /// A record of these values.
    public init(id: Int64, ttl: Int64, remainingTTL: Int64 = 0) {
        self.id = id
        self.ttl = ttl
        self.remainingTTL = remainingTTL
    }

    /// The 8 bytes, big-endian, under which the record of `id` is stored.
    public static func key(of id: Int64) -> [UInt8] {
        withUnsafeBytes(of: id.bigEndian) { [UInt8]($0) }
    }

    /// The record as protobuf.
    public func encoded() -> [UInt8] {
        var writer = WireWriter(capacity: 24)
        writer.int64(1, id)
        writer.int64(2, ttl)
        writer.int64(3, remainingTTL)
        return writer.bytes
    }

    /// Reads a stored record, which may hold anything.
    public init(key: [UInt8], value: [UInt8]) throws(LeaseRecordError) {
        guard key.count == 8 else { throw LeaseRecordError(key: key, reason: .keyLength) }
        self.init(id: 0, ttl: 0)
        if let damage = value.withUnsafeBytes({ read($0) }) {
            throw LeaseRecordError(key: key, reason: .malformed(damage))
        }
        guard id != 0, key == Self.key(of: id) else { throw LeaseRecordError(key: key, reason: .identifier(id)) }
        guard ttl <= Lessor.maximumTTL else { throw LeaseRecordError(key: key, reason: .ttl(ttl)) }
        guard (0...Lessor.maximumTTL).contains(remainingTTL) else {
            throw LeaseRecordError(key: key, reason: .remainingTTL(remainingTTL))
        }
    }

    private mutating func read(_ bytes: UnsafeRawBufferPointer) -> WireError? {
        var reader = WireReader(bytes)
        do throws(WireError) {
            while let tag = try reader.next() {
                switch tag.field {
                case 1: id = try reader.int64(tag)
                case 2: ttl = try reader.int64(tag)
                case 3: remainingTTL = try reader.int64(tag)
                default: try reader.skip(tag)
                }
            }
            return nil
        } catch {
            return error
        }
    }
}

/// What is wrong with a record in bucket `lease`, and under which key it stands.
public struct LeaseRecordError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kinds of damage.
    public enum Reason: Equatable, Sendable {
        /// The key is not 8 bytes long.
        case keyLength
        /// The value is not a protobuf message.
        case malformed(WireError)
        /// The id in the value is 0 or not the one of the key.
        case identifier(Int64)
        /// The TTL is above the maximum.
        case ttl(Int64)
        /// The remaining TTL is negative or above the maximum.
        case remainingTTL(Int64)
        /// A second record for the same lease.
        case duplicate
    }

    /// The key of the record.
    public var key: [UInt8]
    /// What is wrong.
    public var reason: Reason

    /// An error of kind `reason` under `key`.
    public init(key: [UInt8], reason: Reason) {
        self.key = key
        self.reason = reason
    }

    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        let shown = key.prefix(16).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        let name = String(decoding: shown, as: UTF8.self) + (key.count > 16 ? "…" : "")
        let what: String
        switch reason {
        case .keyLength: what = "key has \(key.count) bytes instead of 8"
        case .malformed(let error): what = "\(error)"
        case .identifier(let id): what = "value names lease \(hexadecimal(id))"
        case .ttl(let ttl): what = "TTL of \(ttl) s is above the maximum"
        case .remainingTTL(let ttl): what = "remaining TTL of \(ttl) s is out of range"
        case .duplicate: what = "second record of the same lease"
        }
        return "bucket lease, key \(name): \(what)"
    }
}
