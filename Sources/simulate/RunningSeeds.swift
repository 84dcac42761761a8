import Glibc
import Synchronization

/// Which seeds run at the moment, told when a broken precondition ends the process.
final class RunningSeeds: Sendable {
    private static let seeds = Mutex<Set<UInt64>>([])

    /// Has the seeds told when the process is ended by a trap.
    func tellOnTrap() {
        // The process is lost anyway, so the handler may do more than handlers should.
        for number in [SIGILL, SIGTRAP] {
            signal(number) { number in
                let seeds = RunningSeeds.seeds.withLockIfAvailable { $0.sorted() } ?? []
                print("VIOLATION: a precondition is broken in one of the seeds \(seeds)")
                fflush(nil)
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    func note(_ seed: UInt64) { Self.seeds.withLock { _ = $0.insert(seed) } }

    func forget(_ seed: UInt64) { Self.seeds.withLock { _ = $0.remove(seed) } }
}
