import Synchronization

/// What becomes of the tokens that clients hold, told as entries are applied. Other threads look tokens up meanwhile.
public protocol TokenKeeper: Sendable {
    /// A login of `user` was applied; `token` stands for it from `now` on, in milliseconds of the leases' clock.
    func assign(_ token: String, user: String, now: Int64)
    /// The tokens of `user` are worth nothing any more.
    func invalidate(user: String)
    /// No token is worth anything any more.
    func invalidateAll()
}

/// Holds the newest ``AuthState`` for all threads. The owner of the state machine replaces it as it applies entries.
public final class AuthPublisher: Sendable {
    private let enabled: Atomic<Bool>
    private let state: Mutex<AuthState>
    /// Where tokens are kept; nil where nobody logs in by password, and in tests.
    public let tokens: (any TokenKeeper)?

    /// A publisher of the empty state.
    public init(tokens: (any TokenKeeper)? = nil) {
        self.tokens = tokens
        enabled = Atomic(false)
        state = Mutex(.empty)
    }

    /// Whether permissions are checked: all that a call costs when they are not.
    public var isEnabled: Bool { enabled.load(ordering: .relaxed) }

    /// The newest state.
    public var latest: AuthState { state.withLock { $0 } }

    /// Shows `new` to all threads.
    public func publish(_ new: AuthState) {
        state.withLock { $0 = new }
        enabled.store(new.isEnabled, ordering: .releasing)
    }
}
