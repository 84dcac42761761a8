/// How a member answers linearizable reads.
public enum ReadIndexMode: Sendable {
    /// A round of heartbeats to a quorum confirms the leader before it answers.
    case safe
    /// The leader answers at once, trusting that no other is elected within its election timeout. Clocks that drift or
    /// pause break that trust, so the safe mode is the default.
    case leaseBased
}

/// How much a log line matters.
public enum LogLevel: Int, Sendable, Comparable {
    case debug = 0
    case info = 1
    case warning = 2
    case error = 3

    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// Where log lines go.
public typealias LogSink = (LogLevel, String) -> Void

/// What is wrong with a ``Configuration``.
public enum ConfigurationError: Error, Equatable, CustomStringConvertible {
    case noID
    case reservedID
    case heartbeatTicksNotPositive
    case electionTicksTooFew
    case inflightMessagesNotPositive
    case inflightBytesBelowMessageSize
    case leaseWithoutCheckQuorum

    public var description: String {
        switch self {
        case .noID: "cannot use none as id"
        case .reservedID: "cannot use local target as id"
        case .heartbeatTicksNotPositive: "heartbeat tick must be greater than 0"
        case .electionTicksTooFew: "election tick must be greater than heartbeat tick"
        case .inflightMessagesNotPositive: "max inflight messages must be greater than 0"
        case .inflightBytesBelowMessageSize: "max inflight bytes must be >= max message size"
        case .leaseWithoutCheckQuorum: "check quorum must be enabled when reads are lease-based"
        }
    }
}

/// The settings of one member.
///
/// Sizes are in bytes; times are in ticks, whose length the owner of the ``RawNode`` chooses.
public struct Configuration {
    /// The member's id; neither zero nor one of ``LocalThread``.
    public var id: UInt64
    /// A follower that hears no leader for this many ticks, and up to as many more, starts an election.
    public var electionTicks: Int
    /// A leader sends heartbeats at this interval.
    public var heartbeatTicks: Int
    /// The last entry that the state machine already holds at a restart; entries up to it are not handed out again.
    public var applied: UInt64
    /// Whether storage work is asked for and acknowledged by messages to the local threads, not by
    /// ``RawNode/advance()``.
    public var asynchronousStorageWrites: Bool
    /// The most bytes of entries in one append message; zero means one entry a message.
    public var maximumMessageSize: UInt64
    /// The most bytes of committed entries handed out and not yet applied.
    public var maximumCommittedSize: UInt64
    /// The most bytes of proposals that a leader holds uncommitted before it refuses more.
    public var maximumUncommittedSize: UInt64
    /// The most append messages under way to one member.
    public var maximumInflightMessages: Int
    /// The most bytes under way to one member.
    public var maximumInflightBytes: UInt64
    /// Whether a leader steps down that has not heard a quorum for an election timeout, and members refuse to unseat a
    /// leader that they hear (Raft thesis, section 6.2 and 4.2.3).
    public var checkQuorum: Bool
    /// Whether an election is preceded by a trial vote that leaves terms alone (Raft thesis, section 9.6).
    public var preVote: Bool
    public var readIndexMode: ReadIndexMode
    /// Whether followers refuse proposals instead of forwarding them to the leader.
    public var disableProposalForwarding: Bool
    /// Whether the checks of a proposed configuration change against the current configuration are skipped.
    public var disableConfigurationChangeValidation: Bool
    /// Whether a leader steps down once it is no longer a voter.
    public var stepDownOnRemoval: Bool
    /// The most linearizable reads that a leader holds unanswered; further ones are dropped and must be retried.
    public var maximumPendingReads: Int
    /// Gives a number in `0..<bound`, by which election timeouts are spread.
    public var randomNumber: (_ bound: Int) -> Int
    /// Lines below this level are not made.
    public var logLevel: LogLevel
    public var log: LogSink?

    /// Enough for the reads of one round trip of every client; each costs some hundred bytes.
    public static let defaultMaximumPendingReads = 65_536

    /// Settings with etcd's server defaults, for a member `id`.
    public init(
        id: UInt64, electionTicks: Int = 10, heartbeatTicks: Int = 1, randomNumber: @escaping (_ bound: Int) -> Int
    ) {
        self.id = id
        self.electionTicks = electionTicks
        self.heartbeatTicks = heartbeatTicks
        self.randomNumber = randomNumber
        applied = 0
        asynchronousStorageWrites = false
        maximumMessageSize = 512 * 1024
        maximumCommittedSize = 64 * 1024 * 1024
        maximumUncommittedSize = .max
        maximumInflightMessages = 512
        maximumInflightBytes = .max
        checkQuorum = true
        preVote = true
        readIndexMode = .safe
        disableProposalForwarding = false
        disableConfigurationChangeValidation = false
        stepDownOnRemoval = false
        maximumPendingReads = Configuration.defaultMaximumPendingReads
        logLevel = .info
        log = nil
    }

    func validate() throws(ConfigurationError) {
        guard id != 0 else { throw .noID }
        guard !LocalThread.isLocal(id) else { throw .reservedID }
        guard heartbeatTicks > 0 else { throw .heartbeatTicksNotPositive }
        guard electionTicks > heartbeatTicks else { throw .electionTicksTooFew }
        guard maximumInflightMessages > 0 else { throw .inflightMessagesNotPositive }
        guard maximumInflightBytes >= maximumMessageSize else { throw .inflightBytesBelowMessageSize }
        guard readIndexMode == .safe || checkQuorum else { throw .leaseWithoutCheckQuorum }
    }
}
