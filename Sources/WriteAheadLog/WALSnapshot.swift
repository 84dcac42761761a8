import RaftMessages
import WireFormat

/// The log's record of a snapshot: from here on the entries matter (`walpb.Snapshot`).
public struct WALSnapshot: Equatable, Sendable {
    /// The index of the last entry that the snapshot covers.
    public var index: UInt64
    /// The term of that entry.
    public var term: UInt64
    /// The configuration at that entry; etcd before 3.5 writes none.
    public var confState: ConfState?

    /// The record of a snapshot at `index` of `term`. Without arguments, the start of the log.
    public init(index: UInt64 = 0, term: UInt64 = 0, confState: ConfState? = nil) {
        self.index = index
        self.term = term
        self.confState = confState
    }
}

extension WALSnapshot: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: index = try reader.varint(tag)
            case 2: term = try reader.varint(tag)
            case 3: confState = try ConfState(decoding: try reader.bytes(tag))
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int {
        2 + WireSize.rawVarint(index) + WireSize.rawVarint(term)
            + (confState.map { WireSize.alwaysBytes(3, $0.encodedSize) } ?? 0)
    }

    public func encode(into writer: inout WireWriter) {
        writer.alwaysVarint(1, index)
        writer.alwaysVarint(2, term)
        if let confState {
            writer.delimiter(3, length: confState.encodedSize)
            confState.encode(into: &writer)
        }
    }
}
