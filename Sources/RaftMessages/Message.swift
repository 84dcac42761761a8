import WireFormat

/// The kinds of Raft messages: between members, and of a member to itself and its storage.
public enum MessageType: UInt64, Sendable, CaseIterable {
    case hup = 0
    case beat = 1
    case propose = 2
    case append = 3
    case appendResponse = 4
    case vote = 5
    case voteResponse = 6
    case snapshot = 7
    case heartbeat = 8
    case heartbeatResponse = 9
    case unreachable = 10
    case snapshotStatus = 11
    case checkQuorum = 12
    case transferLeader = 13
    case timeoutNow = 14
    case readIndex = 15
    case readIndexResponse = 16
    case preVote = 17
    case preVoteResponse = 18
    case storageAppend = 19
    case storageAppendResponse = 20
    case storageApply = 21
    case storageApplyResponse = 22
    case forgetLeader = 23
}

/// A Raft message; which fields mean something depends on its type.
public struct Message: Equatable, Sendable {
    public var type: MessageType
    public var to: UInt64
    public var from: UInt64
    public var term: UInt64
    /// The term of the entry before `entries`, or of the last entry in a request for votes.
    public var logTerm: UInt64
    public var index: UInt64
    public var entries: [Entry]
    public var commit: UInt64
    /// The vote to store, in a message to a member's own storage.
    public var vote: UInt64
    public var snapshot: Snapshot?
    public var reject: Bool
    /// How far the rejecting member's log may agree with the sender's.
    public var rejectHint: UInt64
    public var context: [UInt8]
    /// The messages that a member's storage sends on when its work is on disk.
    public var responses: [Message]

    /// A message of `type`.
    public init(
        type: MessageType, to: UInt64 = 0, from: UInt64 = 0, term: UInt64 = 0, logTerm: UInt64 = 0, index: UInt64 = 0,
        entries: [Entry] = [], commit: UInt64 = 0, vote: UInt64 = 0, snapshot: Snapshot? = nil, reject: Bool = false,
        rejectHint: UInt64 = 0, context: [UInt8] = [], responses: [Message] = []
    ) {
        self.type = type
        self.to = to
        self.from = from
        self.term = term
        self.logTerm = logTerm
        self.index = index
        self.entries = entries
        self.commit = commit
        self.vote = vote
        self.snapshot = snapshot
        self.reject = reject
        self.rejectHint = rejectHint
        self.context = context
        self.responses = responses
    }
}

extension Message: RaftMessageCoding {
    /// Responses travel only inside a member, one deep; a decoder that followed them deeper could be made to recurse
    /// without end.
    private static let deepestResponse = 1

    /// The most entries in one message. Members send 512 KiB of entries at a time, of which the smallest take six bytes;
    /// a message of empty ones would need twenty times its length in memory.
    public static let largestEntryCount = 1 << 20

    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        try self.init(decoding: bytes, depth: 0)
    }

    private init(decoding bytes: UnsafeRawBufferPointer, depth: Int) throws(WireError) {
        self.init(type: .hup)
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1:
                guard let value = MessageType(rawValue: try reader.varint(tag)) else {
                    throw WireError(.badValue(field: 1), offset: reader.offset)
                }
                type = value
            case 2: to = try reader.varint(tag)
            case 3: from = try reader.varint(tag)
            case 4: term = try reader.varint(tag)
            case 5: logTerm = try reader.varint(tag)
            case 6: index = try reader.varint(tag)
            case 7:
                guard entries.count < Message.largestEntryCount else {
                    throw WireError(.tooMany(field: 7), offset: reader.offset)
                }
                entries.append(try Entry(decoding: try reader.bytes(tag)))
            case 8: commit = try reader.varint(tag)
            case 9:
                let value = try Snapshot(decoding: try reader.bytes(tag))
                snapshot = value == Snapshot() ? nil : value
            case 10: reject = try reader.bool(tag)
            case 11: rejectHint = try reader.varint(tag)
            case 12: context = try reader.byteArray(tag)
            case 13: vote = try reader.varint(tag)
            case 14:
                guard depth < Message.deepestResponse else {
                    throw WireError(.nestedTooDeep, offset: reader.offset)
                }
                responses.append(try Message(decoding: try reader.bytes(tag), depth: depth + 1))
            default: try reader.skip(tag)
            }
        }
    }

    private var fieldsSize: Int {
        var size = 9
        for value in [type.rawValue, to, from, term, logTerm, index, commit, rejectHint] {
            size += WireSize.rawVarint(value)
        }
        return size + 1
    }

    public var encodedSize: Int {
        entries.reduce(fieldsSize) { $0 + $1.fieldSize }
            + (snapshot ?? Snapshot()).fieldSize
            + WireSize.bytes(12, context.count)
            + WireSize.varint(13, vote)
            + responses.reduce(0) { $0 + $1.fieldSize }
    }

    public func encode(into writer: inout WireWriter) {
        writer.alwaysVarint(1, type.rawValue)
        writer.alwaysVarint(2, to)
        writer.alwaysVarint(3, from)
        writer.alwaysVarint(4, term)
        writer.alwaysVarint(5, logTerm)
        writer.alwaysVarint(6, index)
        for entry in entries { entry.encode(as: 7, into: &writer) }
        writer.alwaysVarint(8, commit)
        // Members of etcd 3.4 know no absent snapshot, so an empty one stands in its place.
        (snapshot ?? Snapshot()).encode(as: 9, into: &writer)
        writer.alwaysVarint(10, reject ? 1 : 0)
        writer.alwaysVarint(11, rejectHint)
        writer.bytes(12, context)
        writer.varint(13, vote)
        for response in responses { response.encode(as: 14, into: &writer) }
    }
}
