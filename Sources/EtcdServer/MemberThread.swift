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
        case messages([Message])
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
        var heartbeatMilliseconds: Int64
        var batchMilliseconds: Int64
        var batchLimit: Int
        var snapshotCount: UInt64
        var autoCompactor: AutoCompactor
        var compaction: CompactionSettings
        var published: PublishedAttributes
        var advancesFirstElection: Bool
        var versions: VersionMonitor
        var logger: Logger
    }

    /// A call that waits for its log entry to be applied.
    struct Waiter {
        var gateway: Gateway
        var call: UnaryCall
        var then: Gateway.Reply?
        var span: CallSpan?
        var bytes: Int
        var deadline: Int64
        /// When it came and when it was proposed, in nanoseconds.
        var arrival: Int64
        var proposed: Int64
    }

    /// The backend's pending writes may grow to this many bytes before proposals wait for a commit to finish.
    private static let uncommittedLimit = 256 << 20
    /// Leases that have run out are looked for this often, in milliseconds.
    private static let leaseInterval: Int64 = 500
    /// Old files are removed this often, in milliseconds.
    private static let purgeInterval: Int64 = 30_000
    /// How long after the start the first election may be brought forward, in milliseconds; etcd's time for a connection.
    private static let firstElectionWait: Int64 = 5_000
    /// The least time between two steps of a compaction, so that requests go in between.
    private static let compactionPause: Int64 = 1
    /// The changes that one step drops when nobody says how many: well under a millisecond of this thread.
    private static let compactionStep = 250

    private let mailbox = Mailbox<Event>()
    private let ready: @Sendable () -> Void
    /// Told when this member was removed from the cluster and is to stop.
    let removed: @Sendable () -> Void

    // Everything below belongs to the running thread.
    var membership = MembershipWaiters()
    var conditions = Conditions()
    var defragmentations = DefragmentationCalls()
    var storeV2 = StoreV2Waiters()
    var isRemoved = false
    private var parts: Parts?
    private var waiters: [UInt64: Waiter] = [:]
    var refusedForSpace = RefusedForSpace()
    private var waitingReads: [UInt64: Gateway.Reads] = [:]
    private var lastReadToken: UInt64 = 0
    private var answers: [ObjectIdentifier: (Gateway, [Gateway.Answer])] = [:]
    private var backlog: [Gateway.Proposals] = []
    private var timers = Timers()
    /// When the turn began, in nanoseconds.
    private var turnStart: Int64 = 0
    /// What the metrics were told last.
    var alarms: [Alarm] = []
    var droppedChanges = 0
    private var afterCommit: [@Sendable (MemberThread) -> Void] = []
    private var afterRunningCommit: [@Sendable (MemberThread) -> Void] = []
    private var isCommitting = false
    private var wantsCommit = false
    private var isSnapshotting = false
    /// What the log has written and the core was not told of: the first holds a leader's snapshot that is being opened.
    private var written: [Message] = []
    private var isRestoring = false
    private var isReady = false
    private var startedAt: Int64 = 0
    private var leaderHeardAt: Int64 = 0
    private var mayAdvanceElection = false
    /// Called when this member, whose disk has failed, leads no more.
    var onHandOver: (@Sendable () -> Void)?
    private var compaction: (target: Int64, startedAt: Int64)?

    private struct Timers {
        var tick: Int64 = 0
        var commit: Int64 = 0
        var lease: Int64 = 0
        var purge: Int64 = 0
        var publish: Int64 = 0
        var compaction: Int64 = 0
    }

    /// - Parameters:
    ///   - ready: called once when the member serves: it has a leader and has published itself.
    ///   - removed: called once when this member was removed from the cluster and is to stop.
    init(ready: @escaping @Sendable () -> Void, removed: @escaping @Sendable () -> Void) {
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

    /// Runs `body` on this thread when everything applied by now is committed in the backend.
    func afterNextCommit(_ body: @escaping @Sendable (MemberThread) -> Void) {
        afterCommit.append(body)
        wantsCommit = true
    }

    // MARK: The turns

    private func run() {
        let now = Clock.milliseconds
        timers = Timers(
            tick: now, commit: now, lease: now, purge: now + Self.purgeInterval, publish: now,
            compaction: now)
        startedAt = now
        mayAdvanceElection = running.settings.advancesFirstElection
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
            publishIfNeeded(now: now)
            running.settings.versions.look(self, now: now)
            takeBacklog(now: now)
            if !goesOn { break }
            finishTurn(core.process(now: now), now: now)
        }
        stop()
    }

    private func deadline() -> Int64 {
        var next = min(timers.tick, timers.lease, timers.purge)
        if core.applier.backend.pendingOperations > 0 && !isCommitting && !isRestoring {
            next = min(next, timers.commit)
        }
        if core.applier.store.compactionPending { next = min(next, timers.compaction) }
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
            written += messages
            takeWritten()
        case .committed(let job, let snapshot): finishCommit(job, snapshot)
        case .restored(let state): finishRestoration(state)
        case .snapshotSaved(let snapshot):
            isSnapshotting = false
            core.snapshotSaved(snapshot)
            logger.info(
                "saved snapshot", metadata: ["snapshot-index": .stringConvertible(snapshot.metadata.index)])
        case .messages(let messages):
            if messages.first?.from == core.leader { leaderHeardAt = now }
            countReceived(messages)
            for message in messages { core.step(message) }
        case .unreachable(let peer):
            countLost(to: peer)
            core.reportUnreachable(peer)
        case .gone(let peer): noteGone(peer, now: now)
        case .snapshotReported(let peer, let succeeded): core.reportSnapshot(to: peer, succeeded: succeeded)
        case .removedByPeers: stopAsRemoved()
        case .perform(let body): body(self)
        case .stop: return false
        }
        return true
    }

    /// Asks for a linearizable read and returns its token.
    func askForRead() -> UInt64 {
        lastReadToken += 1
        core.read(lastReadToken)
        return lastReadToken
    }

    private func takeBacklog(now: Int64) {
        guard !backlog.isEmpty, core.applier.backend.pendingBytes < Self.uncommittedLimit else { return }
        var requests: [(id: UInt64, data: [UInt8])] = []
        let deadline = now + core.settings.requestTimeout
        let admission = core.admission
        let proposed = Clock.nanoseconds
        for batch in backlog {
            running.metrics.stages.queue.observe(
                nanoseconds: proposed - batch.arrival, times: batch.proposals.count)
            for proposal in batch.proposals {
                let waiter = Waiter(
                    gateway: batch.gateway, call: proposal.call, then: proposal.then, span: proposal.span,
                    bytes: proposal.entry.count, deadline: deadline, arrival: batch.arrival, proposed: proposed)
                if let refusal = admission.refusal(waiting: waiters.count + refusedForSpace.count) {
                    answer(waiter, .failure(refusal))
                } else if proposal.cost > 0 && !core.hasSpace(for: proposal.cost, now: now) {
                    refusedForSpace.add(waiter)
                } else {
                    waiters[proposal.id] = waiter
                    requests.append((proposal.id, proposal.entry))
                }
            }
        }
        backlog.removeAll()
        core.propose(requests, now: now)
    }

    private func runTimers(now: Int64) {
        if now >= timers.tick {
            noteLateHeartbeat(due: timers.tick, now: now)
            timers.tick = now + running.settings.heartbeatMilliseconds
            core.tick()
            advanceFirstElection(now: now)
            everyTick(now: now)
        }
        if now >= timers.lease {
            timers.lease = now + Self.leaseInterval
            let expired = core.revokeExpiredLeases(limit: Lessor.revokesPerSecond / 2, now: now)
            running.status.expiredLeases.add(UInt64(expired), ordering: .relaxed)
            core.checkpointLeases(limit: Lessor.checkpointsPerSecond / 2, now: now)
            core.expireKeys(at: Clock.unixNanoseconds)
        }
        if now >= timers.purge {
            timers.purge = now + Self.purgeInterval
            running.backend.send(.purge)
        }
        if core.applier.store.compactionPending && now >= timers.compaction {
            let start = Clock.nanoseconds
            compactOnce(now: now)
            let stepEnd = Clock.nanoseconds
            noteCompactionStep(nanoseconds: stepEnd - start)
            // As long between two steps as a step takes, so that compacting gets half of this thread at the most.
            let end = stepEnd / 1_000_000
            let pause = running.settings.compaction.sleepMilliseconds ?? Self.compactionPause
            timers.compaction = end + max(pause, end - now)
        }
    }

    /// A leader whose process has ended need not be waited for. One that was heard a moment ago lives: only the way to it
    /// is barred.
    private func noteGone(_ peer: UInt64, now: Int64) {
        guard peer == core.leader, now - leaderHeardAt > running.settings.heartbeatMilliseconds else { return }
        logger.warning("the leader's process has ended", metadata: ["leader": .string(Identity.text(peer))])
        core.leaderIsGone(peer)
    }

    /// A member that starts among others that are there already need not wait for a whole election timeout.
    private func advanceFirstElection(now: Int64) {
        guard mayAdvanceElection else { return }
        let others = core.confState.voters.filter { $0 != core.settings.memberID }
        if core.leader != 0 || others.isEmpty || now > startedAt + Self.firstElectionWait {
            mayAdvanceElection = false
            return
        }
        guard others.allSatisfy({ running.peers.activeSince($0) != nil }) else { return }
        mayAdvanceElection = false
        core.advanceFirstElection()
    }

    private func everyTick(now: Int64) {
        for (id, waiter) in waiters where now >= waiter.deadline {
            waiters[id] = nil
            running.status.failedProposals.add(1, ordering: .relaxed)
            let start = waiter.deadline - core.settings.requestTimeout
            answer(waiter, .failure(core.timeoutError(ofRequestFrom: start)))
        }
        expireConditions(now: now)
        expireStoreV2(now: now)
        running.leaders.note(hasLeader: core.leader != 0, now: now)
        guard core.leader != 0 else { return }
        var compactor = running.settings.autoCompactor
        if let revision = compactor.due(
            now: now, revision: core.applier.store.currentRevision, isLeader: core.isLeader)
        {
            logger.info("starting auto compaction", metadata: ["revision": .stringConvertible(revision)])
            core.compact(at: revision, now: now)
        }
        parts?.settings.autoCompactor = compactor
    }

    private func publishIfNeeded(now: Int64) {
        // The cluster's version says in which form.
        guard !isReady, core.leader != 0, core.clusterVersion != nil, now >= timers.publish else { return }
        timers.publish = now + core.settings.requestTimeout
        core.publish(running.settings.published, now: now)
    }

    private func compactOnce(now: Int64) {
        let store = core.applier.store
        if compaction == nil { compaction = (store.compactedRevision, now) }
        if store.compactionStep(limit: running.settings.compaction.batchLimit ?? Self.compactionStep) { return }
        if let compaction {
            noteCompaction(milliseconds: now - compaction.startedAt)
            logger.info(
                "finished scheduled compaction",
                metadata: [
                    "compact-revision": .stringConvertible(compaction.target),
                    "took": .string("\(now - compaction.startedAt)ms"),
                ])
        }
        compaction = nil
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
        if output.wantsCommit { wantsCommit = true }
        commitIfDue(now: now)
        // What follows is for the next turn, which nothing else might begin.
        if running.settings.versions.note(core) { perform { _ in } }
        announceIfReady()
    }

    /// Answers the proposals that were applied. Those that were proposed together are noted together.
    private func finishProposals(_ output: MemberCore.Output) {
        guard !output.outcomes.isEmpty else { return }
        let applied = Clock.nanoseconds
        let stages = running.metrics.stages
        var group: (proposed: Int64, count: Int) = (0, 0)
        func noteSync() { stages.sync.observe(nanoseconds: turnStart - group.proposed, times: group.count) }
        var count = 0
        for outcome in output.outcomes {
            guard let waiter = waiters.removeValue(forKey: outcome.requestID) else {
                finishStoreV2(outcome)
                continue
            }
            count += 1
            if waiter.proposed == group.proposed {
                group.count += 1
            } else {
                noteSync()
                group = (waiter.proposed, 1)
            }
            waiter.span?.note(proposed: waiter.proposed, durable: turnStart, applied: applied)
            if applied - waiter.arrival > running.slow.callLimit { noteSlow(waiter, applied: applied) }
            switch outcome.reply {
            case .message(let message), .whenCompacted(_, let message): answer(waiter, .success(message))
            case .failure(let error): answer(waiter, .failure(error))
            case .storeV2: answer(waiter, .failure(EtcdError(.internal, "etcdserver: an answer of another kind")))
            }
        }
        noteSync()
        stages.apply.observe(nanoseconds: applied - turnStart, times: count)
    }

    private func noteSlow(_ waiter: Waiter, applied: Int64) {
        running.slow.noteWrite(
            waiter.call.path, peer: waiter.call.peer,
            SlowRequests.Stages(
                queue: waiter.proposed - waiter.arrival, sync: max(0, turnStart - waiter.proposed),
                apply: applied - turnStart))
    }

    private func finishReads(_ output: MemberCore.Output) {
        if !output.readyReads.isEmpty {
            let view = core.applier.store.publisher.latest()
            let confirmed = Clock.nanoseconds
            for token in output.readyReads {
                guard let reads = waitingReads.removeValue(forKey: token) else { continue }
                running.metrics.stages.readIndex.observe(
                    nanoseconds: confirmed - reads.arrival, times: reads.reads.count)
                reads.gateway.deliver(reads, .success(view))
            }
        }
        for (token, error) in output.failedReads {
            guard let reads = waitingReads.removeValue(forKey: token) else { continue }
            reads.gateway.deliver(reads, .failure(error))
        }
    }

    func answer(_ waiter: Waiter, _ reply: Result<[UInt8], EtcdError>) {
        running.status.pendingBytes.subtract(waiter.bytes, ordering: .relaxed)
        answers[ObjectIdentifier(waiter.gateway), default: (waiter.gateway, [])].1.append(
            waiter.gateway.prepare(waiter.call, reply, then: waiter.then))
    }

    private func deliverAnswers() {
        guard !answers.isEmpty else { return }
        for (gateway, batch) in answers.values { gateway.deliver(batch) }
        answers.removeAll(keepingCapacity: true)
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

    private func announceIfReady() {
        guard !isReady, let own = core.applier.cluster.members[running.status.memberID] else { return }
        guard core.leader != 0, core.applier.cluster.version != nil else { return }
        let published = running.settings.published
        guard own.name == published.name ?? "", own.clientURLs == published.clientURLs ?? [] else { return }
        // What the log held when this run began may already say the same; only an entry of this term shows that the
        // member is part of the cluster now.
        guard core.hasAppliedInTerm else { return }
        isReady = true
        ready()
    }

    // MARK: The backend

    private func commitIfDue(now: Int64) {
        let backend = core.applier.backend
        // While the database is exchanged nothing may be written to the one that goes.
        guard !isCommitting, !isRestoring else { return }
        let due =
            backend.pendingOperations >= running.settings.batchLimit
            || (now >= timers.commit && backend.pendingOperations > 0)
        let snapshotDue = !isSnapshotting && core.isSnapshotDue(count: running.settings.snapshotCount)
        guard due || wantsCommit || snapshotDue else { return }
        timers.commit = now + running.settings.batchMilliseconds
        wantsCommit = false
        afterRunningCommit = afterCommit
        afterCommit = []
        core.backendCommitBegins()
        guard let job = backend.freezeCommit() else {
            core.backendCommitted()
            runAfterCommit()
            return
        }
        isCommitting = true
        var snapshot: Snapshot?
        if snapshotDue {
            isSnapshotting = true
            snapshot = core.makeSnapshot()
            logger.info(
                "triggering snapshot",
                metadata: ["local-member-applied-index": .stringConvertible(core.snapshotIndex)])
        }
        running.backend.send(.commit(job, snapshot))
    }

    private func finishCommit(_ job: CommitJob, _ snapshot: Snapshot?) {
        isCommitting = false
        core.applier.backend.finishCommit(job)
        core.applier.store.publish()
        noteSize()
        core.backendCommitted()
        runAfterCommit()
        if let snapshot { running.log.send(.saveSnapshot(snapshot)) }
        takeWritten()
    }

    // MARK: Snapshots of a leader

    /// Sends snapshots with the backend's last commit, which is the state that they speak of.
    private func sendSnapshots(_ messages: [Message]) {
        for message in messages {
            do {
                running.peers.sendSnapshot(message, try core.applier.backend.snapshot())
            } catch {
                FatalError.stop(logger, "failed to read the backend", error)
            }
        }
    }

    /// Tells the core what is written. A snapshot is opened by the backend's thread first, after the commit that is under
    /// way; meanwhile the member goes on, but for what was written behind the snapshot.
    private func takeWritten() {
        while let message = written.first, !isRestoring {
            if let snapshot = message.snapshot, !snapshot.isEmpty {
                guard !isCommitting else { return }
                isRestoring = true
                running.metrics.server.snapshotsBeingApplied.set(1)
                logger.info(
                    "applying snapshot",
                    metadata: [
                        "current-snapshot-index": .stringConvertible(core.snapshotIndex),
                        "current-applied-index": .stringConvertible(core.appliedIndex),
                        "incoming-leader-snapshot-index": .stringConvertible(snapshot.metadata.index),
                        "incoming-leader-snapshot-term": .stringConvertible(snapshot.metadata.term),
                    ])
                running.backend.send(.restore(snapshot, core.stateMachine, core.applier.store.publisher))
            } else {
                tellWritten(written.removeFirst())
            }
        }
    }

    private func finishRestoration(_ state: RestoredState) {
        isRestoring = false
        running.metrics.server.snapshotsBeingApplied.set(0)
        tellWritten(written.removeFirst(), restored: state)
        takeWritten()
    }

    private func tellWritten(_ message: Message, restored: RestoredState? = nil) {
        do throws(SnapshotInstallationError) {
            try core.appended(message, restored: restored)
        } catch {
            FatalError.stop(logger, "failed to apply a snapshot", error)
        }
    }

    /// The state machine is another one than before.
    private func followRestoration() {
        compaction = nil
        droppedChanges = 0
        running.peers.setRemoved(core.applier.cluster.removed)
        running.watch.storeReplaced()
        running.backend.send(.removeSentDatabases(below: core.snapshotIndex))
        noteSize()
        logger.info(
            "applied snapshot",
            metadata: [
                "current-snapshot-index": .stringConvertible(core.snapshotIndex),
                "current-applied-index": .stringConvertible(core.appliedIndex),
            ])
    }

    private func runAfterCommit() {
        let bodies = afterRunningCommit
        afterRunningCommit = []
        for body in bodies { body(self) }
    }

    /// Notes the size of the backend file where others look for it.
    func noteSize() {
        running.status.databaseBytes.store(core.applier.backend.fileSize, ordering: .relaxed)
        running.status.databaseBytesInUse.store(core.applier.backend.sizeInUse, ordering: .relaxed)
        running.metrics.store.openReads.set(core.applier.backend.openReadTransactions)
    }

    // MARK: The end

    /// Waits for the commit that is under way, so that whoever has the backend next may commit.
    private func finishRunningCommit() {
        var events: [Event] = []
        while isCommitting {
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
                        gateway: batch.gateway, call: proposal.call, then: proposal.then, bytes: proposal.entry.count,
                        deadline: 0, arrival: 0, proposed: 0),
                    .failure(.stopped))
            }
        }
        backlog.removeAll()
        for waiter in refusedForSpace.takeAll() { answer(waiter, .failure(.noSpace)) }
        for waiter in waiters.values { answer(waiter, .failure(.stopped)) }
        waiters.removeAll()
        for reads in waitingReads.values { reads.gateway.deliver(reads, .failure(.stopped)) }
        waitingReads.removeAll()
        endMembership()
        endDefragmentations()
        endStoreV2()
        deliverAnswers()
    }
}
