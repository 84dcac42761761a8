import EtcdServer
import Glibc
import Synchronization

/// SIGTERM and SIGINT, taken by a thread that waits for them, so that nothing runs inside a signal handler.
///
/// Made before any other thread, whose masks are inherited from here. A signal that comes while nobody waits for one yet
/// ends the process: the member has not begun to serve.
final class TerminationSignals: Sendable {
    private let waiter = Mutex<CheckedContinuation<String, Never>?>(nil)

    init() {
        signal(SIGPIPE, SIG_IGN)
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        let awaited = set
        _ = ServiceThread("etcd-signals") { [self] in
            var set = awaited
            while true {
                var number: Int32 = 0
                guard sigwait(&set, &number) == 0 else { continue }
                let taken = waiter.withLock { waiter in
                    defer { waiter = nil }
                    return waiter
                }
                // A second signal, or one before the member serves, is an order to leave at once.
                guard let taken else { exit(0) }
                taken.resume(returning: number == SIGTERM ? "terminated" : "interrupt")
            }
        }
    }

    /// The name of the next signal.
    func next() async -> String {
        await withCheckedContinuation { continuation in
            waiter.withLock { $0 = continuation }
        }
    }
}
