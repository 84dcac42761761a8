import WireFormat

/// The events that go out together, each encoded once, and for each watcher which of them it gets.
struct EventBatch {
    /// An event of the batch and its encodings, each made when the first watcher wants it.
    private struct Event {
        var change: WatchChange
        var plain: [UInt8]?
        var withPrevious: [UInt8]?
    }

    /// A link of the list of one watcher's events.
    private struct Cell {
        var event: Int32
        var next: Int32
    }

    private var events: [Event] = []
    private var cells: ContiguousArray<Cell> = []
    /// The watchers with events in the batch, in the order in which they got their first.
    private(set) var touched: [Int32] = []
    /// The bytes of key-value pairs in the batch.
    private(set) var byteCount = 0
    /// The last body put together from several events, which the next watcher often wants again.
    private var lastBody: (events: [Int32], withPrevious: Bool, bytes: [UInt8])?
    private var scratch: [Int32] = []

    /// Adds an event to the batch and returns its number.
    mutating func append(_ change: WatchChange) -> Int32 {
        events.append(Event(change: change))
        byteCount += change.encodedKeyValue.count
        return Int32(events.count - 1)
    }

    /// Adds `event` to what the watcher in `slot` gets.
    mutating func add(_ event: Int32, to slot: Int32, in table: inout WatcherTable) {
        let cell = Int32(cells.count)
        cells.append(Cell(event: event, next: -1))
        let last = table[slot].lastCell
        if last >= 0 {
            cells[Int(last)].next = cell
        } else {
            table[slot].firstCell = cell
            touched.append(slot)
        }
        table[slot].lastCell = cell
    }

    /// The revision of the first event of a watcher that has one.
    func firstRevision(of slot: Int32, in table: WatcherTable) -> Int64 {
        events[Int(cells[Int(table[slot].firstCell)].event)].change.revision
    }

    /// The events of a watcher that has some, as fields of a `WatchResponse`; the same array for each watcher of the
    /// same events.
    mutating func body(
        of slot: Int32, in table: WatcherTable, history: any WatchHistory
    ) -> (bytes: [UInt8], eventCount: Int) {
        let withPrevious = table[slot].traits.contains(.previousKeyValue)
        let first = cells[Int(table[slot].firstCell)]
        if first.next < 0 {
            return (encoded(first.event, withPrevious: withPrevious, history: history), 1)
        }
        collectEvents(of: slot, in: table)
        if let lastBody, lastBody.withPrevious == withPrevious, lastBody.events == scratch {
            return (lastBody.bytes, scratch.count)
        }
        var bytes: [UInt8] = []
        for event in scratch { bytes += encoded(event, withPrevious: withPrevious, history: history) }
        lastBody = (scratch, withPrevious, bytes)
        return (bytes, scratch.count)
    }

    /// The watcher's events split between events so that each piece is below `limit`, unless a single event is not.
    mutating func fragments(
        of slot: Int32, in table: WatcherTable, limit: Int, history: any WatchHistory
    ) -> [(bytes: [UInt8], eventCount: Int)] {
        let withPrevious = table[slot].traits.contains(.previousKeyValue)
        collectEvents(of: slot, in: table)
        var pieces: [(bytes: [UInt8], eventCount: Int)] = []
        var piece: [UInt8] = []
        var count = 0
        for event in scratch {
            let bytes = encoded(event, withPrevious: withPrevious, history: history)
            if count > 0, piece.count + bytes.count >= limit {
                pieces.append((piece, count))
                piece = []
                count = 0
            }
            piece += bytes
            count += 1
        }
        pieces.append((piece, count))
        return pieces
    }

    /// Empties the batch and lets go of what it matched.
    mutating func removeAll(in table: inout WatcherTable) {
        for slot in touched {
            table[slot].firstCell = -1
            table[slot].lastCell = -1
        }
        touched.removeAll(keepingCapacity: true)
        events.removeAll(keepingCapacity: true)
        cells.removeAll(keepingCapacity: true)
        byteCount = 0
        lastBody = nil
    }

    private mutating func collectEvents(of slot: Int32, in table: WatcherTable) {
        scratch.removeAll(keepingCapacity: true)
        var cell = table[slot].firstCell
        while cell >= 0 {
            scratch.append(cells[Int(cell)].event)
            cell = cells[Int(cell)].next
        }
    }

    private mutating func encoded(_ event: Int32, withPrevious: Bool, history: any WatchHistory) -> [UInt8] {
        let index = Int(event)
        if withPrevious, !events[index].change.isCreate {
            if let bytes = events[index].withPrevious { return bytes }
            let change = events[index].change
            if let previous = history.previous(of: change.key, before: change.revision) {
                let bytes = Self.encode(change, previous: previous)
                events[index].withPrevious = bytes
                return bytes
            }
            let bytes = encoded(event, withPrevious: false, history: history)
            events[index].withPrevious = bytes
            return bytes
        }
        if let bytes = events[index].plain { return bytes }
        let bytes = Self.encode(events[index].change, previous: nil)
        events[index].plain = bytes
        return bytes
    }

    /// `events` (field 11) of a `WatchResponse` with an `mvccpb.Event {type = 1, kv = 2, prev_kv = 3}`.
    private static func encode(_ change: WatchChange, previous: [UInt8]?) -> [UInt8] {
        var length = change.isDelete ? 2 : 0
        length += WireSize.alwaysBytes(2, change.encodedKeyValue.count)
        if let previous { length += WireSize.alwaysBytes(3, previous.count) }
        var writer = WireWriter(capacity: WireSize.alwaysBytes(11, length))
        writer.delimiter(11, length: length)
        if change.isDelete { writer.alwaysVarint(1, 1) }
        writer.alwaysBytes(2, change.encodedKeyValue)
        if let previous { writer.alwaysBytes(3, previous) }
        return writer.bytes
    }
}
