import Applier
import EtcdAPI
import Lease
import MVCC
import Membership
import Raft
import RaftMessages

/// One member: Raft, the state machine behind it, and what ties them together.
///
/// Synchronous and owned by one thread. The owner brings proposals, reads, messages, ticks and the news that something is
/// on disk, calls ``process(now:)``, and carries out what that returns. Nothing here waits, so a whole cluster of cores
/// can run in one thread.
public final class MemberCore {
    /// What the owner has to do, in the order of the fields.
    public struct Output {
        /// Raft's orders to write, in order. Each is handed back by ``MemberCore/appended(_:)`` when it is durable.
        public var appends: [Message] = []
        /// For other members; these need not wait for the writes.
        public var messages: [Message] = []
        /// Snapshots for other members. The backend's last commit is the state that they speak of, so the owner takes
        /// ``Backend/snapshot()`` to go with them before it begins another commit, and tells the fate of each by
        /// ``MemberCore/reportSnapshot(to:succeeded:)``.
        public var snapshotsToSend: [Message] = []
        /// Results of requests, by the ids that they were proposed under.
        public var outcomes: [Applier.Outcome] = []
        /// Requests that are applied and wait for long work, however long it takes.
        public var patientRequests: [UInt64] = []
        /// Reads that may be answered from the published view.
        public var readyReads: [UInt64] = []
        /// Reads that failed, and why.
        public var failedReads: [(token: UInt64, error: EtcdError)] = []
        /// What the watchers must hear of.
        public var commits: [Commit] = []
        /// What was applied, in numbers.
        public var counts = OperationCounts()
        /// Changes of the list of members that were applied.
        public var membership: [Cluster.Effect] = []
        /// What became of changes of the members, by the ids that they were proposed under.
        public var changes: [MembershipChangeResult] = []
        /// Handovers of the leadership that ended, and how.
        public var handovers: [(token: UInt64, error: EtcdError?)] = []
        /// Set when this member was removed from the cluster, and stops.
        public var removedSelf = false
        /// Set when this member won or lost the leadership, or follows another leader than before.
        public var leaderChanged = false
        /// Set when a client or a snapshot for another member waits for the backend to be committed.
        public var wantsCommit = false
        /// Set when a leader's snapshot has replaced the state machine. The published view shows it; ``membership`` says
        /// how the list of members differs from the one before.
        public var restored = false
        /// The store before each compaction, to be hashed at the revision of the compaction; see ``Settings``.
        public var compactedViews: [(view: StoreView, revision: Int64)] = []
        /// What became of the log's disk.
        public var diskNotices: [DiskNotice] = []
        /// Why this member cannot go on, when an entry says something that it must not follow.
        public var refusal: StartError?
    }

    /// What a member is, fixed for its life.
    public struct Settings: Sendable {
        public var memberID: UInt64
        public var electionMilliseconds: Int64
        /// The election timeout in heartbeat intervals.
        public var electionTicks: Int
        /// How long a request may wait for the cluster: five seconds and two elections, as in etcd.
        public var requestTimeout: Int64 { 5_000 + 2 * electionMilliseconds }
        /// The size of the backend file at which writes are refused; negative for none.
        public var quotaBytes: Int64
        /// Whether changes of the members that would put the quorum at risk are refused.
        public var strictReconfigurationCheck = true
        /// Whether the remaining TTL of long leases is recorded in the log; nil leaves it to the cluster's version.
        public var leaseCheckpoints: Bool?
        /// Whether ``Output/compactedViews`` is given, for members to compare compactions.
        public var keepsCompactedViews = false
        /// The learners that the cluster may have; the same on all members.
        public var maximumLearners = Cluster.defaultMaximumLearners
        /// Entries kept in memory behind a snapshot, so that a follower which is a little late gets entries and not the
        /// whole database.
        public var catchUpEntries: UInt64

        public init(
            memberID: UInt64, electionMilliseconds: Int64, electionTicks: Int, quotaBytes: Int64,
            catchUpEntries: UInt64 = 5_000
        ) {
            self.memberID = memberID
            self.electionTicks = electionTicks
            self.electionMilliseconds = electionMilliseconds
            self.quotaBytes = quotaBytes
            self.catchUpEntries = catchUpEntries
        }
    }

    /// A request that waits for a leader.
    private struct Held {
        var id: UInt64
        var data: [UInt8]
        var deadline: Int64
    }

    /// The state machine; another one takes its place when a leader's snapshot is installed.
    public internal(set) var applier: Applier {
        didSet { prepareApplier() }
    }
    /// Whether requests that other members took are answered too, which nobody here waits for; the simulator compares them.
    package var answersOthers = false {
        didSet { prepareApplier() }
    }
    /// Who is told how long each entry takes to apply.
    public var applyObserver: (any ApplyObserver)? {
        didSet { prepareApplier() }
    }
    public let settings: Settings
    /// Opens the state machine that a leader's snapshot brings.
    public let stateMachine: StateMachineFiles
    /// For the simulator too, which looks on from outside.
    package let raft: RawNode
    package let log: MemoryLogStorage
    public internal(set) var appliedIndex: UInt64
    /// The index of the newest snapshot that was begun here or installed, or 0.
    public internal(set) var snapshotIndex: UInt64
    /// Bytes of the entries applied since the last snapshot was made; they are in memory until one is saved.
    public internal(set) var bytesSinceSnapshot = 0
    public internal(set) var confState: ConfState
    var requestIDs: RequestIDs
    /// Snapshots that Raft has asked to be sent.
    var transfers = SnapshotTransfers()
    private var reads: ReadQueue
    private var held: [Held] = []
    var physicalCompactions: [PhysicalCompaction] = []
    var quota: SpaceQuota
    var lastAppliedTerm: UInt64 = 0
    /// The leader that reads are asked of, and its term.
    private var followed: (leader: UInt64, term: UInt64) = (0, 0)
    /// When this member last became the leader.
    var electedAt: Int64?
    /// When a message of the leader came last.
    var leaderHeardAt: Int64 = 0
    /// Since when a peer has been connected without a break, in milliseconds as `now`; nil when it is not.
    public var peerActiveSince: (UInt64) -> Int64? = { _ in .min }
    var membershipChanges = MembershipChangeQueue()
    var forwardedChanges = ForwardedChanges()
    /// The index of the last empty entry that was applied.
    var lastEmptyIndex: UInt64 = 0
    var handovers: [LeadershipHandover] = []
    var watchdog: DiskWatchdog
    var diskState = DiskWatchdog.State.answering
    /// Whether this leader has asked another to lead since the disk fell silent.
    var hasHandedOver = false
    var output = Output()
    /// The longer replies of this turn.
    private var replyBytes = 0
    /// What they may take.
    var replyBytesLimit = MemberCore.replyBytesPerTurn

    struct PhysicalCompaction {
        var requestID: UInt64
        var revision: Int64
        var message: [UInt8]
        var stage = Stage.compacting

        enum Stage {
            case compacting
            case compacted
            case committing
        }
    }

    /// A member whose Raft state is `raft` over `log`, and whose state machine, in the files of `stateMachine`, has
    /// applied up to the snapshot at `snapshot`.
    public init(
        settings: Settings, raft: RawNode, log: MemoryLogStorage, applier: Applier, stateMachine: StateMachineFiles,
        snapshot: SnapshotMetadata, requestIDs: RequestIDs
    ) {
        self.settings = settings
        quota = SpaceQuota(bytes: settings.quotaBytes)
        self.raft = raft
        self.log = log
        self.applier = applier
        self.stateMachine = stateMachine
        appliedIndex = snapshot.index
        snapshotIndex = snapshot.index
        confState = snapshot.confState
        self.requestIDs = requestIDs
        var seeds = requestIDs
        reads = ReadQueue(seed: seeds.next())
        watchdog = DiskWatchdog(electionMilliseconds: settings.electionMilliseconds)
        prepareApplier()
    }

    private func prepareApplier() {
        applier.observer = applyObserver
        applier.leavesOthersUnanswered = !answersOthers
    }

    // MARK: What comes in

    /// A new id for a request of this member.
    public func nextRequestID() -> UInt64 { requestIDs.next() }

    /// Proposes requests, encoded as log entries; without a leader they wait for one.
    public func propose(_ requests: [(id: UInt64, data: [UInt8])], now: Int64) {
        guard !requests.isEmpty else { return }
        if held.isEmpty && tryPropose(requests.map(\.data)) { return }
        let deadline = now + settings.requestTimeout
        held += requests.map { Held(id: $0.id, data: $0.data, deadline: deadline) }
    }

    /// Proposes requests now or not at all.
    func tryPropose(_ data: [[UInt8]]) -> Bool {
        guard leader != 0 else { return false }
        do {
            try raft.propose(data)
            return true
        } catch {
            return false
        }
    }

    /// Asks for a linearizable read; `token` comes back when the store has all that was committed before the call.
    public func read(_ token: UInt64) {
        reads.add(token)
    }

    /// One heartbeat interval has passed.
    public func tick() {
        // A member that cannot write its vote does not stand for election.
        if isLeader || !diskIsSilent { raft.tick() }
    }

    /// Shortens the wait for a leader to two heartbeat intervals at the least: what a member that has just started does
    /// when others are there and no leader is (etcd's initial election tick advance).
    public func advanceFirstElection() {
        guard leader == 0 else { return }
        for _ in 0..<max(0, settings.electionTicks - 2) { raft.tick() }
    }

    /// Starts an election now: what the only voter of a cluster need not wait for.
    public func campaign() {
        raft.campaign()
    }

    /// A message from another member arrived.
    public func step(_ message: Message) {
        if message.type == .timeoutNow && diskIsSilent { return }
        if message.type == .propose && keepsForLater(message) { return }
        // A message that does not fit the state is dropped, as a network may drop it.
        guard (try? raft.step(message)) != nil else { return }
    }

    /// What `message` ordered to append is on disk.
    ///
    /// A snapshot in it is installed: the state machine is replaced by the one that the leader sent, and no commit of the
    /// backend may be under way. `restored` is that state machine when another thread has opened it already
    /// (``StateMachineFiles/restore(_:publisher:)``). After an error the member must stop.
    public func appended(
        _ message: Message, restored: RestoredState? = nil
    ) throws(SnapshotInstallationError) {
        watchdog.answered()
        if let snapshot = message.snapshot, !snapshot.isEmpty { try install(snapshot, restored) }
        if !message.entries.isEmpty { log.append(message.entries) }
        if message.term != 0 {
            log.setHardState(HardState(term: message.term, vote: message.vote, commit: message.commit))
        }
        route(message.responses)
    }

    /// A commit of all that has been applied begins.
    public func backendCommitBegins() {
        for index in physicalCompactions.indices where physicalCompactions[index].stage == .compacted {
            physicalCompactions[index].stage = .committing
        }
        mergeSnapshots()
    }

    /// The commit that began last has finished.
    public func backendCommitted() {
        physicalCompactions.removeAll { compaction in
            guard compaction.stage == .committing else { return false }
            output.outcomes.append(
                Applier.Outcome(requestID: compaction.requestID, reply: .message(compaction.message)))
            return true
        }
        handOutSnapshots()
    }

    // MARK: What is known

    /// The leader's id, or 0.
    public var leader: UInt64 { raft.basicStatus.softState.leader }
    public var isLeader: Bool { leader == settings.memberID }
    public var term: UInt64 { raft.basicStatus.hardState.term }
    /// Whether an entry of the current term has been applied, so that the state is at least that of its beginning.
    public var hasAppliedInTerm: Bool { lastAppliedTerm == term }
    public var committedIndex: UInt64 { raft.basicStatus.hardState.commit }
    /// Reads that the leader confirmed late or not at all, by rounds.
    public var slowReadRounds: UInt64 { reads.slowRounds }
    /// Rounds of reads that failed since the leader was lost.
    public var failedReadRounds: UInt64 { reads.failedRounds }

    /// Whether requests for the log are taken, by how far this member is behind.
    public var admission: Admission { Admission(committed: committedIndex, applied: appliedIndex) }

    // MARK: What follows

    /// Lets everything that is due happen.
    public func process(now: Int64) -> Output {
        releaseHeld(now: now)
        superviseDisk(now: now)
        applier.keepsCompactedViews = settings.keepsCompactedViews
        repeat {
            noteLeader(now: now)
            askForReads(now: now)
            proposeMembershipChange(now: now)
            takeReady(now: now)
        } while raft.hasReady
        applier.raftTerm = term
        if applier.isOutOfSpace { quota.raised() }
        output.commits = applier.takeCommits()
        output.counts = applier.takeCounts()
        noteSpaceTaken(now: now)
        output.compactedViews = applier.takeCompactedViews()
        publishView()
        output.readyReads += reads.takeReady(applied: appliedIndex)
        for token in reads.takeExpired(now: now) { output.failedReads.append((token, .timeout)) }
        for token in reads.takeUnapplied(now: now) { output.failedReads.append((token, .timeoutWaitAppliedIndex)) }
        finishPhysicalCompactions()
        expireMembershipChanges(now: now)
        finishHandovers(now: now)
        prepareSnapshots(now: now)
        replyBytes = 0
        defer { output = Output() }
        return output
    }

    /// Shows other threads what was applied, before anything that follows from it leaves.
    private func publishView() {
        let store = applier.store
        let latest = store.publisher.latest()
        if latest.currentRevision != store.currentRevision || latest.compactedRevision != store.compactedRevision {
            store.publish()
        }
    }

    private func releaseHeld(now: Int64) {
        guard !held.isEmpty else { return }
        if tryPropose(held.map(\.data)) {
            held.removeAll()
            return
        }
        held.removeAll { request in
            guard now >= request.deadline else { return false }
            let error = timeoutError(ofRequestFrom: request.deadline - settings.requestTimeout)
            output.outcomes.append(Applier.Outcome(requestID: request.id, reply: .failure(error)))
            return true
        }
    }

    private func askForReads(now: Int64) {
        reads.noteTime(now, timeout: settings.requestTimeout)
        guard !reads.isEmpty, leader != 0 else { return }
        for context in reads.contextsToAsk(now: now) {
            raft.readIndex((0..<8).map { UInt8(truncatingIfNeeded: context >> (56 - 8 * $0)) })
        }
    }

    private func takeReady(now: Int64) {
        guard raft.hasReady else { return }
        let ready = raft.ready()
        applier.raftTerm = term
        if ready.softState != nil { output.leaderChanged = true }
        if !isLeader && applier.lessor.isPrimary { applier.lessor.demote() }
        for state in ready.readStates {
            reads.confirm(state.context.reduce(0) { $0 << 8 | UInt64($1) }, index: state.index)
        }
        var votes: [Message] = []
        for message in ready.messages {
            switch message.to {
            case LocalThread.append:
                watchdog.ordered(1)
                var order = message
                // A member that is elected by others before its own term is on the disk forgets, after a crash, that it
                // led, and can be elected in the same term again, with other entries in the places of those it had sent.
                order.responses += votes
                votes = []
                output.appends.append(order)
            case LocalThread.apply:
                applier.beginObserving()
                for entry in message.entries { apply(entry, now: now) }
                route(message.responses)
            default:
                if message.type == .vote { votes.append(message) } else { send(message) }
            }
        }
        for message in votes { send(message) }
    }

    /// What was asked of a leader that is lost gets no answer from another.
    private func noteLeader(now: Int64) {
        let current = (leader: leader, term: term)
        guard followed != current else { return }
        followed = current
        if isLeader { electedAt = now }
        membershipChanges.noteLeaderLost()
        for token in reads.takeAsked() { output.failedReads.append((token, .leaderChanged)) }
    }

    private func send(_ message: Message) {
        if message.type == .snapshot { hold(message) } else { output.messages.append(message) }
    }

    /// Messages that wait for storage go to this member itself or on to others.
    private func route(_ messages: [Message]) {
        for message in messages {
            if message.to == settings.memberID { step(message) } else { send(message) }
        }
    }

    private func apply(_ entry: Entry, now: Int64) {
        precondition(entry.index == appliedIndex + 1, "Raft handed out an entry out of order")
        let isNew = entry.index > applier.backend.consistentIndex
        switch entry.type {
        case .normal:
            if entry.data.isEmpty {
                lastEmptyIndex = entry.index
                if entry.term == term { beginTerm(now: now) }
            } else if !membershipChanges.isEmpty {
                noteEntry(entry, now: now)
            }
            let version = clusterVersion
            if let outcome = applier.apply(entry, now: now) { finish(outcome) }
            if clusterVersion != version { clusterVersionChanged() }
        case .configurationChange: applyConfigurationChange(entry)
        case .configurationChangeV2: applyConfigurationChangeV2(entry)
        }
        if entry.type != .normal {
            if isNew { applier.save(confState) }
            applier.beginObserving()
        }
        appliedIndex = entry.index
        bytesSinceSnapshot += entry.data.count
        lastAppliedTerm = entry.term
    }

    /// The first entry of the term is applied.
    private func beginTerm(now: Int64) {
        if isLeader {
            // From here on this member counts the leases down.
            applier.lessor.promote(extend: settings.electionMilliseconds, now: now)
        } else {
            // A leader of etcd 3.4 has dropped what it was asked before this.
            reads.leaderCommitted()
        }
    }

    private func clusterVersionChanged() {
        if let refusal = StartError(unlessServed: clusterVersion) { output.refusal = refusal }
        // A database that etcd 3.4 made lacks it.
        applier.save(confState)
    }

    /// Replies up to this length are not counted; there are at most so many of them as there are waiting requests.
    private static let smallReply = 16 << 10
    /// The memory that the longer replies of one turn may take together, or one that is alone. A request of a few bytes can
    /// ask for megabytes, and it is not known how many before it is applied.
    private static let replyBytesPerTurn = 256 << 20

    /// What becomes of a reply, given what those before it in this turn have left.
    private func bounded(_ reply: Applier.Reply) -> Applier.Reply {
        guard case .message(let bytes) = reply, bytes.count > Self.smallReply else { return reply }
        guard replyBytes == 0 || replyBytes + bytes.count <= replyBytesLimit else {
            return .failure(.answerTooLarge)
        }
        replyBytes += bytes.count
        return reply
    }

    private func finish(_ outcome: Applier.Outcome) {
        if case .whenCompacted(let revision, let message) = outcome.reply {
            physicalCompactions.append(
                PhysicalCompaction(requestID: outcome.requestID, revision: revision, message: message))
            output.patientRequests.append(outcome.requestID)
        } else {
            output.outcomes.append(Applier.Outcome(requestID: outcome.requestID, reply: bounded(outcome.reply)))
        }
    }

    private func finishPhysicalCompactions() {
        for index in physicalCompactions.indices
        where physicalCompactions[index].stage == .compacting
            && physicalCompactions[index].revision <= applier.store.finishedCompaction
        {
            physicalCompactions[index].stage = .compacted
            output.wantsCommit = true
        }
    }
}
