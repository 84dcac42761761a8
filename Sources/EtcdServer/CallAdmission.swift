import Auth
import EtcdAPI
import GRPC
import NIOCore

/// How a call comes past the authority, when that takes another look at the log.
extension Gateways {
    /// Runs `body` on the call's event loop once it is known whether the call's token is one: at once, but for a client that
    /// has just logged in with another member.
    ///
    /// A token is told when its entry is applied where the client logged in. So one that this member does not know after
    /// all is applied here that was committed when the call came was never given out. That takes one linearizable read,
    /// which the calls of a moment share, whatever index a token names: made-up tokens keep nobody waiting.
    func whenTokenIsKnown(_ call: some Identifiable, _ body: @escaping @Sendable () -> Void) {
        guard authority.isAhead(call) else { return body() }
        self[call.eventLoop].readLinearizably { [self] _ in
            // Without a leader to ask, the token stays unknown, and the call is refused for that.
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
