import Configuration

/// Decides which revision to compact without being asked.
///
/// Pure: the owner reports the time and the store's revision, and carries out what it is told.
public struct AutoCompactor: Sendable {
    /// A window of time is compacted once in its own length, and every hour when it is longer, as etcd does it.
    private static let longestInterval: Int64 = 3_600_000
    /// The revision is sampled this often between two compactions; with fewer samples the window would be coarse.
    private static let samplesPerInterval: Int64 = 10
    /// How often the mode that counts revisions looks, in milliseconds.
    private static let revisionInterval: Int64 = 300_000

    private let mode: MemberConfiguration.AutoCompaction
    private var samples: [(time: Int64, revision: Int64)] = []
    private var nextLook: Int64?
    private var lastCompacted: Int64 = 0
    /// When the last compaction was due that kept a window of time.
    private var compactedAt: Int64?

    /// A compactor that keeps what `mode` says.
    public init(_ mode: MemberConfiguration.AutoCompaction) {
        self.mode = mode
    }

    /// The revision to compact at now, if any; only the leader's compactor asks. `now` is in milliseconds.
    public mutating func due(now: Int64, revision: Int64, isLeader: Bool) -> Int64? {
        let interval: Int64
        switch mode {
        case .off: return nil
        case .revision: interval = Self.revisionInterval
        case .periodic(let window):
            interval = max(1, min(window, Self.longestInterval) / Self.samplesPerInterval)
        }
        guard let look = nextLook else {
            nextLook = now + interval
            samples = [(now, revision)]
            return nil
        }
        guard now >= look else { return nil }
        nextLook = now + interval
        let target: Int64
        switch mode {
        case .off: return nil
        case .revision(let count): target = revision - count
        case .periodic(let window):
            samples.append((now, revision))
            // The newest sample that is a whole window old; those before it will never be needed.
            guard let index = samples.lastIndex(where: { $0.time <= now - window }) else { return nil }
            samples.removeFirst(index)
            if let compactedAt, now - compactedAt < min(window, Self.longestInterval) { return nil }
            target = samples[0].revision
        }
        guard isLeader, target > 0, target > lastCompacted else { return nil }
        lastCompacted = target
        compactedAt = now
        return target
    }
}
