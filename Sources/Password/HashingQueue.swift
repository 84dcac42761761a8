/// The order in which passwords are hashed, and by whom.
///
/// Threads of idle priority hash, so that a flood of logins takes only time that nobody else wants. Where the machine has no
/// such time, a login must still end: one thread of ordinary priority, the rescuer, takes over what has waited long, but is
/// busy for a small part of the time only. Times are milliseconds of any clock that does not go back.
public struct HashingQueue<Job: AnyObject> {
    private struct Entry {
        var job: Job
        /// When it came, or when an idle thread began with it.
        var since: Int64
    }

    /// How long a job waits for an idle thread, or is under way on one, before the rescuer may take it: far beyond what a
    /// hash of the usual cost takes on a thread that gets to run.
    private let patience: Int64 = 2_000
    /// The rescuer rests this many times as long as its last job took, so that it takes a hundredth of a core.
    private let rest: Int64 = 99

    private var waiting: [Entry] = []
    /// What idle threads are busy with and the rescuer has not taken over.
    private var running: [Entry] = []
    private var rescuerFree: Int64 = .min

    /// An empty queue.
    public init() {}

    /// How many jobs wait for a thread.
    public var count: Int { waiting.count }

    /// Puts `job` behind the others.
    public mutating func add(_ job: Job, now: Int64) {
        waiting.append(Entry(job: job, since: now))
    }

    /// The next job for a thread of idle priority, which says ``ended(_:)`` afterwards.
    public mutating func next(now: Int64) -> Job? {
        guard !waiting.isEmpty else { return nil }
        let job = waiting.removeFirst().job
        running.append(Entry(job: job, since: now))
        return job
    }

    /// A thread of idle priority is done with `job`.
    public mutating func ended(_ job: Job) {
        running.removeAll { $0.job === job }
    }

    /// The next job for the rescuer, which says ``rescued(began:now:)`` afterwards. One that is under way is done a second
    /// time: its thread may not get to run for long.
    public mutating func rescue(now: Int64) -> Job? {
        guard let due = nextRescue, due <= now else { return nil }
        if let first = running.first, first.since + patience <= now { return running.removeFirst().job }
        return waiting.removeFirst().job
    }

    /// The rescuer is done with the job that it began at `began`.
    public mutating func rescued(began: Int64, now: Int64) {
        rescuerFree = now + (now - began) * rest
    }

    /// When the rescuer may next find a job; nil as long as there is none.
    public var nextRescue: Int64? {
        guard let oldest = [running.first, waiting.first].compactMap({ $0?.since }).min() else { return nil }
        return max(oldest + patience, rescuerFree)
    }
}
