import Auth
import EtcdAPI
import GRPC
import NIOCore
import Synchronization

/// Calls that wait until it is known who makes them.
final class TokenWaiters: Sendable {
    /// After how long a token of an entry that this member has not applied yet is looked up again, in milliseconds: soon
    /// at first, then ever more rarely, since anybody may name an entry that never comes.
    fileprivate static let pauses: ClosedRange<Int64> = 5...160
    /// etcd waits for such an entry as long as the client does; here a request's time is enough.
    fileprivate static let patience: Int64 = 7_000
    /// Calls that may wait; more are told at once that their token is unknown.
    private static let limit = 1_000

    private let count = Atomic<Int>(0)

    fileprivate func enter() -> Bool {
        if count.wrappingAdd(1, ordering: .relaxed).newValue <= Self.limit { return true }
        leave()
        return false
    }

    fileprivate func leave() { count.subtract(1, ordering: .relaxed) }
}

/// How a call comes past the authority, when that takes another look at the log.
extension Gateways {
    /// Runs `body` on the call's event loop once the entry that its token comes from is applied here: at once, but for a
    /// client that has just logged in with another member.
    func whenTokenIsKnown(_ call: some Identifiable, _ body: @escaping @Sendable () -> Void) {
        guard authority.isAhead(call), tokenWaiters.enter() else { return body() }
        let pauses = TokenWaiters.pauses
        wait(call, pause: pauses.lowerBound, until: Clock.milliseconds + TokenWaiters.patience, body)
    }

    private func wait(
        _ call: some Identifiable, pause: Int64, until end: Int64, _ body: @escaping @Sendable () -> Void
    ) {
        call.eventLoop.scheduleTask(in: .milliseconds(pause)) { [self] in
            if Clock.milliseconds < end && authority.isAhead(call) {
                return wait(call, pause: min(2 * pause, TokenWaiters.pauses.upperBound), until: end, body)
            }
            tokenWaiters.leave()
            body()
            self[call.eventLoop].flush()
        }
    }

    /// Runs `body` when `check` lets the caller of `call` pass; else the call fails. What the state as applied here
    /// refuses is checked again against all that was committed by now, so that a member that is late refuses nobody to
    /// whom another has just given the permission.
    ///
    /// On the call's event loop, as `body` is.
    func admit(
        _ call: UnaryCall, _ check: @escaping @Sendable (AuthState, Caller) throws(EtcdError) -> Void,
        _ body: @escaping @Sendable () -> Void
    ) {
        guard authority.isEnabled else { return body() }
        if (try? authority.permit(call, check)) != nil { return body() }
        self[call.eventLoop].readLinearizably { [self] view in
            do throws(EtcdError) {
                if case .failure(let error) = view { throw error }
                try authority.permit(call, check)
                body()
                self[call.eventLoop].flush()
            } catch {
                call.fail(Status(error))
            }
        }
    }
}
