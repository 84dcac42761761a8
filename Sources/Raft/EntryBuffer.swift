import RaftMessages

/// Entries with consecutive indexes, cheap to extend at the end and to drop at either end.
///
/// Dropped leading entries stay in the array until they are half of it, so that dropping costs amortised constant time
/// however many entries remain.
struct EntryBuffer {
    private var storage: [Entry] = []
    private var head = 0

    init() {}

    init(_ entries: [Entry]) { storage = entries }

    var count: Int { storage.count - head }
    var isEmpty: Bool { storage.count == head }
    var last: Entry? { isEmpty ? nil : storage[storage.count - 1] }

    /// The entry `position` places after the first.
    subscript(position: Int) -> Entry { storage[head + position] }

    /// The entries at `range`, counted from the first, without a copy.
    func slice(_ range: Range<Int>) -> ArraySlice<Entry> {
        storage[(head + range.lowerBound)..<(head + range.upperBound)]
    }

    mutating func append(contentsOf entries: some Collection<Entry>) { storage.append(contentsOf: entries) }

    /// Drops the first `number` entries.
    mutating func removeFirst(_ number: Int) {
        precondition(number <= count, "cannot drop \(number) of \(count) entries")
        head += number
        if head == storage.count {
            storage.removeAll(keepingCapacity: storage.capacity <= EntryBuffer.keptCapacity)
            head = 0
        } else if head > storage.count / 2 {
            storage.removeFirst(head)
            head = 0
        }
    }

    /// Keeps only the first `number` entries.
    mutating func truncate(to number: Int) { storage.removeLast(count - number) }

    /// Room kept in an emptied buffer, so that steady traffic does not allocate and a burst does not stay.
    private static let keptCapacity = 4096
}
