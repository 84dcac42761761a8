/// A priority queue of slots by deadline in which a slot's deadline can be moved or removed.
///
/// Four children per node: renewing moves a lease towards the leaves, and a flat tree makes that path short and keeps
/// the children compared at each step in one cache line.
struct DeadlineHeap {
    /// A slot and when it is due. `tie` orders equal deadlines, so that every member sees one order.
    struct Entry {
        var deadline: Int64
        var tie: Int64
        var slot: Int32

        func isBefore(_ other: Entry) -> Bool {
            deadline != other.deadline ? deadline < other.deadline : tie < other.tie
        }
    }

    private var entries: [Entry] = []
    /// Where each slot stands in `entries`; -1 for a slot that is not queued.
    private var positions: [Int32] = []

    /// The number of queued slots.
    var count: Int { entries.count }

    /// The entry that is due first.
    var first: Entry? { entries.first }

    /// Queues `slot` for `deadline`, or moves it there.
    mutating func set(slot: Int32, deadline: Int64, tie: Int64) {
        let entry = Entry(deadline: deadline, tie: tie, slot: slot)
        while positions.count <= Int(slot) { positions.append(-1) }
        let position = Int(positions[Int(slot)])
        if position < 0 {
            entries.append(entry)
            siftUp(entries.count - 1, entry)
        } else if entry.isBefore(entries[position]) {
            siftUp(position, entry)
        } else {
            siftDown(position, entry)
        }
    }

    /// Takes `slot` out of the queue, when it is in it.
    mutating func remove(slot: Int32) {
        guard Int(slot) < positions.count, positions[Int(slot)] >= 0 else { return }
        let position = Int(positions[Int(slot)])
        positions[Int(slot)] = -1
        let last = entries.removeLast()
        guard position < entries.count else { return }
        if last.isBefore(entries[position]) {
            siftUp(position, last)
        } else {
            siftDown(position, last)
        }
    }

    /// Empties the queue.
    mutating func removeAll() {
        entries.removeAll()
        positions.removeAll()
    }

    private mutating func siftUp(_ start: Int, _ entry: Entry) {
        var position = start
        while position > 0 {
            let parent = (position - 1) >> 2
            guard entry.isBefore(entries[parent]) else { break }
            place(entries[parent], at: position)
            position = parent
        }
        place(entry, at: position)
    }

    private mutating func siftDown(_ start: Int, _ entry: Entry) {
        var position = start
        while true {
            let firstChild = position << 2 + 1
            guard firstChild < entries.count else { break }
            var smallest = firstChild
            for child in (firstChild + 1)..<max(firstChild + 1, min(firstChild + 4, entries.count))
            where entries[child].isBefore(entries[smallest]) {
                smallest = child
            }
            guard entries[smallest].isBefore(entry) else { break }
            place(entries[smallest], at: position)
            position = smallest
        }
        place(entry, at: position)
    }

    private mutating func place(_ entry: Entry, at position: Int) {
        entries[position] = entry
        positions[Int(entry.slot)] = Int32(position)
    }
}
