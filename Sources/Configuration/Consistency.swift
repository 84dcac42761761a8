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
    init(_ flags: Flags, gates: FeatureGates) throws(InvalidConfiguration) {
        let initialFlag = try flags.isOn("experimental-initial-corrupt-check")
        let compactionsFlag = try flags.isOn("experimental-compact-hash-check-enabled")
        initial = gates["InitialCorruptCheck"] ?? initialFlag
        compactions = gates["CompactHashCheck"] ?? compactionsFlag
        periodMilliseconds = try flags.milliseconds("corrupt-check-time")
        compactionsMilliseconds = try flags.milliseconds("compact-hash-check-time")
        guard compactionsMilliseconds > 0 else {
            let name = flags.newest("compact-hash-check-time")
            throw InvalidConfiguration("--\(name) must be >0 (set to \(flags.text(name)))")
        }
    }
}

extension LeaseCheckpoints {
    init(_ flags: Flags, gates: FeatureGates) throws(InvalidConfiguration) {
        let recordedFlag = "experimental-enable-lease-checkpoint"
        let isOn = try flags.isOn(recordedFlag)
        let persists = try flags.isOn("experimental-enable-lease-checkpoint-persist")
        recorded = gates["LeaseCheckpoint"] ?? (flags.given.contains(recordedFlag) ? isOn : nil)
        persisted = gates["LeaseCheckpointPersist"] ?? persists
        if persisted && recorded == false {
            throw InvalidConfiguration(
                "setting experimental-enable-lease-checkpoint-persist requires experimental-enable-lease-checkpoint")
        }
    }
}

/// `--feature-gates`, by which etcd switches experiments on and off from 3.6 on: `Name=true,Other=false`.
struct FeatureGates {
    /// Those of etcd 3.6 and 3.7. What is always on here, or concerns nothing here, is taken and has no effect.
    private static let known: Set<String> = [
        "AllAlpha", "AllBeta", "CompactHashCheck", "FastLeaseKeepAlive", "InitialCorruptCheck", "LeaseCheckpoint",
        "LeaseCheckpointPersist", "PriorityRequest", "SetMemberLocalAddr", "StopGRPCServiceOnDefrag",
        "TxnModeWriteWithSharedBuffer",
    ]

    private var values: [String: Bool] = [:]

    init(_ flags: Flags) throws(InvalidConfiguration) {
        for part in flags.text("feature-gates").split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1).map { $0.drop { $0 == " " } }
            guard pair.count == 2 else {
                throw flags.invalid("feature-gates", "misses a value for \(part)")
            }
            guard Self.known.contains(String(pair[0])) else {
                throw flags.invalid("feature-gates", "names the unknown gate \(pair[0])")
            }
            switch pair[1] {
            case "true": values[String(pair[0])] = true
            case "false": values[String(pair[0])] = false
            default: throw flags.invalid("feature-gates", "has a value other than true and false for \(pair[0])")
            }
        }
    }

    subscript(name: String) -> Bool? { values[name] }
}

extension Flags {
    /// The name under which `name` was given: its own, or the one it had while it was an experiment.
    fileprivate func newest(_ name: String) -> String {
        let older = "experimental-\(name)"
        return given.contains(older) && !given.contains(name) ? older : name
    }

    fileprivate func milliseconds(_ name: String) throws(InvalidConfiguration) -> Int64 {
        let nanoseconds = try nanoseconds(newest(name))
        return nanoseconds == 0 ? 0 : max(1, nanoseconds / 1_000_000)
    }
}
