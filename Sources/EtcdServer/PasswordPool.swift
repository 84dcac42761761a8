import Auth
import Crypto
import EtcdAPI
import Glibc
import NIOCore
import NIOPosix
import Password
import Synchronization

/// Hashes and checks passwords on threads of its own, since each takes as long as the cost says: neither an event loop nor
/// the member's thread ever waits for one.
///
/// Only so many may wait; more are refused, so that a flood of logins delays logins alone, and it takes only time of the
/// machine that nobody else wants (`HashingThreads`). A password that was found right is remembered as a keyed digest while
/// the user's hash stays the same, so that thousands of clients of one user that come back at once do not each take the whole
/// time.
final class PasswordPool: Sendable {
    /// Threads that hash; the other cores are the member's.
    private static let threads = max(1, System.coreCount / 2)
    /// The least of ordinary priorities, for making tokens: it takes locks that others want, too.
    private static let niceness: Int32 = 19
    /// Passwords that may wait: some four seconds' work at the usual cost.
    private static let waitingLimit = 128
    /// Users whose password is remembered.
    private static let rememberedLimit = 10_000

    private let hashing = HashingThreads(count: PasswordPool.threads)
    /// What takes some time but is no hashing.
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let cost: Int
    private let waiting = Atomic<Int>(0)
    private let key = SymmetricKey(size: .bits256)
    private let remembered = Mutex<[String: [UInt8]]>([:])

    init(cost: Int) {
        self.cost = Bcrypt.costs.contains(cost) ? cost : Bcrypt.defaultCost
        pool.start()
    }

    func shutDown() async {
        hashing.stop()
        try? await pool.shutdownGracefully()
    }

    /// Tells on `eventLoop` the hash of `password`, in base 64 as log entries carry it.
    func hash(
        _ password: String, on eventLoop: any EventLoop,
        _ body: @escaping @Sendable (Result<[UInt8], EtcdError>) -> Void
    ) {
        let cost = self.cost
        enqueue(on: eventLoop, body) {
            var generator = SystemRandomNumberGenerator()
            let salt = (0..<Bcrypt.saltLength).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            do throws(Bcrypt.Failure) {
                return .success(try Bcrypt.hash(Array(password.utf8), cost: cost, salt: salt))
            } catch {
                return .failure(EtcdError(.unknown, "\(error)"))
            }
        }
    }

    /// Tells on `eventLoop` whether `password` is that of `user`.
    func verify(
        _ password: String, of user: User, on eventLoop: any EventLoop,
        _ body: @escaping @Sendable (Result<Bool, EtcdError>) -> Void
    ) {
        let name = String(decoding: user.name, as: UTF8.self)
        let digest = Array(HMAC<SHA256>.authenticationCode(for: user.passwordHash + Array(password.utf8), using: key))
        if remembered.withLock({ $0[name] == digest }) { return body(.success(true)) }
        let remember = { @Sendable [self] (result: Result<Bool, EtcdError>) in
            if case .success(true) = result {
                remembered.withLock { remembered in
                    if remembered.count >= Self.rememberedLimit { remembered.removeAll() }
                    remembered[name] = digest
                }
            }
            body(result)
        }
        enqueue(on: eventLoop, remember) {
            .success(Bcrypt.verify(Array(password.utf8), against: user.passwordHash))
        }
    }

    /// Has `work` done by the threads that hash, perhaps twice, and then `body` on `eventLoop`.
    private func enqueue<Value: Sendable>(
        on eventLoop: any EventLoop, _ body: @escaping @Sendable (Result<Value, EtcdError>) -> Void,
        _ work: @escaping @Sendable () -> Result<Value, EtcdError>
    ) {
        guard takePlace(body) else { return }
        let finish = { @Sendable [self] (result: Result<Value, EtcdError>) in
            waiting.subtract(1, ordering: .relaxed)
            eventLoop.execute { body(result) }
        }
        hashing.submit {
            let result = work()
            return { finish(result) }
        } stopped: {
            finish(.failure(.stopped))
        }
    }

    /// One of the places of those who wait; when there is none, the refusal is told.
    private func takePlace<Value>(_ body: (Result<Value, EtcdError>) -> Void) -> Bool {
        guard waiting.wrappingAdd(1, ordering: .relaxed).newValue <= Self.waitingLimit else {
            waiting.subtract(1, ordering: .relaxed)
            body(.failure(.tooManyRequests))
            return false
        }
        return true
    }

    /// Runs `work` on a thread of low priority.
    func perform(_ work: @escaping @Sendable () -> Void) {
        pool.submit { state in if state == .active { work() } }
    }

    /// Runs `work`, which may take long, and then `body` on `eventLoop`.
    func submit<Value: Sendable>(
        on eventLoop: any EventLoop, _ body: @escaping @Sendable (Result<Value, EtcdError>) -> Void,
        _ work: @escaping @Sendable () -> Result<Value, EtcdError>
    ) {
        guard takePlace(body) else { return }
        pool.submit { [self] state in
            waiting.subtract(1, ordering: .relaxed)
            // On Linux this is the thread's own niceness.
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
            let result = state == .active ? work() : .failure(.stopped)
            eventLoop.execute { body(result) }
        }
    }
}
