/// When a member has something to do without being asked. Times are in milliseconds.
public struct DutyTimers: Sendable {
    /// What is due.
    public enum Duty: Equatable, Sendable {
        /// A heartbeat interval has passed; this was to be noticed at `due`.
        case tick(due: Int64)
        /// Leases (``MemberCore/attendToLeases(now:)``).
        case leases
        /// Files that nobody needs any more.
        case purge
        /// A step of the compaction.
        case compaction
    }

    /// How often there is what to do.
    public struct Intervals: Sendable {
        public var heartbeat: Int64
        /// etcd's.
        public var leases: Int64 = 500
        /// etcd's.
        public var purge: Int64 = 30_000
        /// The least time between two steps of a compaction, at least 1, so that requests go in between.
        public var compaction: Int64 = 1

        public init(heartbeat: Int64) {
            self.heartbeat = heartbeat
        }
    }

    private let intervals: Intervals
    private var tick: Int64
    private var leases: Int64
    private var purge: Int64
    private var compaction: Int64

    /// The timers of a member that starts at `now`.
    public init(_ intervals: Intervals, now: Int64) {
        self.intervals = intervals
        tick = now
        leases = now
        // What an earlier run left goes at once, as in etcd.
        purge = now
        compaction = now
    }

    /// The next thing that is due, which then counts as done; to be asked until there is none. `compacts` says whether a
    /// compaction is pending.
    public mutating func next(now: Int64, compacts: Bool) -> Duty? {
        if now >= tick {
            defer { tick = now + intervals.heartbeat }
            return .tick(due: tick)
        }
        if now >= leases {
            leases = now + intervals.leases
            return .leases
        }
        if now >= purge {
            purge = now + intervals.purge
            return .purge
        }
        if compacts && now >= compaction {
            compaction = now + intervals.compaction
            return .compaction
        }
        return nil
    }

    /// A step of the compaction has taken from `start` to `end`. There is as long between two steps as a step takes, so that
    /// compacting gets half of the owner's thread at the most.
    public mutating func compactionStepped(from start: Int64, to end: Int64) {
        compaction = end + max(intervals.compaction, end - start)
    }

    /// When the next thing is due.
    public func deadline(compacts: Bool) -> Int64 {
        let next = min(tick, leases, purge)
        return compacts ? min(next, compaction) : next
    }
}
