/// The clock of a simulated world, and what is going to happen in it.
///
/// Events run one after another in the order of their times; those of one time in the order in which they were planned.
/// Nothing in here or in what it runs depends on anything but the seed.
final class Simulator {
    /// Microseconds since the world began.
    private(set) var now: Int64 = 0
    let recorder: Recorder
    private var random: SimulationRandom
    private var queue: [Event] = []
    private var planned: UInt64 = 0

    private struct Event {
        var time: Int64
        var order: UInt64
        var body: () -> Void

        static func < (left: Event, right: Event) -> Bool {
            left.time != right.time ? left.time < right.time : left.order < right.order
        }
    }

    init(seed: UInt64, recorder: Recorder) {
        random = SimulationRandom(seed: seed)
        self.recorder = recorder
    }

    /// A generator for a part of the world.
    func makeRandom() -> SimulationRandom { random.fork() }

    /// Plans `body` for `delay` microseconds from now.
    func after(_ delay: Int64, _ body: @escaping () -> Void) { at(now + max(0, delay), body) }

    /// Plans `body` for a time that is not past.
    func at(_ time: Int64, _ body: @escaping () -> Void) {
        planned += 1
        queue.append(Event(time: max(now, time), order: planned, body: body))
        siftUp(queue.count - 1)
    }

    /// Lets time pass until `end`, or until an invariant is violated.
    func run(until end: Int64) {
        while let first = queue.first, first.time <= end, recorder.violation == nil {
            let event = pop()
            now = event.time
            recorder.time = now
            event.body()
        }
        if recorder.violation == nil { now = max(now, end) }
    }

    /// Forgets what was planned. Plans hold those who made them, so a world that is not ended is never freed.
    func end() { queue = [] }

    // MARK: The heap

    private func pop() -> Event {
        let first = queue[0]
        let last = queue.removeLast()
        if !queue.isEmpty {
            queue[0] = last
            siftDown(0)
        }
        return first
    }

    private func siftUp(_ start: Int) {
        var position = start
        while position > 0 {
            let parent = (position - 1) / 2
            guard queue[position] < queue[parent] else { return }
            queue.swapAt(position, parent)
            position = parent
        }
    }

    private func siftDown(_ start: Int) {
        var position = start
        while true {
            var least = position
            for child in [2 * position + 1, 2 * position + 2] where child < queue.count {
                if queue[child] < queue[least] { least = child }
            }
            if least == position { return }
            queue.swapAt(position, least)
            position = least
        }
    }
}
