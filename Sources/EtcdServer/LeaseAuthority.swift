import Auth
import EtcdAPI
import Member

/// What callers may do with leases that exist, which depends on the keys that hang on them: only the member's thread knows
/// those.
extension MemberThread {
    /// Why `caller` may not attach a key to one of `leases`; nil when it may.
    func refusal(of caller: Caller, attachingTo leases: Set<Int64>) -> EtcdError? {
        refusal { () throws(EtcdError) in
            let walk = core.applier.authorisation(of: caller, rules: .complete)
            for lease in leases { try walk.checkLease(lease) }
        }
    }

    /// Why `caller` may not be told of the keys of `leases`; nil when it may.
    func refusal(of caller: Caller, readingKeysOf leases: some Sequence<Int64>) -> EtcdError? {
        refusal { () throws(EtcdError) in
            try core.applier.auth.state.requireUser(caller)
            let walk = core.applier.authorisation(of: caller, rules: .complete)
            for lease in leases { try walk.checkReading(ofLease: lease) }
        }
    }

    /// The renewals whose callers may write all keys of their leases; the streams of the others end.
    func permitted(_ keepAlives: [Gateway.KeepAlive], _ gateway: Gateway) -> [Gateway.KeepAlive] {
        guard core.applier.auth.state.isEnabled else { return keepAlives }
        return keepAlives.filter { keepAlive in
            let caller = keepAlive.caller ?? .nobody
            let refusal = refusal { () throws(EtcdError) in
                try core.applier.auth.state.requireUser(caller)
                try core.applier.authorisation(of: caller, rules: .complete).checkLease(keepAlive.lease)
            }
            guard let refusal else { return true }
            gateway.eventLoop.execute { keepAlive.stream.deliver(.failure(refusal)) }
            return false
        }
    }

    private func refusal(_ check: () throws(EtcdError) -> Void) -> EtcdError? {
        guard core.applier.auth.state.isEnabled else { return nil }
        do throws(EtcdError) {
            try check()
            return nil
        } catch {
            return error
        }
    }
}
