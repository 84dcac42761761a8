import WireFormat

/// What is wrong with bytes that a peer sent.
public enum PeerProtocolError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A length that is above the limit.
    case tooLong(UInt64)
    /// More entries than the limit.
    case tooManyEntries(UInt64)
    /// A frame of a stream of appends that is of no known type.
    case unknownFrame(UInt8)
    /// Entries on a stream of appends that has had no whole message to go on from.
    case entriesWithoutMessage
    /// Entry `found` where the stream's next is `expected`.
    case entryOutOfOrder(expected: UInt64, found: UInt64)
    /// Bytes that are no Raft message.
    case message(WireError)
    /// Bytes that are no entry.
    case entry(WireError)
    /// The bytes end within a message.
    case truncated

    public var description: String {
        switch self {
        case .tooLong(let length): "a message of \(length) bytes is longer than a peer may send"
        case .tooManyEntries(let count): "\(count) entries are more than one message may have"
        case .unknownFrame(let type): "unknown frame type \(type) on a stream of appends"
        case .entriesWithoutMessage: "entries before the stream's first whole message"
        case .entryOutOfOrder(let expected, let found): "entry \(found) where entry \(expected) should follow"
        case .message(let error): "damaged Raft message: \(error)"
        case .entry(let error): "damaged entry: \(error)"
        case .truncated: "the bytes end within a message"
        }
    }
}
