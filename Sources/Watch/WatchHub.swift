/// Tells watchers of changes: matches each committed batch against all watchers, and catches up those that lag from
/// the store's history.
///
/// A watcher is *synced* when it was given everything through ``currentRevision``, otherwise it lags: because it
/// started in the past, because its stream took no more bytes when an event came up (it is then *set aside* and costs
/// nothing but its row), or because batches were dropped. A lagging watcher holds no events, only the revision that it
/// needs next. Scans over the history, each shared by many watchers, bring the lagging ones back
/// (see ``catchUpStep(history:byteBudget:)``).
///
/// The hub has one owner, no locks and no clock. What it says comes out of ``drainOutput()``, in order per stream.
public final class WatchHub {
    /// The watch id of responses that belong to no single watcher.
    public static let invalidWatchID = ResponseHead.noWatcher

    let options: WatchOptions
    var headers: HeaderEncoder
    var table = WatcherTable()
    var streams: [WatchStream] = []
    var freeStreams: [Int32] = []
    var streamSlots: [WatchStreamID: Int32] = [:]
    /// The synced watchers' index, those of the scans, and spare ones.
    var indexes: [WatcherIndex]
    var freeIndexes: [Int]
    var syncedIndex = 0
    var scans: [HistoryScan] = []
    /// The scan whose turn it is.
    var nextScan = 0
    /// Watchers for which no scan was free.
    var waiting = WatcherList()
    var batch = EventBatch()
    var output: [WatchDelivery] = []
    var chains: [Int32] = []

    /// The revision through which synced watchers have been told of everything.
    public internal(set) var currentRevision: Int64
    /// The number of watchers that lag.
    public internal(set) var slowWatcherCount = 0
    /// The number of events delivered so far.
    public internal(set) var eventsSent: UInt64 = 0

    /// A hub without streams, for a store at `currentRevision`.
    public init(options: WatchOptions, currentRevision: Int64) {
        self.options = options
        self.currentRevision = currentRevision
        headers = HeaderEncoder(clusterID: options.clusterID, memberID: options.memberID)
        // One for the synced watchers, one per scan, and one that a gap can always take.
        let count = min(max(1, options.maximumScans), 200) + 2
        indexes = Array(repeating: WatcherIndex(), count: count)
        freeIndexes = Array((1..<count).reversed())
    }

    /// The number of open streams.
    public var streamCount: Int { streamSlots.count }

    /// The number of watchers.
    public var watcherCount: Int { table.count }

    /// Sets the Raft term that later responses carry.
    public func setTerm(_ raftTerm: UInt64) {
        headers.raftTerm = raftTerm
    }

    /// Takes what is to be sent, in order per stream.
    public func drainOutput() -> [WatchDelivery] {
        defer { output = [] }
        return output
    }

    /// Tells synced watchers of the changes of the next revisions.
    ///
    /// - Parameters:
    ///   - revision: The last revision of the batch.
    ///   - changes: The changes of all revisions behind ``currentRevision`` through `revision`, in order. Those of
    ///     revisions that the hub has already seen are passed over.
    ///   - history: The store at `revision` or later, for the values that were replaced.
    ///
    /// A batch that does not join on to the last one is taken for the end of a gap.
    public func commit(revision: Int64, changes: [WatchChange], history: any WatchHistory) {
        guard revision > currentRevision else { return }
        let start = changes.firstIndex { $0.revision > currentRevision } ?? changes.endIndex
        guard joinsOn(changes[start...], through: revision) else {
            gap(currentRevision: revision, history: history)
            return
        }
        var last = currentRevision
        for change in changes[start...] {
            if change.revision != last, batch.byteCount > options.responseByteLimit {
                flush(revision: last, history: history)
            }
            last = change.revision
            match(change, index: syncedIndex)
        }
        currentRevision = revision
        flush(revision: revision, history: history)
    }

    /// Notes that batches through `currentRevision` were dropped, or that the store was replaced: every synced watcher
    /// reads what it missed from history.
    public func gap(currentRevision revision: Int64, history: any WatchHistory) {
        guard revision > currentRevision else { return }
        let missed = currentRevision + 1
        currentRevision = revision
        guard indexes[syncedIndex].members.count > 0 else { return }
        becomeLagging(indexes[syncedIndex].members)
        if let spare = freeIndexes.popLast() {
            scans.append(HistoryScan(index: syncedIndex, cursor: missed))
            syncedIndex = spare
        } else if let scan = latestScan(atOrBefore: missed) {
            move(all: syncedIndex, to: scans[scan].index, neededAtLeast: missed)
        }
    }

    /// Whether `changes` are those of every revision behind the current one through `revision`.
    private func joinsOn(_ changes: ArraySlice<WatchChange>, through revision: Int64) -> Bool {
        var last = currentRevision
        for change in changes {
            guard change.revision == last || change.revision == last + 1 else { return false }
            last = change.revision
        }
        return last == revision
    }

    /// Adds `change` to the batch for every watcher of an index that it concerns.
    func match(_ change: WatchChange, index: Int) {
        chains.removeAll(keepingCapacity: true)
        indexes[index].appendChains(of: change.key, to: &chains)
        guard !chains.isEmpty else { return }
        let unwanted: Watcher.Traits = change.isDelete ? .excludesDeletes : .excludesPuts
        var event: Int32 = -1
        for chain in chains {
            var slot = chain
            while slot >= 0 {
                let next = table[slot].nextSame
                if table[slot].needed <= change.revision, !table[slot].traits.contains(unwanted) {
                    if streams[Int(table[slot].stream)].isBlocked {
                        setAside(slot, needed: change.revision)
                    } else {
                        if event < 0 { event = batch.append(change) }
                        batch.add(event, to: slot, in: &table)
                    }
                }
                slot = next
            }
        }
    }

    /// Delivers the batch. A watcher whose stream is full by the time of its turn is set aside instead.
    func flush(revision: Int64, history: any WatchHistory) {
        guard !batch.touched.isEmpty else { return }
        let header = headers.header(revision: revision)
        var lastHead: (watchID: Int64, bytes: [UInt8]) = (0, ResponseHead(watchID: 0).encoded(header: header))
        for slot in batch.touched {
            let stream = table[slot].stream
            if streams[Int(stream)].isBlocked {
                setAside(slot, needed: batch.firstRevision(of: slot, in: table))
                continue
            }
            let watchID = table[slot].watchID
            if watchID != lastHead.watchID {
                lastHead = (watchID, ResponseHead(watchID: watchID).encoded(header: header))
            }
            table[slot].traits.insert(.busy)
            let (bytes, eventCount) = batch.body(of: slot, in: table, history: history)
            eventsSent += UInt64(eventCount)
            if table[slot].traits.contains(.fragments), eventCount > 1,
                lastHead.bytes.count + bytes.count >= options.fragmentBytes
            {
                deliverFragments(slot, lastHead: lastHead.bytes, header: header, history: history)
            } else {
                queue(stream, watchID, head: lastHead.bytes, body: bytes, eventCount: eventCount)
            }
        }
        batch.removeAll(in: &table)
    }

    /// Delivers a watcher's events in pieces below the limit; all but the last are marked as fragments.
    private func deliverFragments(_ slot: Int32, lastHead: [UInt8], header: [UInt8], history: any WatchHistory) {
        let stream = table[slot].stream
        var head = ResponseHead(watchID: table[slot].watchID)
        head.fragment = true
        let fragmentHead = head.encoded(header: header)
        let limit = options.fragmentBytes - fragmentHead.count
        let pieces = batch.fragments(of: slot, in: table, limit: limit, history: history)
        for (position, piece) in pieces.enumerated() {
            let isLast = position == pieces.count - 1
            queue(
                stream, head.watchID, head: isLast ? lastHead : fragmentHead, body: piece.bytes,
                eventCount: piece.eventCount)
        }
    }

    /// Puts a response into the output and counts it against its stream's limit.
    func queue(_ stream: Int32, _ watchID: Int64, head: [UInt8], body: [UInt8] = [], eventCount: Int = 0) {
        guard let id = streams[Int(stream)].id else { return }
        let delivery = WatchDelivery(stream: id, watchID: watchID, eventCount: eventCount, head: head, body: body)
        output.append(delivery)
        streams[Int(stream)].pendingBytes += delivery.byteCount
        if streams[Int(stream)].pendingBytes > options.streamByteLimit { streams[Int(stream)].isBlocked = true }
    }
}
