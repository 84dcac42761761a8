import Applier
import Backend
import EtcdAPI
import Lease
import MVCC
import Member
import Membership
import RaftMessages
import WriteAheadLog

/// One run of a member: the core, and what the server's threads do around it, in the order in which they do it.
///
/// `MemberThread`, `LogThread`, `BackendThread` and `WatchThread` of the server have each their part here. What takes
/// time there takes simulated time here, and what one thread tells another arrives a little later.
final class MemberProcess {
    enum Event {
        case message(Message)
        case unreachable(UInt64)
        /// The process of this member has ended.
        case gone(UInt64)
        case proposal(Proposal)
        case read(RangeRequest, reply: (Reply) -> Void)
        case keepAlive(Int64, reply: (Reply) -> Void)
        case appended([Message])
        case committed(CommitJob, Snapshot?)
        case restored(RestoredState)
        case snapshotSaved(Snapshot)
        case defragmented(Defragmentation, isDone: Bool)
        case snapshotReported(to: UInt64, succeeded: Bool)
        case perform((MemberProcess) -> Void)
    }

    typealias Reply = Result<[UInt8], EtcdError>

    /// A request on its way into the log.
    struct Proposal {
        var id: UInt64
        var entry: [UInt8]
        var takesSpace: Bool
        var reply: (Reply) -> Void
    }

    private struct Waiter {
        var deadline: Int64
        var reply: (Reply) -> Void
    }

    /// As in the server, in milliseconds.
    static let removalDelay: Int64 = 1_000
    private static let versionInterval: Int64 = 4_000
    /// Far more often than the server, so that a short run removes files.
    private static let purgeInterval: Int64 = 3_000

    let machine: SimulatedMachine
    unowned let world: World
    var random: SimulationRandom
    private(set) var opened: OpenedMember
    var core: MemberCore { opened.core }
    var paths: MemberPaths { opened.paths }
    private(set) var isAlive = true
    /// In microseconds of the simulator.
    let startedAt: Int64
    private(set) var pausedUntil: Int64 = 0
    private var mailbox: [Event] = []
    private var wakesAt: Int64?
    private var timers: DutyTimers
    var schedule: BackendSchedule<(MemberProcess) -> Void>
    private var publication: Publication
    /// When the leader looks at the members' versions next.
    private var versionsDueAt: Int64
    private var waiters: [UInt64: Waiter] = [:]
    /// What waits until it is certain that this member is up to date, or leads.
    private var reads: [UInt64: (EtcdError?) -> Void] = [:]
    private var lastReadToken: UInt64 = 0
    private var backlog: [Proposal] = []
    private var requestIDs: RequestIDs
    /// When this process, whose member was removed, ends; in milliseconds.
    var stopsAt: Int64?
    var changes: [UInt64: (Bool) -> Void] = [:]
    var isDefragmenting = false
    /// Why the process ends once it leads no more; set when its disk has failed.
    private var diskFailure: String?
    var logWork = LogWork()
    var backendWork = BackendWork()
    var watch: WatchWork
    /// The calls of clients that are told when this process ends.
    private var openCalls: [UInt64: () -> Void] = [:]
    private var lastCall: UInt64 = 0

    init(_ machine: SimulatedMachine, world: World, random: SimulationRandom) throws {
        self.machine = machine
        self.world = world
        self.random = random
        startedAt = world.simulator.now
        let now = machine.clock
        var intervals = DutyTimers.Intervals(heartbeat: Int64(machine.configuration.heartbeatMilliseconds))
        intervals.purge = Self.purgeInterval
        timers = DutyTimers(intervals, now: now)
        schedule = BackendSchedule(BackendSchedule.Limits(machine.configuration), now: now)
        publication = Publication(machine.attributes, now: now)
        versionsDueAt = now
        var raftRandom = self.random.fork()
        // Different from run to run, as the time is; what an earlier run gave must not come again.
        let unixMilliseconds = UInt64(world.simulator.now / 1_000) + machine.runs
        var surroundings = MemberSurroundings(
            disk: machine.disk, randomNumber: { raftRandom.below($0) }, unixMilliseconds: unixMilliseconds,
            waitingForLock: { _ in }, raftLog: nil)
        // Small, so that a short run moves through several.
        surroundings.logOptions.segmentSize = 16 * 1024
        let opened = try OpenedMember.open(machine.configuration, surroundings, joining: world.joining(machine))
        self.opened = opened
        requestIDs = RequestIDs(memberID: opened.memberID, startedAt: unixMilliseconds, series: .clients)
        watch = WatchWork(
            clusterID: opened.clusterID, memberID: opened.memberID,
            revision: opened.core.applier.store.currentRevision)
    }

    // MARK: Time

    /// Milliseconds of this machine's clock.
    var now: Int64 { machine.clock }

    var isPaused: Bool { world.simulator.now < pausedUntil }

    /// The process does nothing for a while and then goes on as if no time had passed.
    func pause(for duration: Int64) {
        pausedUntil = max(pausedUntil, world.simulator.now + duration)
        world.recorder.note(.paused, machine.number, UInt64(duration))
    }

    /// Ends a pause.
    func resume() { pausedUntil = 0 }

    /// Runs `body` in this process after `delay` microseconds, later when it is paused then, never when it has ended.
    func later(_ delay: Int64, _ body: @escaping () -> Void) {
        world.simulator.after(delay) { [self] in
            guard isAlive else { return }
            if isPaused { return later(pausedUntil - world.simulator.now, body) }
            body()
        }
    }

    func wake(at time: Int64) {
        if let wakesAt, wakesAt <= time { return }
        wakesAt = time
        later(time - world.simulator.now) { [self] in
            guard wakesAt == time else { return }
            wakesAt = nil
            turn()
        }
    }

    func send(_ event: Event) {
        mailbox.append(event)
        wake(at: world.simulator.now + random.delay(around: 20))
    }

    // MARK: What clients ask

    /// Proposes a request; `reply` gets its answer.
    func propose(
        _ kind: RaftRequestView.Kind, _ request: [UInt8], takesSpace: Bool, reply: @escaping (Reply) -> Void
    ) {
        let id = requestIDs.next()
        let entry = request.withUnsafeBytes { LogEntry.encode(kind, request: $0, id: id) }
        send(.proposal(Proposal(id: id, entry: entry, takesSpace: takesSpace, reply: reply)))
    }

    /// Answers a range, at once when it is serializable.
    func range(_ request: RangeRequest, reply: @escaping (Reply) -> Void) {
        let isLocal = request.serializable || world.settings.sabotage == .readsLocally
        guard isLocal else { return send(.read(request, reply: reply)) }
        reply(answer(request, on: core.applier.store.publisher.latest()))
    }

    private func answer(_ request: RangeRequest, on view: StoreView) -> Reply {
        do throws(EtcdError) {
            return .success(try RangeQuery.run(request, on: view, header: header))
        } catch {
            return .failure(error)
        }
    }

    /// A header without a revision.
    private var header: ResponseHeader {
        ResponseHeader(clusterID: opened.clusterID, memberID: opened.memberID, raftTerm: core.term)
    }

    /// Notes a call whose client is told by `ended` when this process ends.
    func openCall(_ ended: @escaping () -> Void) -> UInt64 {
        lastCall += 1
        openCalls[lastCall] = ended
        return lastCall
    }

    func closeCall(_ id: UInt64) { openCalls[id] = nil }

    // MARK: The turns of the member's thread

    func begin() {
        core.answersOthers = true
        core.peerActiveSince = { [unowned self] in world.activeSince($0, on: self) }
        beginLog()
        finishTurn(core.process(now: now))
        if core.confState.voters == [core.settings.memberID] { core.campaign() }
        core.applier.store.publish()
        wake(at: world.simulator.now)
    }

    private func turn() {
        let events = mailbox
        mailbox = []
        for event in events { handle(event) }
        runTimers()
        if let stopsAt, now >= stopsAt { return machine.retire() }
        publishIfNeeded()
        takeBacklog()
        finishTurn(core.process(now: now))
        guard isAlive else { return }
        let next = min(
            timers.deadline(compacts: core.applier.store.compactionPending), schedule.deadline(of: core),
            stopsAt ?? .max)
        wake(at: max(world.simulator.now + 1, (next - machine.clockOffset) * 1_000))
    }

    private func handle(_ event: Event) {
        switch event {
        case .message(let message):
            core.heard(from: message.from, now: now)
            core.step(message)
        case .gone(let peer): _ = core.processEnded(of: peer, now: now)
        case .unreachable(let id): core.reportUnreachable(id)
        case .proposal(let proposal): backlog.append(proposal)
        case .read(let request, let reply):
            whenCurrent { [self] error in
                reply(error.map { .failure($0) } ?? answer(request, on: core.applier.store.publisher.latest()))
            }
        case .keepAlive(let lease, let reply): renew(lease, reply)
        case .appended(let messages):
            schedule.noteWritten(messages)
            takeWritten()
        case .committed(let job, let snapshot): finishCommit(job, snapshot)
        case .restored(let state):
            tellWritten(schedule.finishRestoration(), restored: state)
            takeWritten()
        case .snapshotReported(let peer, let succeeded): core.reportSnapshot(to: peer, succeeded: succeeded)
        case .snapshotSaved(let snapshot):
            schedule.snapshotSaved()
            core.snapshotSaved(snapshot)
        case .defragmented(let work, let isDone): finishDefragmentation(work, isDone: isDone)
        case .perform(let body): body(self)
        }
    }

    /// Runs `body` when everything is applied that was committed before this call.
    func whenCurrent(_ body: @escaping (EtcdError?) -> Void) {
        lastReadToken += 1
        reads[lastReadToken] = body
        core.read(lastReadToken)
    }

    private func takeBacklog() {
        var requests: [(id: UInt64, data: [UInt8])] = []
        for proposal in backlog {
            if proposal.takesSpace && !core.hasSpace(for: proposal.entry.count, now: now) {
                proposal.reply(.failure(.noSpace))
            } else {
                waiters[proposal.id] = Waiter(deadline: now + core.settings.requestTimeout, reply: proposal.reply)
                requests.append((proposal.id, proposal.entry))
            }
        }
        backlog = []
        core.propose(requests, now: now)
    }

    private func runTimers() {
        while let duty = timers.next(now: now, compacts: core.applier.store.compactionPending) {
            switch duty {
            case .tick:
                core.tick()
                expireWaiters()
            case .leases: core.attendToLeases(now: now)
            case .purge: order(.purge)
            case .compaction: _ = core.applier.store.compactionStep(limit: 1 + random.below(20))
            }
        }
    }

    private func expireWaiters() {
        for (id, waiter) in waiters.sorted(by: { $0.key < $1.key }) where now >= waiter.deadline {
            waiters[id] = nil
            waiter.reply(.failure(core.timeoutError(ofRequestFrom: waiter.deadline - core.settings.requestTimeout)))
        }
    }

    private func publishIfNeeded() {
        if core.isLeader && now >= versionsDueAt {
            versionsDueAt = now + Self.versionInterval
            // All members are of one version here.
            let servers = core.applier.cluster.members.map { _ in ClusterVersion.server as ClusterVersion? }
            core.decideClusterVersion(servers, now: now)
        }
        publication.proposeIfDue(core, now: now)
    }

    // MARK: What a turn hands out

    private func finishTurn(_ output: MemberCore.Output) {
        world.observer.turned(self, output)
        for message in output.messages { world.send(message, from: machine) }
        for message in output.snapshotsToSend { sendSnapshot(message) }
        for message in output.appends { order(.append(message)) }
        if output.restored { followRestoration() }
        finishMembership(output)
        stopIfDiskFailed()
        guard isAlive else { return }
        for outcome in output.outcomes {
            world.observer.outcome(outcome, of: self)
            guard let waiter = waiters.removeValue(forKey: outcome.requestID) else { continue }
            switch outcome.reply {
            case .message(let message), .whenCompacted(_, let message): waiter.reply(.success(message))
            case .failure(let error): waiter.reply(.failure(error))
            case .storeV2: continue
            }
        }
        for id in output.patientRequests { waiters[id]?.deadline = .max }
        let view = core.applier.store.publisher.latest()
        for token in output.readyReads {
            reads.removeValue(forKey: token)?(nil)
        }
        for (token, error) in output.failedReads { reads.removeValue(forKey: token)?(error) }
        if !output.commits.isEmpty { post(output.commits, view: view) }
        if output.wantsCommit { schedule.want() }
        commitIfDue()
        _ = publication.becomesReady(core)
    }

    // MARK: What the end of a run looks at

    /// All keys and values.
    func contents() throws -> [String: String] {
        var found: [String: String] = [:]
        _ = try core.applier.store.view().range(key: [0], end: [0]) { pair in
            guard let view = try? KeyValueView(pair.encoded) else { return }
            found[String(decoding: view.key, as: UTF8.self)] = String(decoding: view.value, as: UTF8.self)
        }
        return found
    }

    /// Commits what is pending, also while a commit is under way, which then counts as done.
    func commitAll() throws {
        guard schedule.isIdle else { return }
        try core.applier.backend.commitNow()
    }

    // MARK: The end

    /// The process is gone; nothing of it runs again.
    func end() {
        isAlive = false
        for (_, ended) in openCalls.sorted(by: { $0.key < $1.key }) { ended() }
        openCalls = [:]
        mailbox = []
        waiters = [:]
        reads = [:]
        closeWatchStreams()
    }

    /// Does `body`, which uses the disk; an error ends the process. Returns whether it went well.
    func attempt(_ what: String, _ body: () throws -> Void) -> Bool {
        do {
            try body()
            return true
        } catch {
            if machine.powerIsLost {
                machine.fail(what, error)
            } else {
                // As in the server: the leadership is handed over first, but not for longer than an election timeout.
                later(0) { [self] in
                    diskFailure = "\(what): \(error)"
                    core.diskFailed(now: now)
                    wake(at: world.simulator.now)
                }
                later(Int64(machine.configuration.electionMilliseconds) * 1_000) { [self] in
                    machine.fail(what, error)
                }
            }
            return false
        }
    }

    private func stopIfDiskFailed() {
        guard let diskFailure, !core.isLeader || core.confState.voters.count == 1 else { return }
        machine.fail("disk", StartError(diskFailure))
    }
}
