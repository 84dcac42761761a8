/// When members compare what they hold, so that one whose data is damaged is found.
public struct CorruptionChecks: Equatable, Sendable {
    /// Before the member serves anyone.
    public var initial: Bool
    /// How often the leader compares all members at the current revision, in milliseconds; 0 is never.
    public var periodMilliseconds: Int64
    /// Whether members keep the hash of what each compaction starts from, and the leader compares those.
    public var compactions: Bool
    /// How often it does, in milliseconds.
    public var compactionsMilliseconds: Int64

    /// The checks that these values describe.
    public init(initial: Bool, periodMilliseconds: Int64, compactions: Bool, compactionsMilliseconds: Int64) {
        self.initial = initial
        self.periodMilliseconds = periodMilliseconds
        self.compactions = compactions
        self.compactionsMilliseconds = compactionsMilliseconds
    }
}

/// The remaining TTL of long leases in the log.
public struct LeaseCheckpoints: Equatable, Sendable {
    /// Whether they are recorded; nil leaves it to the cluster's version.
    public var recorded: Bool?
    /// Whether they are kept over a restart also where the cluster's version does not ask for it.
    public var persisted: Bool

    /// The checkpoints that these values describe.
    public init(recorded: Bool?, persisted: Bool) {
        self.recorded = recorded
        self.persisted = persisted
    }
}

extension CorruptionChecks {
    init(_ settings: Settings, gates: FeatureGates) {
        initial = gates.isOn("InitialCorruptCheck")
        compactions = gates.isOn("CompactHashCheck")
        periodMilliseconds = settings.milliseconds("corrupt-check-time")
        compactionsMilliseconds = settings.milliseconds("compact-hash-check-time")
        if compactionsMilliseconds == 0 {
            let name = settings.value(of: "compact-hash-check-time")?.name ?? "compact-hash-check-time"
            settings.note("--\(name) must be >0 (set to 0s)")
        }
    }
}

extension LeaseCheckpoints {
    init(_ settings: Settings, gates: FeatureGates) {
        recorded = gates["LeaseCheckpoint"]
        persisted = gates.isOn("LeaseCheckpointPersist")
        if persisted && recorded == false {
            settings.note("enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
        }
    }
}
