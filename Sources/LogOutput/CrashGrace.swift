import Glibc

/// A process that traps still has its last lines written: the thread that trapped waits a moment, in which the writer's
/// thread goes on, and then lets the signal do what it would have done.
enum CrashGrace {
    private static let signals = [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV]
    /// Long enough to write what waits, too short for anyone to notice.
    fileprivate static let nanoseconds = 50_000_000
    /// What each signal did before, by its number; made once and never freed.
    fileprivate nonisolated(unsafe) static let earlier = UnsafeMutablePointer<sigaction>.allocate(capacity: 65)

    /// Puts itself before whatever the signals do.
    static func install() {
        for number in signals {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = waitAndPassOn
            sigaction(number, &action, earlier + Int(number))
        }
    }
}

/// Calls nothing that must not be called in a handler of signals.
private func waitAndPassOn(_ number: Int32) {
    var time = timespec(tv_sec: 0, tv_nsec: CrashGrace.nanoseconds)
    nanosleep(&time, nil)
    sigaction(number, CrashGrace.earlier + Int(number), nil)
    raise(number)
}
