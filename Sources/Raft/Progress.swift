/// How a leader sends entries to a member.
public enum ProgressState: String, Sendable {
    /// One message at a time, to find out where the logs agree.
    case probe = "StateProbe"
    /// Message after message, up to the window.
    case replicate = "StateReplicate"
    /// Nothing, until the snapshot that is under way is reported.
    case snapshot = "StateSnapshot"
}

/// What a leader knows of one member's log.
public struct Progress: Equatable, Sendable, CustomStringConvertible {
    /// The highest index known to agree with the leader's log and to be stable on the member.
    public internal(set) var match: UInt64
    /// The first index not sent yet.
    public internal(set) var next: UInt64
    /// The highest commit index sent, as far as it is within what was sent of the log.
    private var sentCommit: UInt64 = 0
    public internal(set) var state = ProgressState.probe
    /// The index of the snapshot under way, or 0.
    public internal(set) var pendingSnapshot: UInt64 = 0
    /// Whether the member was heard since the last quorum check.
    public internal(set) var recentlyActive = false
    /// Whether sending waits for an answer or a heartbeat's.
    var appendsPaused = false
    public internal(set) var inflights: Inflights
    public internal(set) var isLearner: Bool

    init(match: UInt64 = 0, next: UInt64, inflights: Inflights, isLearner: Bool, recentlyActive: Bool = false) {
        self.match = match
        self.next = next
        self.inflights = inflights
        self.isLearner = isLearner
        self.recentlyActive = recentlyActive
    }

    /// Whether no entries may be sent now.
    public var isPaused: Bool { state == .snapshot || appendsPaused }

    public var description: String {
        var text = "\(state.rawValue) match=\(match) next=\(next)"
        if isLearner { text += " learner" }
        if isPaused { text += " paused" }
        if pendingSnapshot > 0 { text += " pendingSnap=\(pendingSnapshot)" }
        if !recentlyActive { text += " inactive" }
        if inflights.count > 0 {
            text += " inflight=\(inflights.count)"
            if inflights.isFull { text += "[full]" }
        }
        return text
    }

    private mutating func enter(_ state: ProgressState) {
        appendsPaused = false
        pendingSnapshot = 0
        self.state = state
        inflights.reset()
    }

    /// Probes from after what is known to match, or from after a snapshot that was sent.
    mutating func becomeProbe() {
        let snapshot = state == .snapshot ? pendingSnapshot : 0
        enter(.probe)
        next = max(match, snapshot) + 1
        sentCommit = min(sentCommit, next - 1)
    }

    mutating func becomeReplicate() {
        enter(.replicate)
        next = match + 1
    }

    mutating func becomeSnapshot(index: UInt64) {
        enter(.snapshot)
        pendingSnapshot = index
        next = index + 1
        sentCommit = index
    }

    /// Notes an append message of `count` entries with `bytes` of payload.
    mutating func sentEntries(_ count: Int, bytes: UInt64) {
        switch state {
        case .replicate:
            if count > 0 {
                next += UInt64(count)
                inflights.add(index: next - 1, bytes: bytes)
            }
            // A full window makes what was sent last a probe.
            appendsPaused = inflights.isFull
        case .probe:
            if count > 0 { appendsPaused = true }
        case .snapshot:
            preconditionFailure("entries sent to a member that waits for a snapshot")
        }
    }

    /// Whether telling the member of commit `index` could raise its own.
    func canRaiseCommit(to index: UInt64) -> Bool { index > sentCommit && sentCommit < next - 1 }

    mutating func noteSentCommit(_ index: UInt64) { sentCommit = index }

    /// Notes that the member's log agrees up to `index`.
    /// - Returns: Whether that is news.
    mutating func update(to index: UInt64) -> Bool {
        guard index > match else { return false }
        match = index
        next = max(next, index + 1)
        appendsPaused = false
        return true
    }

    /// Notes that the member refused entries after `rejected`, hinting that it may agree at `hint`.
    /// - Returns: Whether that is news and not an answer that was overtaken.
    mutating func decrease(rejected: UInt64, hint: UInt64) -> Bool {
        if state == .replicate {
            if rejected <= match { return false }
            next = match + 1
            sentCommit = min(sentCommit, next - 1)
            return true
        }
        guard next - 1 == rejected else { return false }
        next = max(min(rejected, hint + 1), match + 1)
        sentCommit = min(sentCommit, next - 1)
        appendsPaused = false
        return true
    }
}
