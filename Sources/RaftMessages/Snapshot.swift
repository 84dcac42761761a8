import WireFormat

/// The members that vote and those that only learn, during a joint change in both their sets.
public struct ConfState: Equatable, Sendable {
    public var voters: [UInt64]
    public var learners: [UInt64]
    /// The voters of the configuration that is being left; empty outside a joint change.
    public var votersOutgoing: [UInt64]
    /// Members that become learners when the joint change ends.
    public var learnersNext: [UInt64]
    /// Whether the leader ends the joint change by itself.
    public var autoLeave: Bool

    /// A configuration of `voters` and `learners`.
    public init(
        voters: [UInt64] = [], learners: [UInt64] = [], votersOutgoing: [UInt64] = [], learnersNext: [UInt64] = [],
        autoLeave: Bool = false
    ) {
        self.voters = voters
        self.learners = learners
        self.votersOutgoing = votersOutgoing
        self.learnersNext = learnersNext
        self.autoLeave = autoLeave
    }
}

/// Where in the log a snapshot stands, and the configuration there.
public struct SnapshotMetadata: Equatable, Sendable {
    public var confState: ConfState
    public var index: UInt64
    public var term: UInt64

    /// The place `index` of `term`.
    public init(confState: ConfState = ConfState(), index: UInt64 = 0, term: UInt64 = 0) {
        self.confState = confState
        self.index = index
        self.term = term
    }
}

/// The state machine's state at a place in the log.
public struct Snapshot: Equatable, Sendable {
    /// The state machine's own bytes.
    public var data: [UInt8]
    public var metadata: SnapshotMetadata

    /// A snapshot of `data` at `metadata`.
    public init(data: [UInt8] = [], metadata: SnapshotMetadata = SnapshotMetadata()) {
        self.data = data
        self.metadata = metadata
    }

    /// Whether this is no snapshot at all.
    public var isEmpty: Bool { metadata.index == 0 }
}

extension ConfState: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: try reader.appendVarints(tag, to: &voters)
            case 2: try reader.appendVarints(tag, to: &learners)
            case 3: try reader.appendVarints(tag, to: &votersOutgoing)
            case 4: try reader.appendVarints(tag, to: &learnersNext)
            case 5: autoLeave = try reader.bool(tag)
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int {
        var size = 2
        for list in [voters, learners, votersOutgoing, learnersNext] {
            for id in list { size += 1 + WireSize.rawVarint(id) }
        }
        return size
    }

    public func encode(into writer: inout WireWriter) {
        for (field, list) in [(1, voters), (2, learners), (3, votersOutgoing), (4, learnersNext)] {
            for id in list { writer.alwaysVarint(field, id) }
        }
        writer.alwaysVarint(5, autoLeave ? 1 : 0)
    }
}

extension SnapshotMetadata: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: confState = try ConfState(decoding: try reader.bytes(tag))
            case 2: index = try reader.varint(tag)
            case 3: term = try reader.varint(tag)
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int {
        confState.fieldSize + 2 + WireSize.rawVarint(index) + WireSize.rawVarint(term)
    }

    public func encode(into writer: inout WireWriter) {
        confState.encode(as: 1, into: &writer)
        writer.alwaysVarint(2, index)
        writer.alwaysVarint(3, term)
    }
}

extension Snapshot: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: data = try reader.byteArray(tag)
            case 2: metadata = try SnapshotMetadata(decoding: try reader.bytes(tag))
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int { WireSize.bytes(1, data.count) + metadata.fieldSize }

    public func encode(into writer: inout WireWriter) {
        writer.bytes(1, data)
        metadata.encode(as: 2, into: &writer)
    }
}
