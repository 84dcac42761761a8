import Glibc
import Synchronization

/// SIGTERM and SIGINT, taken by a thread that waits for them, so that nothing runs inside a signal handler.
///
/// Made before any other thread. A signal that comes while nobody waits for one ends the process: the member does not
/// serve yet, or it is told a second time.
final class TerminationSignals: Sendable {
    private let waiter = Mutex<CheckedContinuation<String, Never>?>(nil)

    /// Blocks the signals on this thread and those that it makes.
    init() {
        signal(SIGPIPE, SIG_IGN)
        var set = Self.set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    private static var set: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        return set
    }

    /// Waits for signals on the calling thread and hands them on, for ever.
    func deliver() -> Never {
        var set = Self.set
        while true {
            var number: Int32 = 0
            guard sigwait(&set, &number) == 0 else { continue }
            let taken = waiter.withLock { waiter in
                defer { waiter = nil }
                return waiter
            }
            guard let taken else { _exit(0) }
            taken.resume(returning: number == SIGTERM ? "terminated" : "interrupt")
        }
    }

    /// The name of the next signal.
    func next() async -> String {
        await withCheckedContinuation { continuation in
            waiter.withLock { $0 = continuation }
        }
    }
}
