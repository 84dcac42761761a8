import RaftMessages
import WireFormat

/// Takes the frames of one stream apart, however the bytes arrive.
///
/// Memory follows what has arrived, not what a length announces. After an error the stream is of no use any more.
public struct StreamDecoder: Sendable {
    /// What the next bytes are.
    private enum Part {
        case frameType
        case messageLength
        case message(Int)
        case entryCount
        case entryLength
        case entry(Int)
        case commit

        /// How many bytes the part takes.
        var length: Int {
            switch self {
            case .frameType: 1
            case .messageLength, .entryCount, .entryLength, .commit: 8
            case .message(let length), .entry(let length): length
            }
        }
    }

    /// Above this, the buffer of a long message is given back once the message is decoded.
    private static let keptCapacity = 1 << 20

    /// Which stream this is.
    public let kind: StreamKind
    private let from: UInt64
    private let to: UInt64
    private var next: Part
    /// The start of a part whose end has not arrived.
    private var pending: [UInt8] = []
    /// The term of the last whole append, and the index that the next one goes on from.
    private var term: UInt64 = 0
    private var index: UInt64 = 0
    /// The append whose entries are arriving.
    private var append = Message(type: .append)
    private var entriesLeft = 0
    private var entryBytes = 0

    /// The decoder of a stream that begins, from the member `from` to the member `to`.
    public init(_ kind: StreamKind, from: UInt64, to: UInt64) {
        self.kind = kind
        self.from = from
        self.to = to
        next = Self.start(of: kind)
    }

    private static func start(of kind: StreamKind) -> Part {
        kind == .appends ? .frameType : .messageLength
    }

    /// Takes the next `bytes` of the stream and appends the messages that they complete to `messages`. Heartbeats of the
    /// link are left out.
    public mutating func feed(
        _ bytes: UnsafeRawBufferPointer, into messages: inout [Message]
    ) throws(PeerProtocolError) {
        if pending.isEmpty {
            let taken = try take(bytes, into: &messages)
            if taken < bytes.count { pending.append(contentsOf: bytes[taken...]) }
            return
        }
        pending.append(contentsOf: bytes)
        guard pending.count >= next.length else { return }
        var whole: [UInt8] = []
        swap(&whole, &pending)
        let taken = try whole.span.withUnsafeBytes { (pointer) throws(PeerProtocolError) in
            try take(pointer, into: &messages)
        }
        if taken == whole.count && whole.capacity > Self.keptCapacity { return }
        whole.removeFirst(taken)
        swap(&whole, &pending)
    }

    /// Whether the stream is between two frames.
    public var isBetweenFrames: Bool {
        guard pending.isEmpty else { return false }
        switch next {
        case .frameType: return true
        case .messageLength: return kind == .messages
        default: return false
        }
    }

    /// Decodes the parts that are whole, and returns how many bytes they took.
    private mutating func take(
        _ bytes: UnsafeRawBufferPointer, into messages: inout [Message]
    ) throws(PeerProtocolError) -> Int {
        var position = 0
        while bytes.count - position >= next.length {
            let part = UnsafeRawBufferPointer(rebasing: bytes[position..<position + next.length])
            position += part.count
            if let message = try step(part), !message.isLinkHeartbeat { messages.append(message) }
        }
        return position
    }

    /// Takes one part; returns the message that it completes.
    private mutating func step(_ part: UnsafeRawBufferPointer) throws(PeerProtocolError) -> Message? {
        switch next {
        case .frameType:
            switch part[0] {
            case AppendFrame.linkHeartbeat: break
            case AppendFrame.entries: next = .entryCount
            case AppendFrame.message: next = .messageLength
            default: throw .unknownFrame(part[0])
            }
        case .messageLength: next = .message(try Self.length(part, limit: PeerLimit.message))
        case .message:
            next = Self.start(of: kind)
            return try whole(part)
        case .entryCount: try beginEntries(Self.number(part))
        case .entryLength:
            let length = try Self.length(part, limit: PeerLimit.message - entryBytes)
            entryBytes += length
            next = .entry(length)
        case .entry: try takeEntry(part)
        case .commit:
            append.commit = Self.number(part)
            index += UInt64(append.entries.count)
            next = Self.start(of: kind)
            defer { append.entries = [] }
            return append
        }
        return nil
    }

    private mutating func whole(_ part: UnsafeRawBufferPointer) throws(PeerProtocolError) -> Message {
        let message: Message
        do { message = try Message(decoding: part) } catch { throw .message(error) }
        if kind == .appends {
            term = message.term
            index = message.entries.last?.index ?? message.index
        }
        return message
    }

    private mutating func beginEntries(_ count: UInt64) throws(PeerProtocolError) {
        guard count <= UInt64(PeerLimit.entries) else { throw .tooManyEntries(count) }
        guard term > 0, index <= .max - count else { throw .entriesWithoutMessage }
        append = Message(type: .append, to: to, from: from, term: term, logTerm: term, index: index)
        entriesLeft = Int(count)
        entryBytes = 0
        next = count > 0 ? .entryLength : .commit
    }

    private mutating func takeEntry(_ part: UnsafeRawBufferPointer) throws(PeerProtocolError) {
        let entry: Entry
        do { entry = try Entry(decoding: part) } catch { throw .entry(error) }
        let expected = index + UInt64(append.entries.count) + 1
        guard entry.index == expected else { throw .entryOutOfOrder(expected: expected, found: entry.index) }
        append.entries.append(entry)
        entriesLeft -= 1
        next = entriesLeft > 0 ? .entryLength : .commit
    }

    private static func length(_ part: UnsafeRawBufferPointer, limit: Int) throws(PeerProtocolError) -> Int {
        let value = number(part)
        guard value <= UInt64(limit) else { throw .tooLong(value) }
        return Int(value)
    }

    private static func number(_ part: UnsafeRawBufferPointer) -> UInt64 {
        UInt64(bigEndian: part.loadUnaligned(as: UInt64.self))
    }
}
