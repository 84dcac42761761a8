/// What a leader or candidate knows of the members: the configuration, their progress and their votes.
struct ProgressTracker {
    private(set) var configuration = MembershipConfiguration()
    private(set) var progress: [UInt64: Progress] = [:]
    /// The members in ascending order, the order in which they are visited.
    private(set) var ids: [UInt64] = []
    private var votes: [UInt64: Bool] = [:]
    let maximumInflightMessages: Int
    let maximumInflightBytes: UInt64

    init(maximumInflightMessages: Int, maximumInflightBytes: UInt64) {
        self.maximumInflightMessages = maximumInflightMessages
        self.maximumInflightBytes = maximumInflightBytes
    }

    /// An empty window of the configured size.
    func makeInflights() -> Inflights {
        Inflights(capacity: maximumInflightMessages, maximumBytes: maximumInflightBytes)
    }

    subscript(id: UInt64) -> Progress? { progress[id] }

    /// Changes what is known of `id`, which must be a member.
    mutating func update<Result>(_ id: UInt64, _ change: (inout Progress) -> Result) -> Result {
        guard let position = progress.index(forKey: id) else {
            preconditionFailure("no progress of member \(id) to change")
        }
        return change(&progress.values[position])
    }

    /// Starts over with `configuration` and `progress`, which belong together.
    mutating func replace(configuration: MembershipConfiguration, progress: [UInt64: Progress]) {
        self.configuration = configuration
        self.progress = progress
        ids = progress.keys.sorted()
    }

    /// Forgets what was known of the members' logs; they are probed from `next`.
    mutating func resetProgress(next: UInt64, own: UInt64) {
        for id in ids {
            let inflights = makeInflights()
            update(id) {
                $0 = Progress(
                    match: id == own ? next - 1 : 0, next: next, inflights: inflights, isLearner: $0.isLearner)
            }
        }
    }

    /// The highest index that a quorum has.
    var committed: UInt64 { configuration.voters.committedIndex { progress[$0]?.match ?? 0 } }

    /// Whether a quorum was heard since the last check.
    var quorumIsActive: Bool {
        configuration.voters.voteResult { progress[$0]?.recentlyActive ?? false } == .won
    }

    /// Marks all but `own` as not heard.
    mutating func markInactive(except own: UInt64) {
        for id in ids where id != own { update(id) { $0.recentlyActive = false } }
    }

    mutating func resetVotes() { votes.removeAll(keepingCapacity: true) }

    /// Notes a vote; a member's first counts.
    mutating func recordVote(_ id: UInt64, granted: Bool) {
        if votes[id] == nil { votes[id] = granted }
    }

    /// How the election stands, with the numbers of votes for and against.
    func tallyVotes() -> (granted: Int, rejected: Int, result: VoteResult) {
        var granted = 0
        var rejected = 0
        for id in ids where progress[id]?.isLearner == false {
            switch votes[id] {
            case true?: granted += 1
            case false?: rejected += 1
            case nil: break
            }
        }
        return (granted, rejected, configuration.voters.voteResult { votes[$0] })
    }
}
