import RaftMessages
import WireFormat

/// The body of a posted snapshot: the message as on a stream of messages, and after it the database.
public enum SnapshotBody {
    /// What comes before the database.
    public static func preamble(_ message: Message) -> [UInt8] {
        var encoder = StreamEncoder(.messages)
        return encoder.encoded(message)
    }
}

/// Finds the message at the start of a posted snapshot.
public struct SnapshotPreamble: Sendable {
    private var pending: [UInt8] = []

    /// A body of which nothing has arrived.
    public init() {}

    /// Takes the next `bytes`. Returns the message once it is whole, with the number of bytes at the end of all so far
    /// that belong to the database already; after that no more bytes may be given.
    public mutating func feed(
        _ bytes: UnsafeRawBufferPointer
    ) throws(PeerProtocolError) -> (message: Message, rest: Int)? {
        pending.append(contentsOf: bytes)
        guard pending.count >= 8 else { return nil }
        let length = pending[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= UInt64(PeerLimit.message) else { throw .tooLong(length) }
        let end = 8 + Int(length)
        guard pending.count >= end else { return nil }
        let message: Message
        do throws(WireError) {
            message = try pending.span.withUnsafeBytes { (all) throws(WireError) in
                try Message(decoding: UnsafeRawBufferPointer(rebasing: all[8..<end]))
            }
        } catch { throw .message(error) }
        defer { pending = [] }
        return (message, pending.count - end)
    }
}
