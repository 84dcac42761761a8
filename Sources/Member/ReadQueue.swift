/// Linearizable reads that wait: first for the leader to confirm an index, then for the entries up to it to be applied
/// (Raft thesis, section 6.4).
///
/// All reads that come before a round is asked for share the round. A round that gets no answer is asked for again under
/// another context, so that a late answer to the first cannot release reads that came after it. When the leader that was
/// asked is lost, its rounds fail at once: whoever asked tries again, here or at another member.
struct ReadQueue {
    /// An unanswered round is repeated after this many milliseconds, as etcd does.
    private static let retryInterval: Int64 = 500

    /// Reads that share one confirmation, by the owner's tokens.
    private struct Round {
        var context: UInt64
        var tokens: [UInt64]
        var deadline: Int64
        var askAgainAt: Int64
    }

    /// Reads that no round was asked for yet, and when they stop waiting: the time is known once the owner tells it.
    private var unasked: [UInt64] = []
    private var unaskedDeadline: Int64?
    private var rounds: [Round] = []
    /// Confirmed reads by the index that they wait for, in ascending order.
    private var confirmed: [(index: UInt64, tokens: [UInt64], deadline: Int64)] = []
    private var lastContext: UInt64
    /// Answers that came too late to count, and rounds that got none in time.
    private(set) var slowRounds: UInt64 = 0
    /// Rounds that failed since their leader was lost.
    private(set) var failedRounds: UInt64 = 0

    /// A queue whose contexts begin after `seed`, which differs between runs.
    init(seed: UInt64) {
        lastContext = seed
    }

    var isEmpty: Bool { unasked.isEmpty && rounds.isEmpty && confirmed.isEmpty }

    mutating func add(_ token: UInt64) {
        unasked.append(token)
    }

    /// Starts the clock of the reads that came since the last call; they wait for `timeout` milliseconds at the most.
    mutating func noteTime(_ now: Int64, timeout: Int64) {
        if !unasked.isEmpty && unaskedDeadline == nil { unaskedDeadline = now + timeout }
    }

    /// The contexts to ask the leader about now: one for the reads that came since the last call, and one for each round
    /// that was left without an answer.
    mutating func contextsToAsk(now: Int64) -> [UInt64] {
        var contexts: [UInt64] = []
        for index in rounds.indices where now >= rounds[index].askAgainAt {
            lastContext &+= 1
            rounds[index].context = lastContext
            rounds[index].askAgainAt = now + Self.retryInterval
            contexts.append(lastContext)
        }
        if !unasked.isEmpty {
            lastContext &+= 1
            rounds.append(
                Round(
                    context: lastContext, tokens: unasked, deadline: unaskedDeadline ?? .max,
                    askAgainAt: now + Self.retryInterval))
            unasked.removeAll()
            unaskedDeadline = nil
            contexts.append(lastContext)
        }
        return contexts
    }

    /// The leader confirmed `index` for the round of `context`; an answer to an earlier asking is ignored.
    mutating func confirm(_ context: UInt64, index: UInt64) {
        guard let position = rounds.firstIndex(where: { $0.context == context }) else {
            slowRounds += 1
            return
        }
        let round = rounds.remove(at: position)
        // Indexes only grow, so a later round never waits for less than an earlier one.
        confirmed.append((max(index, confirmed.last?.index ?? 0), round.tokens, round.deadline))
    }

    /// The leader has committed its first entry: one that dropped what it was asked before is asked again at once.
    mutating func leaderCommitted() {
        for index in rounds.indices { rounds[index].askAgainAt = .min }
    }

    /// The reads that the leader was asked about and has not confirmed, for the leader is lost. What it confirmed holds.
    mutating func takeAsked() -> [UInt64] {
        defer { rounds.removeAll() }
        failedRounds += UInt64(rounds.count)
        return rounds.flatMap(\.tokens)
    }

    /// The reads whose entries are applied.
    mutating func takeReady(applied: UInt64) -> [UInt64] {
        var tokens: [UInt64] = []
        var count = 0
        for waiting in confirmed {
            guard waiting.index <= applied else { break }
            tokens += waiting.tokens
            count += 1
        }
        confirmed.removeFirst(count)
        return tokens
    }

    /// The reads that no leader confirmed in time.
    mutating func takeExpired(now: Int64) -> [UInt64] {
        var tokens: [UInt64] = []
        if let deadline = unaskedDeadline, now >= deadline {
            tokens += unasked
            unasked.removeAll()
            unaskedDeadline = nil
        }
        rounds.removeAll { round in
            guard now >= round.deadline else { return false }
            slowRounds += 1
            tokens += round.tokens
            return true
        }
        return tokens
    }

    /// The confirmed reads whose entries did not come in time.
    mutating func takeUnapplied(now: Int64) -> [UInt64] {
        let late = confirmed.prefix { now >= $0.deadline }
        defer { confirmed.removeFirst(late.count) }
        return late.flatMap(\.tokens)
    }
}
