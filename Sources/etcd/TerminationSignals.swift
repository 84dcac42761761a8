import Glibc
import Synchronization

/// SIGTERM and SIGINT, taken by a thread that waits for them, so that nothing runs inside a signal handler.
///
/// Made before any other thread. A signal that comes while nobody waits for one ends the process: the member does not
/// serve yet, or it is told a second time.
final class TerminationSignals: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<String?, Never>)
        /// Nobody is to wait for signals any more.
        case interrupted
    }

    private let state = Mutex(State.idle)

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
            guard let waiter = takeWaiter(leaving: .idle) else { _exit(0) }
            waiter.resume(returning: number == SIGTERM ? "terminated" : "interrupt")
        }
    }

    /// The name of the next signal, or nil when the wait was interrupted.
    func next() async -> String? {
        await withCheckedContinuation { continuation in
            let isInterrupted = state.withLock { state in
                if case .interrupted = state { return true }
                state = .waiting(continuation)
                return false
            }
            if isInterrupted { continuation.resume(returning: nil) }
        }
    }

    /// Ends the wait for signals, now or when it begins.
    func interrupt() {
        takeWaiter(leaving: .interrupted)?.resume(returning: nil)
    }

    private func takeWaiter(leaving next: State) -> CheckedContinuation<String?, Never>? {
        state.withLock { state in
            defer { state = next }
            if case .waiting(let waiter) = state { return waiter }
            return nil
        }
    }
}
