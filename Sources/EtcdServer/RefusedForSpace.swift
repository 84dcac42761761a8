import Member

/// Calls that the quota refuses, and that are told so once the alarm is raised which says it to the whole cluster: a
/// client that asks for the alarms after its refusal finds it, as it does with etcd.
struct RefusedForSpace {
    private var waiters: [MemberThread.Waiter] = []

    var isEmpty: Bool { waiters.isEmpty }
    var count: Int { waiters.count }

    mutating func add(_ waiter: MemberThread.Waiter) { waiters.append(waiter) }

    mutating func takeAll() -> [MemberThread.Waiter] {
        defer { waiters = [] }
        return waiters
    }

    /// Those that have waited until `now` for an alarm that does not come.
    mutating func takeExpired(now: Int64) -> [MemberThread.Waiter] {
        let expired = waiters.filter { now >= $0.deadline }
        if !expired.isEmpty { waiters.removeAll { now >= $0.deadline } }
        return expired
    }
}

extension MemberThread {
    /// Answers those whose alarm is raised, and those who have waited for it in vain, with the same words.
    func answerRefusedForSpace(now: Int64) {
        guard !refusedForSpace.isEmpty else { return }
        let due = core.applier.isOutOfSpace ? refusedForSpace.takeAll() : refusedForSpace.takeExpired(now: now)
        for waiter in due { refuse(waiter, .noSpace) }
    }
}
