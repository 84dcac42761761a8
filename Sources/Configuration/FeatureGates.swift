/// Features that are switched on and off: `--feature-gates=Name=true,…` from etcd 3.6 on, experimental flags before.
public struct FeatureGates: Equatable, Sendable {
    /// How a feature stands when nobody says anything, and how settled it is.
    private struct Feature {
        enum Stage {
            case alpha, beta
        }

        var isOn: Bool
        var stage: Stage
    }

    /// Those of etcd 3.6 and 3.7.
    private static let known: [String: Feature] = [
        "CompactHashCheck": Feature(isOn: false, stage: .alpha),
        "FastLeaseKeepAlive": Feature(isOn: true, stage: .beta),
        "InitialCorruptCheck": Feature(isOn: false, stage: .alpha),
        "LeaseCheckpoint": Feature(isOn: false, stage: .alpha),
        "LeaseCheckpointPersist": Feature(isOn: false, stage: .alpha),
        "PriorityRequest": Feature(isOn: false, stage: .alpha),
        "SetMemberLocalAddr": Feature(isOn: false, stage: .alpha),
        "StopGRPCServiceOnDefrag": Feature(isOn: false, stage: .alpha),
        "TxnModeWriteWithSharedBuffer": Feature(isOn: true, stage: .beta),
    ]

    /// Gates that switch all features of a stage.
    private static let stages: [String: Feature.Stage] = ["AllAlpha": .alpha, "AllBeta": .beta]

    /// What was asked for, by the feature's name.
    public private(set) var values: [String: Bool] = [:]

    init(_ settings: Settings) {
        if let value = settings.value(of: "feature-gates") {
            for part in value.text.split(separator: ",") where !part.trimmed.isEmpty {
                guard let (name, isOn) = Self.pair(part.trimmed, value, settings) else { continue }
                values[name] = isOn
            }
        }
        takeExperiments(settings)
        for (gate, stage) in Self.stages {
            guard let isOn = values[gate] else { continue }
            for (name, feature) in Self.known where feature.stage == stage && values[name] == nil {
                values[name] = isOn
            }
        }
    }

    /// The feature and its value in `Name=true`; nil when that is none, which is noted in etcd's words.
    private static func pair(
        _ part: Substring, _ value: Settings.Value, _ settings: Settings
    ) -> (name: String, isOn: Bool)? {
        let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(halves[0].trimmed)
        guard halves.count == 2 else {
            settings.refuse(value, "missing bool value for \(name)")
            return nil
        }
        let text = String(halves[1].trimmed)
        guard let isOn = GoNumber.bool(text) else {
            settings.refuse(
                value,
                "invalid value of \(name)=\(text), err: strconv.ParseBool: parsing \"\(text)\": invalid syntax")
            return nil
        }
        guard known[name] != nil || stages[name] != nil else {
            settings.refuse(value, "unrecognized feature gate: \(name)")
            return nil
        }
        return (name, isOn)
    }

    /// Takes the flags that switched features before there were gates; both at once contradict each other.
    private mutating func takeExperiments(_ settings: Settings) {
        for name in settings.definitions.keys.sorted() {
            guard let gate = settings.definitions[name]?.gate, settings.isGiven(name) else { continue }
            let isOn = settings.isOn(name)
            guard let given = values[gate] else {
                values[gate] = isOn
                continue
            }
            settings.note(
                "cannot specify both flags: --\(name)=\(isOn) and --feature-gates=\(gate)=\(given) at the same time, "
                    + "please just use --feature-gates=\(gate)=\(given)")
        }
    }

    /// All features and the gates that switch a whole stage, in the order of their names, with etcd's names of the stages.
    public var all: [(name: String, stage: String, isOn: Bool)] {
        let features = Self.known.map { ($0.key, $0.value.stage, values[$0.key] ?? $0.value.isOn) }
        let gates = Self.stages.map { ($0.key, $0.value, values[$0.key] ?? false) }
        return (features + gates).sorted { $0.0 < $1.0 }.map { ($0.0, $0.1 == .alpha ? "ALPHA" : "BETA", $0.2) }
    }

    /// What was asked for; nil when nothing was.
    public subscript(name: String) -> Bool? { values[name] }

    /// Whether the feature is on: as it was asked for, or as etcd has it.
    public func isOn(_ name: String) -> Bool {
        guard let feature = Self.known[name] else { preconditionFailure("the feature \(name) is not known") }
        return values[name] ?? feature.isOn
    }
}
