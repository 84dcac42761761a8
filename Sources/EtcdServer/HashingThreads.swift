import Glibc
import Password
import Synchronization

/// The threads that a `HashingQueue` speaks of: some of idle priority that do nothing but hash, and one of ordinary priority
/// that hands out the jobs, answers them, and is the rescuer.
///
/// A thread of idle priority takes no lock, because it may be stopped for long at any point: whoever waited for that lock
/// would be, too. It is handed a job and hands back an outcome.
final class HashingThreads: @unchecked Sendable {
    /// What a job leads to, for the thread of ordinary priority to carry out.
    typealias Outcome = @Sendable () -> Void

    private final class Job: Sendable {
        let work: @Sendable () -> Outcome
        let stopped: Outcome
        /// Answered already, by the rescuer. Only the dispatcher looks.
        nonisolated(unsafe) var isAnswered = false

        init(work: @escaping @Sendable () -> Outcome, stopped: @escaping Outcome) {
            self.work = work
            self.stopped = stopped
        }
    }

    private struct Incoming {
        var jobs: [Job] = []
        var isStopped = false
    }

    private let incoming = Mutex(Incoming())
    private let wake = Semaphore()
    private let workers: [Worker]
    /// Only the dispatcher's.
    private var queue = HashingQueue<Job>()
    private var dispatcher: ServiceThread?

    /// Starts `count` threads of idle priority and the dispatcher.
    init(count: Int) {
        workers = (0..<count).map { [wake] _ in Worker(wake: wake) }
        for worker in workers {
            // Not joined at the end: a thread of idle priority may be long in ending.
            precondition(ServiceThread.detach("etcd-password") { worker.run() }, "the system gives no thread")
        }
        dispatcher = ServiceThread("etcd-passwords") { [self] in dispatch() }
    }

    /// Has `work` done and then its outcome, or `stopped` when the threads end before. Each is called on a thread that may
    /// wait for nothing; `work` perhaps twice, and then one outcome counts.
    func submit(_ work: @escaping @Sendable () -> Outcome, stopped: @escaping Outcome) {
        let isStopped = incoming.withLock { incoming in
            if !incoming.isStopped { incoming.jobs.append(Job(work: work, stopped: stopped)) }
            return incoming.isStopped
        }
        if isStopped { stopped() } else { wake.signal() }
    }

    /// Ends the threads. What waits is told so; what is under way gets no answer any more.
    func stop() {
        incoming.withLock { $0.isStopped = true }
        wake.signal()
        dispatcher?.join()
        dispatcher = nil
    }

    private func dispatch() {
        while true {
            let arrived = incoming.withLock { incoming in
                defer { incoming.jobs = [] }
                return incoming
            }
            var now = Clock.milliseconds
            for job in arrived.jobs { queue.add(job, now: now) }
            if arrived.isStopped { break }
            for worker in workers { serve(worker, now: now) }
            now = Clock.milliseconds
            if let job = queue.rescue(now: now) {
                answer(job, job.work())
                queue.rescued(began: now, now: Clock.milliseconds)
            } else {
                wake.wait(until: queue.nextRescue)
            }
        }
        while let job = queue.next(now: 0) { job.stopped() }
        for worker in workers { worker.end() }
    }

    private func serve(_ worker: Worker, now: Int64) {
        if let (job, outcome) = worker.takeOutcome() {
            queue.ended(job)
            answer(job, outcome)
        }
        guard !worker.isBusy, let job = queue.next(now: now) else { return }
        worker.begin(job)
    }

    private func answer(_ job: Job, _ outcome: Outcome) {
        guard !job.isAnswered else { return }
        job.isAnswered = true
        outcome()
    }

    /// A thread of idle priority. It and the dispatcher take turns with what is here: the semaphore and the flag say whose
    /// turn it is.
    private final class Worker: @unchecked Sendable {
        /// SCHED_IDLE of Linux, which Glibc's headers show to GNU programs only: such a thread makes way at once for any
        /// other, while one of low priority keeps its core for some milliseconds.
        private static let idlePolicy: Int32 = 5
        /// The least of ordinary priorities, for systems that know no idle ones.
        private static let niceness: Int32 = 19

        private let start = Semaphore()
        private let wake: Semaphore
        private let isDone = Atomic<Bool>(false)
        private var job: Job?
        private var outcome: Outcome?
        private(set) var isBusy = false

        init(wake: Semaphore) { self.wake = wake }

        // MARK: The dispatcher's

        func begin(_ job: Job) {
            isBusy = true
            self.job = job
            start.signal()
        }

        func takeOutcome() -> (Job, Outcome)? {
            guard isBusy, isDone.load(ordering: .acquiring), let job, let outcome else { return nil }
            self.job = nil
            self.outcome = nil
            isDone.store(false, ordering: .relaxed)
            isBusy = false
            return (job, outcome)
        }

        /// Has the thread end, at once or with what it does.
        func end() {
            guard !isBusy else { return }
            start.signal()
        }

        // MARK: The thread's

        func run() {
            var parameters = sched_param()
            if sched_setscheduler(0, Self.idlePolicy, &parameters) != 0 {
                // On Linux this is the thread's own niceness.
                setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
            }
            while true {
                start.wait(until: nil)
                guard let job else { return }
                outcome = job.work()
                isDone.store(true, ordering: .releasing)
                wake.signal()
            }
        }
    }
}

/// The system's semaphore, which no thread ever holds.
private final class Semaphore: @unchecked Sendable {
    private let raw: UnsafeMutablePointer<sem_t>

    init() {
        raw = .allocate(capacity: 1)
        sem_init(raw, 0, 0)
    }

    deinit {
        sem_destroy(raw)
        raw.deallocate()
    }

    func signal() { sem_post(raw) }

    /// Waits for a signal, or until the monotonic clock reads `deadline` milliseconds.
    func wait(until deadline: Int64?) {
        guard let deadline else {
            while sem_wait(raw) != 0 && errno == EINTR {}
            return
        }
        // The system's call knows the clock of the day alone; when that is set, a wait ends early or late once.
        let left = max(0, deadline - Clock.milliseconds) * 1_000_000
        let due = Clock.unixNanoseconds + left
        var time = timespec(tv_sec: Int(due / 1_000_000_000), tv_nsec: Int(due % 1_000_000_000))
        while sem_timedwait(raw, &time) != 0 && errno == EINTR {}
    }
}
