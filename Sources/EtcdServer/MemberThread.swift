import Applier
import Backend
import Configuration
import EtcdAPI
import GRPC
import Lease
import Logging
import MVCC
import Member
import Membership
import Metrics
import PeerTransport
import RaftMessages
import WriteAheadLog

/// The thread that owns the member's core: everything that changes the member happens here, in turns.
///
/// A turn takes all that has come, lets the core go on, and hands out what follows: writes to the log's thread, commits to
/// the backend's, answers to the event loops, events to the watchers.
final class MemberThread: @unchecked Sendable {
    enum Event: Sendable {
        case proposals(Gateway.Proposals)
        case reads(Gateway.Reads)
        case keepAlives(Gateway, [Gateway.KeepAlive])
        case appended([Message])
        case committed(CommitJob, Snapshot?)
        case restored(RestoredState)
        case snapshotSaved(Snapshot)
        /// Raft's messages from other members.
        case messages(ReceivedMessages)
        /// A message to this member was lost.
        case unreachable(UInt64)
        /// The process of this member has ended.
        case gone(UInt64)
        case snapshotReported(to: UInt64, succeeded: Bool)
        /// Another member says that this one was removed from the cluster.
        case removedByPeers
        /// Something rare that needs the core.
        case perform(@Sendable (MemberThread) -> Void)
        case stop
    }

    /// What the thread needs to run.
    struct Parts {
        var core: MemberCore
        var log: LogThread
        var backend: BackendThread
        var watch: WatchThread
        var peers: PeerTransport
        var status: MemberStatus
        var leaders: LeaderRequirement
        var leases: LeaseForwarder
        var hashes: HashStore
        var metrics: MemberMetrics
        var slow: SlowRequests
        var settings: Settings
    }

    struct Settings: Sendable {
        var autoCompactor: AutoCompactor
        var compaction: CompactionSettings
        var advancesFirstElection: Bool
        var versions: VersionMonitor
        var logger: Logger
    }

    /// What is done after a commit of the backend.
    typealias CommitWaiter = @Sendable (MemberThread) -> Void

    private let mailbox = Mailbox<Event>()
    let heartbeatMilliseconds: Int64
    private let ready: @Sendable () -> Void
    /// Told when this member was removed from the cluster and is to stop.
    let removed: @Sendable () -> Void

    // Everything below belongs to the running thread.
    var membership = MembershipWaiters()
    var conditions = Conditions()
    var defragmentations = DefragmentationCalls()
    var storeV2 = StoreV2Waiters()
    var isRemoved = false
    var parts: Parts?
    var waiters: [UInt64: Waiter] = [:]
    var refusedForSpace = RefusedForSpace()
    var waitingReads: [UInt64: Gateway.Reads] = [:]
    var lastReadToken: UInt64 = 0
    var answers: [ObjectIdentifier: (Gateway, [Gateway.Answer])] = [:]
    var backlog: [Gateway.Proposals] = []
    var timers: DutyTimers
    var schedule: BackendSchedule<CommitWaiter>
    var publication: Publication
    /// When the turn began, in nanoseconds.
    var turnStart: Int64 = 0
    lazy var durations = RequestDurations(running.metrics.server)
    /// What the metrics were told last.
    var alarms: [Alarm] = []
    var droppedChanges = 0
    var firstElection = FirstElection(mayBeAdvanced: false, startedAt: 0)
    /// Called when this member, whose disk has failed, leads no more.
    var onHandOver: (@Sendable () -> Void)?
    var compaction: (target: Int64, startedAt: Int64)?

    /// - Parameters:
    ///   - ready: called once when the member serves: it has a leader and has published itself.
    ///   - removed: called once when this member was removed from the cluster and is to stop.
    init(
        _ configuration: MemberConfiguration, ready: @escaping @Sendable () -> Void,
        removed: @escaping @Sendable () -> Void
    ) {
        let now = Clock.milliseconds
        heartbeatMilliseconds = Int64(configuration.heartbeatMilliseconds)
        var intervals = DutyTimers.Intervals(heartbeat: heartbeatMilliseconds)
        if let pause = configuration.compaction.sleepMilliseconds { intervals.compaction = pause }
        timers = DutyTimers(intervals, now: now)
        schedule = BackendSchedule(BackendSchedule.Limits(configuration), now: now)
        publication = Publication(
            PublishedAttributes(name: configuration.name, clientURLs: configuration.advertiseClientURLs), now: now)
        self.ready = ready
        self.removed = removed
    }

    func send(_ event: Event) {
        mailbox.send(event)
    }

    /// Runs `body` on this thread, soon.
    func perform(_ body: @escaping @Sendable (MemberThread) -> Void) {
        mailbox.send(.perform(body))
    }

    /// Starts the thread.
    func start(_ parts: sending Parts) -> ServiceThread {
        self.parts = parts
        return ServiceThread("etcd-member") { [self] in run() }
    }

    // MARK: What closures on this thread use

    var core: MemberCore {
        guard let parts else { preconditionFailure("the member's thread runs before it was started") }
        return parts.core
    }

    var logger: Logger { running.settings.logger }

    var running: Parts {
        guard let parts else { preconditionFailure("the member's thread runs before it was started") }
        return parts
    }

    /// This member's id as text.
    var localID: String { Identity.text(running.status.memberID) }

    /// A header at the store's revision.
    func header() -> ResponseHeader {
        ResponseHeader(
            clusterID: running.status.clusterID, memberID: running.status.memberID,
            revision: core.applier.store.currentRevision, raftTerm: core.term)
    }

    // MARK: The turns

    private func run() {
        let now = Clock.milliseconds
        firstElection = FirstElection(mayBeAdvanced: running.settings.advancesFirstElection, startedAt: now)
        core.applyObserver = ApplyObservation(running.metrics.server, running.slow)
        core.peerActiveSince = { [peers = running.peers] in peers.activeSince($0) }
        connectToMembers()
        noteKnownPeers()
        finishTurn(core.process(now: now), now: now)
        // The only voter need not wait out an election timeout to find that nobody else leads.
        if core.confState.voters == [core.settings.memberID] { core.campaign() }
        core.applier.store.publish()
        var events: [Event] = []
        while true {
            mailbox.receive(into: &events, until: deadline())
            turnStart = Clock.nanoseconds
            let now = turnStart / 1_000_000
            var goesOn = true
            for event in events where !handle(event, now: now) { goesOn = false }
            runTimers(now: now)
            stopIfRemoved(now: now)
            publication.proposeIfDue(core, now: now)
            running.settings.versions.look(self, now: now)
            takeBacklog(now: now)
            if !goesOn { break }
            finishTurn(core.process(now: now), now: now)
        }
        stop()
    }

    private func deadline() -> Int64 {
        var next = min(
            timers.deadline(compacts: core.applier.store.compactionPending), schedule.deadline(of: core))
        if let time = membership.stopsAt { next = min(next, time) }
        return next
    }

    private func handle(_ event: Event, now: Int64) -> Bool {
        switch event {
        case .proposals(let proposals): backlog.append(proposals)
        case .reads(let reads):
            waitingReads[askForRead()] = reads
        case .keepAlives(let gateway, let keepAlives): renew(keepAlives, gateway)
        case .appended(let messages):
            schedule.noteWritten(messages)
            takeWritten()
        case .committed(let job, let snapshot): finishCommit(job, snapshot)
        case .restored(let state): finishRestoration(state)
        case .snapshotSaved(let snapshot):
            schedule.snapshotSaved()
            core.snapshotSaved(snapshot)
            logger.info(
                "saved snapshot", metadata: ["snapshot-index": .stringConvertible(snapshot.metadata.index)])
        case .messages(let received):
            if let sender = received.messages.first?.from { core.heard(from: sender, now: now) }
            countReceived(received.messages)
            for message in received.messages { core.step(message) }
            received.taken()
        case .unreachable(let peer):
            countLost(to: peer)
            core.reportUnreachable(peer)
        case .gone(let peer): noteEnd(of: peer, now: now)
        case .snapshotReported(let peer, let succeeded): core.reportSnapshot(to: peer, succeeded: succeeded)
        case .removedByPeers: stopAsRemoved()
        case .perform(let body): body(self)
        case .stop: return false
        }
        return true
    }

    // MARK: What a turn hands out

    private func finishTurn(_ output: MemberCore.Output, now: Int64) {
        // Others first: their disks work while this member's does.
        if !output.messages.isEmpty { running.peers.send(output.messages) }
        countSent(output.messages)
        sendSnapshots(output.snapshotsToSend)
        if let refusal = output.refusal { FatalError.stop(logger, "the member cannot follow its cluster", refusal) }
        for message in output.appends { running.log.send(.append(message)) }
        if output.restored { followRestoration() }
        logMembership(output.membership)
        followMembership(output.membership)
        finishMembership(output, now: now)
        noteDisk(output.diskNotices)
        for (view, revision) in output.compactedViews { running.hashes.noteCompaction(view, at: revision) }
        updateStatus(output)
        finishProposals(output)
        notifyStoreV2()
        for id in output.patientRequests { waiters[id]?.deadline = .max }
        answerRefusedForSpace(now: now)
        finishReads(output)
        finishConditions(output)
        if !output.commits.isEmpty {
            running.watch.post(output.commits, view: core.applier.store.publisher.latest())
        }
        deliverAnswers()
        if output.wantsCommit { schedule.want() }
        commitIfDue(now: now)
        // What follows is for the next turn, which nothing else might begin.
        if running.settings.versions.note(core) { perform { _ in } }
        if publication.becomesReady(core) { ready() }
    }

    private func updateStatus(_ output: MemberCore.Output) {
        let status = running.status
        status.term.store(core.term, ordering: .relaxed)
        status.clusterVersion = core.clusterVersion
        status.appliedIndex.store(core.appliedIndex, ordering: .releasing)
        status.committedIndex.store(core.committedIndex, ordering: .relaxed)
        status.isLearner.store(
            core.applier.cluster.members[status.memberID]?.isLearner ?? false, ordering: .relaxed)
        status.pendingProposals.store(waiters.count, ordering: .relaxed)
        status.slowReadRounds.store(core.slowReadRounds, ordering: .relaxed)
        status.failedReadRounds.store(core.failedReadRounds, ordering: .relaxed)
        status.isOutOfSpace.store(core.applier.isOutOfSpace, ordering: .relaxed)
        status.isCorrupt.store(core.applier.isCorrupt, ordering: .relaxed)
        noteApplied(output)
        guard output.leaderChanged else { return }
        let leader = core.leader
        if status.leader.exchange(leader, ordering: .relaxed) != leader && leader != 0 {
            status.leaderChanges.add(1, ordering: .relaxed)
            logger.info(
                "elected leader",
                metadata: [
                    "leader": .string(Identity.text(leader)), "term": .stringConvertible(core.term),
                    "local-member-id": .string(Identity.text(status.memberID)),
                ])
        }
    }

    // MARK: The end

    /// Waits for the commit that is under way, so that whoever has the backend next may commit.
    private func finishRunningCommit() {
        var events: [Event] = []
        while schedule.isCommitting {
            mailbox.receive(into: &events, until: nil)
            for case .committed(let job, _) in events { finishCommit(job, nil) }
        }
    }

    private func stop() {
        finishRunningCommit()
        for batch in backlog {
            for proposal in batch.proposals {
                answer(
                    Waiter(
                        gateway: batch.gateway, kind: proposal.kind, call: proposal.call, then: proposal.then,
                        bytes: proposal.entry.count, deadline: 0, arrival: 0, proposed: 0),
                    .failure(.stopped))
            }
        }
        backlog.removeAll()
        for waiter in refusedForSpace.takeAll() { answer(waiter, .failure(.noSpace)) }
        for waiter in waiters.values { answer(waiter, .failure(.stopped)) }
        waiters.removeAll()
        for reads in waitingReads.values { reads.gateway.deliver(reads, .failure(.stopped)) }
        waitingReads.removeAll()
        abandonConditions()
        endMembership()
        endDefragmentations()
        endStoreV2()
        deliverAnswers()
    }
}
