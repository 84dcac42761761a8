import EtcdAPI
import Lease
import WireFormat

/// The messages by which members ask each other for the time that a lease has left (`leasepb.LeaseInternalRequest` and
/// `LeaseInternalResponse`): the client's messages, in field 1.
enum LeaseInternal {
    static func request(lease: Int64, keys: Bool) -> [UInt8] {
        var inner = WireWriter()
        inner.int64(1, lease)
        inner.bool(2, keys)
        return wrapped(inner.bytes)
    }

    static func response(lease: Int64, _ found: LeaseTimeToLive) -> [UInt8] {
        var inner = WireWriter()
        // An empty header, as etcd's leader sends it: the member that was asked fills in its own.
        inner.alwaysBytes(1, [UInt8]())
        inner.int64(2, lease)
        inner.int64(3, found.remainingTTL)
        inner.int64(4, found.grantedTTL)
        for key in found.keys { inner.alwaysBytes(5, key) }
        return wrapped(inner.bytes)
    }

    /// The lease that a request is about; nil when it is none.
    static func question(in body: [UInt8]) -> (lease: Int64, keys: Bool)? {
        var lease: Int64 = 0
        var keys = false
        let isWhole = readInner(body) { (reader, tag) throws(WireError) in
            switch tag.field {
            case 1: lease = try reader.int64(tag)
            case 2: keys = try reader.bool(tag)
            default: try reader.skip(tag)
            }
        }
        return isWhole ? (lease, keys) : nil
    }

    /// What a response says of `lease`; nil when it is none, or about another.
    static func timeToLive(in body: [UInt8], of lease: Int64) -> LeaseTimeToLive? {
        var id: Int64 = 0
        var found = LeaseTimeToLive(grantedTTL: 0, remainingTTL: 0, keys: [])
        let isWhole = readInner(body) { (reader, tag) throws(WireError) in
            switch tag.field {
            case 2: id = try reader.int64(tag)
            case 3: found.remainingTTL = try reader.int64(tag)
            case 4: found.grantedTTL = try reader.int64(tag)
            case 5: found.keys.append(try reader.byteArray(tag))
            default: try reader.skip(tag)
            }
        }
        return isWhole && id == lease ? found : nil
    }

    private static func wrapped(_ message: [UInt8]) -> [UInt8] {
        var writer = WireWriter()
        writer.alwaysBytes(1, message)
        return writer.bytes
    }

    /// Reads the fields of the message in field 1; false when there is none or it is damaged.
    private static func readInner(
        _ body: [UInt8], _ field: (inout WireReader, WireTag) throws(WireError) -> Void
    ) -> Bool {
        body.withUnsafeBytes { bytes in
            do throws(WireError) {
                var outer = WireReader(bytes)
                var isFound = false
                while let tag = try outer.next() {
                    guard tag.field == 1 else {
                        try outer.skip(tag)
                        continue
                    }
                    isFound = true
                    var inner = WireReader(try outer.bytes(tag))
                    while let tag = try inner.next() { try field(&inner, tag) }
                }
                return isFound
            } catch {
                return false
            }
        }
    }
}
