/// A change that compaction has taken out of the index and that has yet to leave the file.
struct Drop: Comparable {
    var main: Int64
    var sub: UInt32
    var isTombstone: Bool

    init(_ state: KeyState) {
        main = state.main
        sub = state.sub
        isTombstone = state.isTombstone
    }

    static func < (left: Drop, right: Drop) -> Bool {
        left.main != right.main ? left.main < right.main : left.sub < right.sub
    }
}

/// Puts the drops of many steps into order of revision without a step that takes long.
///
/// The index is walked in key order, while the file is in revision order: dropped as they are found, a thousand changes
/// would rewrite a thousand pages. So the drops of each step are sorted as a run, and the runs are merged as they are
/// taken out.
struct DropQueue {
    private var runs: [[Drop]] = []
    /// A heap of the runs that are not used up, the one with the lowest next drop first.
    private var heap: [(next: Drop, run: Int, position: Int)] = []
    /// The drops in the queue.
    private(set) var count = 0

    /// Adds the drops of one step.
    mutating func add(_ drops: [Drop]) {
        if drops.isEmpty { return }
        let sorted = drops.sorted()
        heap.append((sorted[0], runs.count, 0))
        runs.append(sorted)
        count += sorted.count
        siftUp(heap.count - 1)
    }

    /// Takes the lowest drop out.
    mutating func next() -> Drop? {
        guard let top = heap.first else { return nil }
        count -= 1
        let position = top.position + 1
        if position < runs[top.run].count {
            heap[0] = (runs[top.run][position], top.run, position)
        } else {
            runs[top.run] = []
            let last = heap.removeLast()
            if heap.isEmpty {
                runs = []
                return top.next
            }
            heap[0] = last
        }
        siftDown(0)
        return top.next
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard heap[index].next < heap[parent].next else { return }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count {
                if heap[child].next < heap[least].next { least = child }
            }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
