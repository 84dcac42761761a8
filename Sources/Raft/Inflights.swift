/// The append messages under way to one member, oldest first, limited by number and by bytes.
public struct Inflights: Equatable, Sendable {
    private struct Item: Equatable {
        /// The last entry's index.
        var index: UInt64
        var bytes: UInt64
    }

    private let capacity: Int
    private let maximumBytes: UInt64
    /// A ring that grows to `capacity` as need be.
    private var ring: [Item] = []
    private var start = 0
    /// The number of messages under way.
    public private(set) var count = 0
    /// The bytes under way.
    public private(set) var bytes: UInt64 = 0

    init(capacity: Int, maximumBytes: UInt64) {
        self.capacity = capacity
        self.maximumBytes = maximumBytes
    }

    /// Whether nothing more may be sent.
    public var isFull: Bool { count == capacity || bytes >= maximumBytes }

    mutating func add(index: UInt64, bytes added: UInt64) {
        precondition(!isFull, "cannot add into a full inflights window")
        if count == ring.count { grow() }
        ring[(start + count) % ring.count] = Item(index: index, bytes: added)
        count += 1
        bytes += added
    }

    private mutating func grow() {
        var larger: [Item] = []
        larger.reserveCapacity(min(capacity, max(1, ring.count * 2)))
        for position in 0..<count { larger.append(ring[(start + position) % ring.count]) }
        while larger.count < min(capacity, max(1, ring.count * 2)) { larger.append(Item(index: 0, bytes: 0)) }
        ring = larger
        start = 0
    }

    /// Frees the messages whose last entry is at or before `index`.
    mutating func free(upTo index: UInt64) {
        while count > 0 && ring[start].index <= index {
            bytes -= ring[start].bytes
            start = (start + 1) % ring.count
            count -= 1
        }
        if count == 0 { start = 0 }
    }

    mutating func reset() {
        count = 0
        bytes = 0
        start = 0
    }
}
