import Synchronization

/// Wakes the one who waits for the member to be ready.
final class ReadySignal: Sendable {
    private enum State {
        case waiting(CheckedContinuation<Void, Never>?)
        case ready
    }

    private let state = Mutex(State.waiting(nil))

    func signal() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            defer { state = .ready }
            if case .waiting(let waiter) = state { return waiter }
            return nil
        }
        waiter?.resume()
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                if case .ready = state { return true }
                state = .waiting(continuation)
                return false
            }
            if isReady { continuation.resume() }
        }
    }
}
