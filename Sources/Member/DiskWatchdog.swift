/// Notices when the log's disk does not answer: orders to write are out and none has come back for long.
///
/// A disk that is slow but goes on is not stalled: each answer starts the time anew.
struct DiskWatchdog {
    /// What the disk's silence calls for.
    enum State: Equatable {
        case answering
        /// Silent for so many milliseconds: a leader should hand over while it still leads.
        case stalled(Int64)
        /// Silent for an election timeout: a leader that could not hand over must step down.
        case lost(Int64)
    }

    /// Parts of an election timeout in silence after which the disk counts as stalled: late enough to sit out an ordinary
    /// slow write, with a fifth left to hand over in.
    private static let patience: (part: Int64, of: Int64) = (4, 5)

    private let electionMilliseconds: Int64
    private var outstanding = 0
    private var hasAnswered = false
    private var silentSince: Int64?
    private var failedAt: Int64?

    init(electionMilliseconds: Int64) {
        self.electionMilliseconds = electionMilliseconds
    }

    /// `count` more orders went out.
    mutating func ordered(_ count: Int) { outstanding += count }

    /// One of the orders is done.
    mutating func answered() {
        outstanding -= 1
        hasAnswered = true
    }

    /// Whether the disk will never answer again.
    var hasFailed: Bool { failedAt != nil }

    /// The disk has failed at `now` and will not answer any more.
    mutating func failed(now: Int64) {
        if failedAt == nil { failedAt = now }
    }

    /// What there is to say of the disk at `now`.
    mutating func state(now: Int64) -> State {
        if let failedAt {
            let silence = now - failedAt
            return silence < electionMilliseconds ? .stalled(silence) : .lost(silence)
        }
        if outstanding == 0 {
            silentSince = nil
        } else if hasAnswered || silentSince == nil {
            silentSince = now
        }
        hasAnswered = false
        guard let silentSince else { return .answering }
        let silence = now - silentSince
        if silence >= electionMilliseconds { return .lost(silence) }
        return silence >= electionMilliseconds * Self.patience.part / Self.patience.of ? .stalled(silence) : .answering
    }
}
