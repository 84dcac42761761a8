/// A client's request to watch a key or a range, with the fields of `etcdserverpb.WatchCreateRequest`.
public struct WatchCreate: Sendable {
    /// The id that the client chose, 0 to have one chosen.
    public var watchID: Int64 = 0
    /// The key or the start of the range; empty stands for the first key that can be.
    public var key: [UInt8]
    /// As on the wire: empty for the key alone, a single zero byte for everything from the key on, else the first key
    /// behind the range.
    public var rangeEnd: [UInt8] = []
    /// The first revision to be told of, 0 for the next one. It may lie ahead.
    public var startRevision: Int64 = 0
    /// Whether an idle watcher is told the current revision now and then.
    public var progressNotify = false
    /// Filter NOPUT.
    public var excludesPuts = false
    /// Filter NODELETE.
    public var excludesDeletes = false
    /// Whether events carry the key-value pair from before them.
    public var previousKeyValue = false
    /// Whether large responses are split.
    public var fragments = false

    /// A request to watch `key` from now on.
    public init(key: [UInt8], rangeEnd: [UInt8] = []) {
        self.key = key
        self.rangeEnd = rangeEnd
    }
}

/// The keys that a watcher watches.
enum WatchedKeys {
    case key([UInt8])
    /// From `start` up to but not including `end`, without end when that is nil.
    case range(start: [UInt8], end: [UInt8]?)

    /// The keys that a request names, nil when its range is empty.
    init?(_ request: WatchCreate) {
        let start = request.key.isEmpty ? [0] : request.key
        if request.rangeEnd.isEmpty {
            self = .key(start)
        } else if request.rangeEnd == [0] {
            self = .range(start: start, end: nil)
        } else if compareBytes(start, request.rangeEnd) < 0 {
            self = .range(start: start, end: request.rangeEnd)
        } else {
            return nil
        }
    }
}
