import RaftMessages

/// What a member is in its term.
public enum Role: String, Sendable {
    case follower = "StateFollower"
    case candidate = "StateCandidate"
    case leader = "StateLeader"
    case preCandidate = "StatePreCandidate"
}

/// Why a proposal was refused; the proposer may try again, elsewhere or later.
public enum ProposalRefusal: Equatable, Sendable {
    case noLeader
    case forwardingDisabled
    case removedFromConfiguration
    case leadershipTransferInProgress
    case uncommittedSizeLimit
    case malformedConfigurationChange
}

/// Why a message or request was not taken.
public enum StepError: Error, Equatable, CustomStringConvertible {
    case proposalDropped(ProposalRefusal)
    /// A message that only a member itself may make came from another.
    case localMessage
    /// An answer came from a member that is not in the configuration.
    case unknownPeer

    public var description: String {
        switch self {
        case .proposalDropped: "raft proposal dropped"
        case .localMessage: "raft: cannot step raft local message"
        case .unknownPeer: "raft: cannot step as peer not found"
        }
    }
}

/// What a leader keeps besides its followers' progress; empty at the start of every term.
struct Leadership {
    /// The member that leadership is being handed to, or 0.
    var transferee: UInt64 = 0
    /// A configuration change may be in the log up to this index; until it is applied no other is accepted.
    var pendingConfigurationIndex: UInt64 = 0
    /// An estimate, never too high, of the payload in the log's uncommitted tail.
    var uncommittedSize: UInt64 = 0
    var reads = PendingReads()
}

/// One member's state: term, vote, log, role, and the messages that follow from what it is told.
///
/// The behaviour is in extensions, by concept: ``RawNode`` is what owners use.
final class Replica {
    let id: UInt64
    let settings: Configuration
    var term: UInt64 = 0
    var vote: UInt64 = 0
    var log: Log
    var tracker: ProgressTracker
    var role = Role.follower
    /// The leader of the term, or 0 if none is known.
    var leader: UInt64 = 0
    var isLearner = false
    var leadership = Leadership()
    var readStates: [ReadState] = []
    /// Messages to other members that may be sent at once.
    var messages: [Message] = []
    /// Messages that promise something about this member's log or vote, to be sent when that is in storage.
    var messagesAfterAppend: [Message] = []
    /// Ticks since the leader was heard, or as a leader since the last quorum check.
    var electionElapsed = 0
    var heartbeatElapsed = 0
    /// The ticks without a leader after which this member campaigns, drawn anew at each change of role.
    var randomizedElectionTimeout = 0

    init(_ settings: Configuration, storage: any LogStorage) {
        self.settings = settings
        id = settings.id
        let minimum = settings.logLevel
        let sink = settings.log
        log = Log(storage: storage, maximumApplyingSize: settings.maximumCommittedSize) { level, line in
            if let sink, level >= minimum { sink(level, line()) }
        }
        tracker = ProgressTracker(
            maximumInflightMessages: settings.maximumInflightMessages,
            maximumInflightBytes: settings.maximumInflightBytes)
        let (hardState, confState) = storage.initialState()
        let last = log.last
        guard adopt(confState) else {
            preconditionFailure("the stored configuration \(confState) cannot be restored")
        }
        load(hardState)
        becomeFollower(term: term, leader: 0)
        note(
            .info,
            "newRaft \(id.hex) [peers: [\(tracker.configuration.voters.ids.map(\.hex).joined(separator: ","))], "
                + "term: \(term), commit: \(log.committed), applied: \(log.applied), lastindex: \(last.index), "
                + "lastterm: \(last.term)]")
    }

    /// Takes over the stored state and what the state machine holds.
    ///
    /// What a snapshot or the state machine holds was committed, even if the commit index, which is stored without a
    /// sync, says less after a crash.
    private func load(_ state: HardState) {
        let committed = max(state.commit, log.committed, settings.applied)
        precondition(
            committed <= log.lastIndex,
            "\(id.hex) state.commit \(state.commit), applied \(settings.applied) is out of range "
                + "[\(log.committed), \(log.lastIndex)]")
        log.loadCommitted(committed)
        term = state.term
        vote = state.vote
        if settings.applied > log.applied { log.apply(to: settings.applied, size: 0) }
    }

    var softState: SoftState { SoftState(leader: leader, role: role) }
    var hardState: HardState { HardState(term: term, vote: vote, commit: log.committed) }

    /// Makes a log line, if anyone reads lines of `level`.
    func note(_ level: LogLevel, _ line: @autoclosure () -> String) {
        if let sink = settings.log, level >= settings.logLevel { sink(level, line()) }
    }

    /// Queues `message`, with this member's id and term filled in.
    func send(_ message: consuming Message) {
        if message.from == 0 { message.from = id }
        switch message.type {
        case .vote, .voteResponse, .preVote, .preVoteResponse:
            precondition(message.term != 0, "term should be set when sending \(message.type.name)")
        case .propose, .readIndex:
            // These are passed on towards the leader, whatever its term.
            break
        default:
            precondition(message.term == 0, "term should not be set when sending \(message.type.name)")
            message.term = term
        }
        switch message.type {
        case .appendResponse, .voteResponse, .preVoteResponse:
            messagesAfterAppend.append(message)
        default:
            precondition(message.to != id, "message should not be self-addressed when sending \(message.type.name)")
            messages.append(message)
        }
    }
}

// MARK: - Roles

extension Replica {
    private func reset(term: UInt64) {
        if self.term != term {
            self.term = term
            vote = 0
        }
        leader = 0
        electionElapsed = 0
        heartbeatElapsed = 0
        let random = settings.randomNumber(settings.electionTicks)
        precondition(
            random >= 0 && random < settings.electionTicks, "the random number \(random) is out of its bound")
        randomizedElectionTimeout = settings.electionTicks + random
        tracker.resetVotes()
        tracker.resetProgress(next: log.lastIndex + 1, own: id)
        leadership = Leadership()
    }

    func becomeFollower(term: UInt64, leader: UInt64) {
        reset(term: term)
        self.leader = leader
        role = .follower
        note(.info, "\(id.hex) became follower at term \(self.term)")
    }

    func becomeCandidate() {
        precondition(role != .leader, "invalid transition [leader -> candidate]")
        reset(term: term + 1)
        vote = id
        role = .candidate
        note(.info, "\(id.hex) became candidate at term \(term)")
    }

    /// Starts a trial vote, which changes neither term nor vote.
    func becomePreCandidate() {
        precondition(role != .leader, "invalid transition [leader -> pre-candidate]")
        tracker.resetVotes()
        leader = 0
        role = .preCandidate
        note(.info, "\(id.hex) became pre-candidate at term \(term)")
    }

    func becomeLeader() {
        precondition(role != .follower, "invalid transition [follower -> leader]")
        reset(term: term)
        leader = id
        role = .leader
        tracker.update(id) {
            $0.becomeReplicate()
            $0.recentlyActive = true
        }
        // The log's tail may hold a configuration change. Assuming so is safe and saves a search.
        leadership.pendingConfigurationIndex = log.lastIndex
        let accepted = appendOwn([Entry()])
        precondition(accepted, "an empty entry is never refused for its size")
        note(.info, "\(id.hex) became leader at term \(term)")
    }
}

// MARK: - Time

extension Replica {
    func tick() {
        if role == .leader {
            tickLeader()
            return
        }
        electionElapsed += 1
        if isPromotable && electionElapsed >= randomizedElectionTimeout {
            electionElapsed = 0
            hup(settings.preVote ? .preElection : .election)
        }
    }

    private func tickLeader() {
        heartbeatElapsed += 1
        electionElapsed += 1
        if electionElapsed >= settings.electionTicks {
            electionElapsed = 0
            if settings.checkQuorum { checkQuorum() }
            // A transfer that takes longer has failed, and this leader goes on.
            if role == .leader { leadership.transferee = 0 }
        }
        guard role == .leader, heartbeatElapsed >= settings.heartbeatTicks else { return }
        heartbeatElapsed = 0
        broadcastHeartbeat()
    }

    func resign() {
        guard role == .leader else { return }
        note(.warning, "\(id.hex) stepped down to follower since its owner asked for it")
        becomeFollower(term: term, leader: 0)
    }

    func checkQuorum() {
        if !tracker.quorumIsActive {
            note(.warning, "\(id.hex) stepped down to follower since quorum is not active")
            becomeFollower(term: term, leader: 0)
        }
        tracker.markInactive(except: id)
    }
}
