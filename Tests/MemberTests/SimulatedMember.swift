import Applier
import Backend
import Bolt
import Configuration
import Disk
import EtcdAPI
import Lease
import MVCC
import Membership
import Raft
import RaftMessages
import WireFormat
import WriteAheadLog

@testable import Member

/// A member on a disk in memory, driven step by step in one thread.
///
/// It does what the server's threads do, in whichever order the test says: the log is written and synchronised later, a
/// commit of the backend is begun, run and finished at chosen moments.
final class SimulatedMember {
    static let heartbeat: Int64 = 100

    let disk: MemoryDisk
    let configuration: MemberConfiguration
    private(set) var opened: OpenedMember
    /// Milliseconds on the clock of the test.
    var now: Int64 = 1_000
    private(set) var runs: UInt64 = 1
    private var random: SplitMix64

    /// Orders for the log that were not written yet.
    private(set) var orders: [Message] = []
    /// Orders that were written and not synchronised.
    private(set) var written: [Message] = []
    private var mustSynchronize = false
    private(set) var commit: (job: CommitJob, snapshot: Snapshot?, hasRun: Bool)?

    /// What the core gave out, until the test takes it.
    var outcomes: [Applier.Outcome] = []
    var readyReads: [UInt64] = []
    var failedReads: [(token: UInt64, error: EtcdError)] = []
    var messages: [Message] = []
    var commits: [Commit] = []
    /// Snapshots for other members, each with the database that goes with it.
    var snapshots: [(Message, BackendSnapshot)] = []
    /// How often the state machine was replaced.
    var restorations = 0
    var wantsCommit = false
    var diskNotices: [DiskNotice] = []
    var membership: [Cluster.Effect] = []
    var changes: [MembershipChangeResult] = []
    var handovers: [(token: UInt64, error: EtcdError?)] = []
    var removedSelf = false
    var refusal: StartError?
    /// Whether orders for the log wait and none comes back.
    var diskStalls = false
    /// Told of each order for the log, before it is written.
    var ordered: ((Message) -> Void)?

    var core: MemberCore { opened.core }
    var store: Store { core.applier.store }

    /// A member called `name` of the cluster that `cluster` lists as `--initial-cluster` does.
    init(
        name: String = "default", cluster: String = "", disk: MemoryDisk = MemoryDisk(), seed: UInt64 = 1,
        arguments: [String] = [], joining: (cluster: RunningCluster, own: Membership.Member)? = nil
    ) throws {
        var arguments = ["--name", name, "--data-dir", "data"] + arguments
        if !cluster.isEmpty {
            let own = cluster.split(separator: ",").filter { $0.hasPrefix("\(name)=") }
                .map { $0.dropFirst(name.count + 1) }.joined(separator: ",")
            arguments += ["--initial-cluster", cluster, "--initial-advertise-peer-urls", own]
        }
        guard case .run(let parsed) = try MemberConfiguration.parse(arguments: arguments, environment: [:]) else {
            throw StartError("the arguments do not start a member")
        }
        configuration = parsed
        self.disk = disk
        random = SplitMix64(seed: seed)
        opened = try Self.open(parsed, disk, seed: random.next(), run: 1, joining: joining)
    }

    private static func open(
        _ configuration: MemberConfiguration, _ disk: MemoryDisk, seed: UInt64, run: UInt64,
        joining: (cluster: RunningCluster, own: Membership.Member)? = nil
    ) throws -> OpenedMember {
        var random = SplitMix64(seed: seed)
        var surroundings = MemberSurroundings(
            disk: disk, randomNumber: { Int.random(in: 0..<$0, using: &random) }, unixMilliseconds: run,
            waitingForLock: { _ in }, raftLog: nil)
        // Small ones, so that a short test moves through several and a crash copies little.
        surroundings.logOptions.segmentSize = 1024
        return try OpenedMember.open(configuration, surroundings, joining: joining)
    }

    // MARK: Turns

    /// Lets the core go on and notes what it gives out.
    func turn() {
        let output = core.process(now: now)
        for message in output.appends { ordered?(message) }
        orders += output.appends
        outcomes += output.outcomes
        readyReads += output.readyReads
        failedReads += output.failedReads
        messages += output.messages
        commits += output.commits
        membership += output.membership
        changes += output.changes
        handovers += output.handovers
        if output.removedSelf { removedSelf = true }
        for message in output.snapshotsToSend {
            guard let database = try? core.applier.backend.snapshot() else { continue }
            snapshots.append((message, database))
        }
        if output.restored { restorations += 1 }
        if output.wantsCommit { wantsCommit = true }
        if let refusal = output.refusal { self.refusal = refusal }
        diskNotices += output.diskNotices
    }

    /// One heartbeat interval passes.
    func tick() {
        now += Self.heartbeat
        core.tick()
    }

    /// Turns, writes and synchronises until nothing more follows.
    func settle() throws {
        repeat {
            turn()
            if diskStalls { continue }
            try writeLog()
            try synchronizeLog()
            if wantsCommit && core.isLeader { try commitNow() }
        } while core.raft.hasReady || !(orders.isEmpty || diskStalls)
        turn()
    }

    /// Starts an election as the server does: when the log's first entries have told who votes.
    func elect() throws {
        try settle()
        core.campaign()
        try settle()
    }

    // MARK: The log

    func writeLog() throws {
        while let message = orders.first {
            if try opened.log.append(message, snapshots: opened.snapshots) { mustSynchronize = true }
            written.append(orders.removeFirst())
        }
    }

    func synchronizeLog() throws {
        if mustSynchronize { try opened.log.synchronize() }
        mustSynchronize = false
        if written.contains(where: { $0.snapshot?.isEmpty == false }) {
            // No commit may be under way while the database is exchanged.
            try runCommit()
            try finishCommit()
        }
        let durable = written
        written = []
        for message in durable {
            if let snapshot = message.snapshot { opened.log.releaseLocks(below: snapshot.metadata.index) }
            try core.appended(message)
        }
    }

    /// A leader's snapshot arrives: its database is stored, and then Raft is told.
    func receiveSnapshot(_ message: Message, _ database: BackendSnapshot) throws {
        let path = opened.snapshots.databasePath(index: message.snapshot?.metadata.index ?? 0)
        let file = try disk.open("\(path).tmp", .create)
        var offset = 0
        try database.write { piece in
            try file.write(piece, at: offset)
            offset += piece.count
        }
        try file.synchronize()
        file.close()
        try disk.rename("\(path).tmp", to: path)
        try disk.synchronizeDirectory(opened.snapshots.path)
        core.step(message)
    }

    // MARK: The backend

    @discardableResult
    func beginCommit(withSnapshot: Bool = false) -> Bool {
        guard commit == nil else { return false }
        wantsCommit = false
        core.backendCommitBegins()
        guard let job = core.applier.backend.freezeCommit() else {
            core.backendCommitted()
            return false
        }
        commit = (job, withSnapshot ? core.planSnapshot().snapshot() : nil, false)
        return true
    }

    func runCommit() throws {
        guard let running = commit, !running.hasRun else { return }
        try running.job.run()
        if let snapshot = running.snapshot { try opened.snapshots.save(snapshot) }
        commit?.hasRun = true
    }

    func finishCommit() throws {
        guard let finished = commit, finished.hasRun else { return }
        commit = nil
        core.applier.backend.finishCommit(finished.job)
        store.publish()
        core.backendCommitted()
        guard let snapshot = finished.snapshot else { return }
        // The order to record the snapshot stands behind all orders to append.
        try writeLog()
        try synchronizeLog()
        try opened.log.saveSnapshot(WALSnapshot(snapshot.metadata))
        opened.log.releaseLocks(below: snapshot.metadata.index)
        core.snapshotSaved(snapshot)
    }

    /// A whole commit, after one that may be under way.
    func commitNow(withSnapshot: Bool = false) throws {
        try runCommit()
        try finishCommit()
        beginCommit(withSnapshot: withSnapshot)
        try runCommit()
        try finishCommit()
    }

    func finishCompaction() {
        while store.compactionStep() {}
    }

    // MARK: Requests

    /// Proposes a request and returns its id.
    @discardableResult
    func propose(_ kind: RaftRequestView.Kind, _ request: [UInt8]) -> UInt64 {
        let id = core.nextRequestID()
        core.propose([(id, request.withUnsafeBytes { LogEntry.encode(kind, request: $0, id: id) })], now: now)
        return id
    }

    @discardableResult
    func put(_ key: String, _ value: String, lease: Int64 = 0) -> UInt64 {
        propose(.put, Requests.put(key, value, lease: lease))
    }

    /// The answer to the request `id`, once.
    func takeReply(_ id: UInt64) -> Applier.Reply? {
        guard let index = outcomes.firstIndex(where: { $0.requestID == id }) else { return nil }
        return outcomes.remove(at: index).reply
    }

    /// The pairs that the published view shows.
    func contents() throws -> [String: String] {
        var found: [String: String] = [:]
        _ = try store.publisher.latest().range(key: [0], end: [0]) { pair in
            guard let view = try? KeyValueView(pair.encoded) else { return }
            found[String(decoding: view.key, as: UTF8.self)] = String(decoding: view.value, as: UTF8.self)
        }
        return found
    }

    // MARK: Ends

    /// The power goes. What was not synchronised survives in part; the member is gone until ``reopen()``.
    func crash(random: inout SplitMix64) {
        disk.crash(random: &random)
        orders = []
        written = []
        mustSynchronize = false
        commit = nil
        outcomes = []
        readyReads = []
        failedReads = []
        messages = []
        commits = []
        snapshots = []
        wantsCommit = false
    }

    /// Starts the member from what its disk holds.
    func reopen() throws {
        runs += 1
        opened = try Self.open(configuration, disk, seed: random.next(), run: runs)
    }

    /// A clean end and a new start.
    func restart() throws {
        try stop()
        try reopen()
    }

    /// A clean end.
    func stop() throws {
        try settle()
        try commitNow()
        try opened.log.close()
        core.applier.backend.close()
    }
}

/// Encoded requests.
enum Requests {
    static func put(_ key: String, _ value: String, lease: Int64 = 0) -> [UInt8] {
        var writer = WireWriter()
        PutRequest(key: Array(key.utf8), value: Array(value.utf8), lease: lease).encode(into: &writer)
        return writer.bytes
    }

    static func delete(_ key: String, end: String = "") -> [UInt8] {
        var writer = WireWriter()
        DeleteRangeRequest(key: Array(key.utf8), rangeEnd: Array(end.utf8)).encode(into: &writer)
        return writer.bytes
    }

    static func txn(_ request: TxnRequest) -> [UInt8] {
        var writer = WireWriter()
        request.encode(into: &writer)
        return writer.bytes
    }

    static func compaction(_ revision: Int64, physical: Bool) -> [UInt8] {
        var request = CompactionRequest(revision: revision)
        request.physical = physical
        var writer = WireWriter()
        request.encode(into: &writer)
        return writer.bytes
    }

    static func grant(_ id: Int64, ttl: Int64) -> [UInt8] {
        var writer = WireWriter()
        writer.int64(1, ttl)
        writer.int64(2, id)
        return writer.bytes
    }

    static func revoke(_ id: Int64) -> [UInt8] {
        var writer = WireWriter()
        writer.int64(1, id)
        return writer.bytes
    }
}
