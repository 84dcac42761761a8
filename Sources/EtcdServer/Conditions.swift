import EtcdAPI
import Member

/// What waits on the member's thread for the cluster: closures that run there when something is so, or with the error that
/// says why not.
struct Conditions {
    typealias Body = (EtcdError?) -> Void

    /// By the tokens of linearizable reads.
    fileprivate var reads: [UInt64: (deadline: Int64, body: Body)] = [:]
    /// By the ids of this member's own requests.
    fileprivate var requests: [UInt64: (deadline: Int64, body: Body)] = [:]
}

extension MemberThread {
    /// Runs `body` when all that was committed by now is applied, and this member knows who leads; or with an error after
    /// `timeout` milliseconds.
    func whenCurrent(timeout: Int64, _ body: @escaping Conditions.Body) {
        conditions.reads[askForRead()] = (Clock.milliseconds + timeout, body)
    }

    /// Runs `body` when this member's own request `id` is applied.
    func whenApplied(_ id: UInt64, _ body: @escaping Conditions.Body) {
        conditions.requests[id] = (Clock.milliseconds + core.settings.requestTimeout, body)
        // What is proposed while a turn hands out its results would wait for the next event.
        perform { _ in }
    }

    /// Runs what was waited for in a turn.
    func finishConditions(_ output: MemberCore.Output) {
        if !conditions.requests.isEmpty {
            for outcome in output.outcomes {
                guard let waiting = conditions.requests.removeValue(forKey: outcome.requestID) else { continue }
                if case .failure(let error) = outcome.reply { waiting.body(error) } else { waiting.body(nil) }
            }
        }
        guard !conditions.reads.isEmpty else { return }
        for token in output.readyReads { conditions.reads.removeValue(forKey: token)?.body(nil) }
        for (token, error) in output.failedReads { conditions.reads.removeValue(forKey: token)?.body(error) }
    }

    /// Gives up what has waited too long.
    func expireConditions(now: Int64) {
        for (token, waiting) in conditions.reads where now >= waiting.deadline {
            conditions.reads[token] = nil
            waiting.body(.timeout)
        }
        for (id, waiting) in conditions.requests where now >= waiting.deadline {
            conditions.requests[id] = nil
            waiting.body(core.timeoutError(ofRequestFrom: waiting.deadline - core.settings.requestTimeout))
        }
    }

    /// Gives everything up since this member stops.
    func abandonConditions() {
        let abandoned = conditions
        conditions = Conditions()
        for waiting in abandoned.reads.values { waiting.body(.stopped) }
        for waiting in abandoned.requests.values { waiting.body(.stopped) }
    }
}
