import WireFormat

/// The fields of an `etcdserverpb.WatchResponse` in front of its events.
struct ResponseHead {
    /// The id of no watcher: in refusals, and in progress reports for a whole stream.
    static let noWatcher: Int64 = -1

    var watchID: Int64
    var created = false
    var canceled = false
    var compactRevision: Int64 = 0
    var cancelReason = ""
    var fragment = false

    /// A head for the watcher of this id.
    init(watchID: Int64) {
        self.watchID = watchID
    }

    /// The head's bytes behind those of `header`, which is field 1 encoded.
    func encoded(header: [UInt8]) -> [UInt8] {
        var writer = WireWriter(capacity: header.count + 24 + cancelReason.utf8.count)
        writer.bytes += header
        writer.int64(2, watchID)
        writer.bool(3, created)
        writer.bool(4, canceled)
        writer.int64(5, compactRevision)
        writer.string(6, cancelReason)
        writer.bool(7, fragment)
        return writer.bytes
    }
}

/// Encodes the header (field 1) of responses; the encoding of the last revision is kept.
struct HeaderEncoder {
    private let clusterID: UInt64
    private let memberID: UInt64
    /// The member's Raft term.
    var raftTerm: UInt64 = 0 {
        didSet { last = nil }
    }
    private var last: (revision: Int64, bytes: [UInt8])?

    init(clusterID: UInt64, memberID: UInt64) {
        self.clusterID = clusterID
        self.memberID = memberID
    }

    mutating func header(revision: Int64) -> [UInt8] {
        if let last, last.revision == revision { return last.bytes }
        var fields = WireWriter(capacity: 40)
        fields.varint(1, clusterID)
        fields.varint(2, memberID)
        fields.int64(3, revision)
        fields.varint(4, raftTerm)
        var writer = WireWriter(capacity: fields.bytes.count + 2)
        writer.alwaysBytes(1, fields.bytes)
        last = (revision, writer.bytes)
        return writer.bytes
    }
}
