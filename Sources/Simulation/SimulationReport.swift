/// What came of a run.
public struct SimulationReport: Sendable {
    public var seed: UInt64
    /// A number made of all that happened: equal for equal runs.
    public var digest: UInt64
    /// What was violated first, in words; nil when nothing was.
    public var violation: String?
    /// The last happenings before a violation.
    public var last: [String]
    /// What the register clients asked.
    public var operations = 0
    public var elections = 0
    /// Sets of keys whose history was too much for the linearizability checker.
    public var undecidedHistories = 0
    /// Committed entries.
    public var entries = 0
    /// How long it took after the end of all trouble until there was a leader, in milliseconds.
    public var electionMilliseconds: Int64 = 0
    /// Whether that was longer than two election timeouts.
    public var slowElection = false
    /// How often each kind of trouble happened.
    public var faults: [String: Int] = [:]
    /// How often each kind of thing happened.
    public var happenings: [String: Int] = [:]

    init(seed: UInt64, recorder: Recorder) {
        self.seed = seed
        digest = recorder.digest
        violation = recorder.violation
        last = recorder.violation == nil ? [] : recorder.last(60)
        happenings = recorder.countsByName
    }
}
