import Glibc
import Synchronization

/// SIGTERM and SIGINT, taken by a thread that waits for them, so that nothing runs inside a signal handler.
///
/// Made before any other thread. A signal that comes before ``arm()``, or a second one, ends the process at once.
final class TerminationSignals: Sendable {
    private enum State {
        /// A signal ends the process: the member does not serve yet, or it is told a second time.
        case deadly
        /// A signal is kept until somebody asks for it.
        case armed
        case arrived(Signal)
        case waiting(CheckedContinuation<Signal?, Never>)
        /// Nobody is to wait for signals any more.
        case interrupted
    }

    /// A signal that has come.
    struct Signal {
        let number: Int32

        var name: String { number == SIGTERM ? "terminated" : "interrupt" }

        /// Ends the process by the signal itself, as etcd does, so that whoever started it sees which; the first process
        /// of a machine or container cannot, and its end is an ordinary one.
        func end() {
            guard getpid() != 1 else { return }
            signal(number, SIG_DFL)
            var set = TerminationSignals.set
            pthread_sigmask(SIG_UNBLOCK, &set, nil)
            raise(number)
        }
    }

    private let state = Mutex(State.deadly)

    /// Blocks the signals on this thread and those that it makes.
    init() {
        signal(SIGPIPE, SIG_IGN)
        var set = Self.set
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    fileprivate static var set: sigset_t {
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
            arrive(Signal(number: number))
        }
    }

    private func arrive(_ signal: Signal) {
        let waiter = state.withLock { state -> CheckedContinuation<Signal?, Never>? in
            switch state {
            case .armed:
                state = .arrived(signal)
                return nil
            case .waiting(let waiter):
                state = .deadly
                return waiter
            case .deadly, .arrived, .interrupted:
                signal.end()
                _exit(0)
            }
        }
        waiter?.resume(returning: signal)
    }

    /// From now on the next signal is kept for ``next()``.
    func arm() {
        state.withLock { state in
            if case .deadly = state { state = .armed }
        }
    }

    /// The next signal, or nil when the wait was interrupted.
    func next() async -> Signal? {
        await withCheckedContinuation { continuation in
            let outcome = state.withLock { state -> (isKnown: Bool, signal: Signal?) in
                switch state {
                case .arrived(let signal):
                    state = .deadly
                    return (true, signal)
                case .interrupted:
                    state = .deadly
                    return (true, nil)
                case .deadly, .armed, .waiting:
                    state = .waiting(continuation)
                    return (false, nil)
                }
            }
            if outcome.isKnown { continuation.resume(returning: outcome.signal) }
        }
    }

    /// Ends the wait for signals, now or when it begins.
    func interrupt() {
        let waiter = state.withLock { state -> CheckedContinuation<Signal?, Never>? in
            if case .waiting(let waiter) = state {
                state = .deadly
                return waiter
            }
            if case .arrived = state { return nil }
            state = .interrupted
            return nil
        }
        waiter?.resume(returning: nil)
    }
}
