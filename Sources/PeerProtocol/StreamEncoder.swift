import RaftMessages

extension Message {
    /// What goes over an idle stream so that its ends know of each other. No message of Raft is without sender and
    /// receiver.
    public static var linkHeartbeat: Message { Message(type: .heartbeat) }

    /// Whether this is a ``linkHeartbeat``.
    public var isLinkHeartbeat: Bool { type == .heartbeat && from == 0 && to == 0 }
}

/// Makes the frames of one stream.
///
/// A stream of appends keeps in mind where its last message ended, so every message must go out in the order in which it
/// was encoded; one that is dropped must not be encoded.
public struct StreamEncoder: Sendable {
    /// Which stream this is.
    public let kind: StreamKind
    /// The term of the last whole message, and the index that the next append goes on from.
    private var term: UInt64 = 0
    private var index: UInt64 = 0

    /// The encoder of a stream that has just begun.
    public init(_ kind: StreamKind) {
        self.kind = kind
    }

    /// Whether the receiver knows all of `message` but its entries and its commit index.
    private func goesOn(_ message: Message) -> Bool {
        index == message.index && term == message.logTerm && message.logTerm == message.term
    }

    /// The bytes that ``encode(_:into:)`` writes for `message` if it is the next.
    public func size(of message: Message) -> Int {
        if kind == .messages { return 8 + message.encodedSize }
        if message.isLinkHeartbeat { return 1 }
        if goesOn(message) { return message.entries.reduce(1 + 8 + 8) { $0 + 8 + $1.encodedSize } }
        return 1 + 8 + message.encodedSize
    }

    /// Writes `message` to the start of `memory`, which has room for ``size(of:)`` bytes.
    public mutating func encode(_ message: Message, into memory: UnsafeMutableRawBufferPointer) {
        var writer = FrameWriter(memory)
        if kind == .messages {
            Self.whole(message, into: &writer)
        } else if message.isLinkHeartbeat {
            writer.byte(AppendFrame.linkHeartbeat)
        } else if goesOn(message) {
            writer.byte(AppendFrame.entries)
            writer.bigEndian(UInt64(message.entries.count))
            for entry in message.entries { writer.entry(entry) }
            writer.bigEndian(message.commit)
            index += UInt64(message.entries.count)
        } else {
            writer.byte(AppendFrame.message)
            Self.whole(message, into: &writer)
            term = message.term
            index = message.entries.last?.index ?? message.index
        }
    }

    private static func whole(_ message: Message, into writer: inout FrameWriter) {
        let bytes = message.encoded()
        writer.bigEndian(UInt64(bytes.count))
        writer.bytes(bytes)
    }

    /// `message` as a frame of its own.
    public mutating func encoded(_ message: Message) -> [UInt8] {
        let size = size(of: message)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            encode(message, into: UnsafeMutableRawBufferPointer(buffer))
            count = size
        }
    }
}
