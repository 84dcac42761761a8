import WireFormat

/// What the data of a log entry is.
public enum EntryType: UInt64, Sendable {
    case normal = 0
    case configurationChange = 1
    case configurationChangeV2 = 2
}

/// One entry of the replicated log.
public struct Entry: Equatable, Sendable {
    /// The term of the leader that made the entry.
    public var term: UInt64
    /// The entry's place in the log, counted from 1.
    public var index: UInt64
    /// What `data` is.
    public var type: EntryType
    /// The proposal's bytes; empty for the entry with which a leader opens its term.
    public var data: [UInt8]

    /// An entry at `index` of `term`.
    public init(term: UInt64 = 0, index: UInt64 = 0, type: EntryType = .normal, data: [UInt8] = []) {
        self.term = term
        self.index = index
        self.type = type
        self.data = data
    }
}

/// What a member must have on disk before it speaks: the term, the vote it gave in it, and how far it knows the log to
/// be committed.
public struct HardState: Equatable, Sendable {
    public var term: UInt64
    /// The member voted for in `term`, or 0.
    public var vote: UInt64
    public var commit: UInt64

    /// A state of all zeros is that of a member which never ran.
    public init(term: UInt64 = 0, vote: UInt64 = 0, commit: UInt64 = 0) {
        self.term = term
        self.vote = vote
        self.commit = commit
    }

    /// Whether nothing is set.
    public var isEmpty: Bool { self == HardState() }
}

/// Bytes of the Raft messages of etcd (package `raftpb`, which is proto2: set fields are written even when zero).
public protocol RaftMessageCoding {
    /// Decodes the whole of `bytes`.
    init(decoding bytes: UnsafeRawBufferPointer) throws(WireError)
    /// The number of bytes that ``encode(into:)`` appends.
    var encodedSize: Int { get }
    /// Appends the message.
    func encode(into writer: inout WireWriter)
}

extension RaftMessageCoding {
    /// Decodes the whole of `bytes`.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        self = try bytes.span.withUnsafeBytes { (pointer) throws(WireError) in try Self(decoding: pointer) }
    }

    /// The message as bytes.
    public func encoded() -> [UInt8] {
        var writer = WireWriter(capacity: encodedSize)
        encode(into: &writer)
        return writer.bytes
    }

    /// Appends the message as field `field` of an outer one.
    func encode(as field: Int, into writer: inout WireWriter) {
        writer.delimiter(field, length: encodedSize)
        encode(into: &writer)
    }

    var fieldSize: Int { WireSize.alwaysBytes(1, encodedSize) }
}

extension Entry: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1:
                guard let value = EntryType(rawValue: try reader.varint(tag)) else {
                    throw WireError(.badValue(field: 1), offset: reader.offset)
                }
                type = value
            case 2: term = try reader.varint(tag)
            case 3: index = try reader.varint(tag)
            case 4: data = try reader.byteArray(tag)
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int {
        3 + WireSize.rawVarint(type.rawValue) + WireSize.rawVarint(term) + WireSize.rawVarint(index)
            + WireSize.bytes(4, data.count)
    }

    public func encode(into writer: inout WireWriter) {
        writer.alwaysVarint(1, type.rawValue)
        writer.alwaysVarint(2, term)
        writer.alwaysVarint(3, index)
        writer.bytes(4, data)
    }
}

extension HardState: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: term = try reader.varint(tag)
            case 2: vote = try reader.varint(tag)
            case 3: commit = try reader.varint(tag)
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int {
        3 + WireSize.rawVarint(term) + WireSize.rawVarint(vote) + WireSize.rawVarint(commit)
    }

    public func encode(into writer: inout WireWriter) {
        writer.alwaysVarint(1, term)
        writer.alwaysVarint(2, vote)
        writer.alwaysVarint(3, commit)
    }
}
