import Applier
import Backend
import Configuration
import Disk
import Membership
import Raft
import RaftMessages
import WireFormat
import WriteAheadLog

/// Why a member cannot start, in one line for the person who starts it.
public struct StartError: Error, CustomStringConvertible {
    public var description: String

    /// An error that reads `description`.
    public init(_ description: String) {
        self.description = description
    }

    /// The refusal of a cluster whose version is above this server's; nil when it is not.
    init?(unlessServed version: ClusterVersion?) {
        guard let version, version > .server else { return nil }
        self.init(
            "invalid downgrade; server version is lower than determined cluster version (current-server-version: "
                + "\(ClusterVersion.server), determined-cluster-version: \(version.series))")
    }
}

/// Where a member's files lie in its data directory.
public struct MemberPaths: Sendable {
    public var wal: String
    public var snapshots: String
    public var database: String { "\(snapshots)/db" }
    /// The directory that holds the others.
    public var member: String

    /// The paths that `configuration` names.
    public init(_ configuration: MemberConfiguration) {
        member = "\(configuration.dataDirectory)/member"
        snapshots = "\(member)/snap"
        wal = configuration.walDirectory.isEmpty ? "\(member)/wal" : configuration.walDirectory
    }
}

/// A member as its data directory has it, ready to run.
public struct OpenedMember {
    public var core: MemberCore
    public var log: WriteAheadLog
    public var snapshots: SnapshotDirectory
    public var paths: MemberPaths
    public var memberID: UInt64
    public var clusterID: UInt64
    /// The index of the newest snapshot, or 0.
    public var snapshotIndex: UInt64
    /// Whether the directory was new.
    public var isNew: Bool
    /// Whom to connect to until the log tells the members: the others of the initial cluster, or those of the cluster
    /// that is joined.
    public var firstPeers: [Membership.Member]
    /// What was found damaged and repaired, in words.
    public var notes: [String]
}

/// What an opened member gets from outside.
public struct MemberSurroundings {
    public var disk: any Disk
    /// A number in `0..<bound`, by which election timeouts are spread.
    public var randomNumber: (_ bound: Int) -> Int
    /// Milliseconds since 1970, for ids that no earlier run gave.
    public var unixMilliseconds: UInt64
    /// Called once when another process holds the database, with the path of the lock.
    public var waitingForLock: (String) -> Void
    public var raftLog: LogSink?
    /// How the write-ahead log is kept; a simulated disk wants smaller segments.
    public var logOptions = WriteAheadLog.Options()

    public init(
        disk: any Disk, randomNumber: @escaping (Int) -> Int, unixMilliseconds: UInt64,
        waitingForLock: @escaping (String) -> Void, raftLog: LogSink?
    ) {
        self.disk = disk
        self.randomNumber = randomNumber
        self.unixMilliseconds = unixMilliseconds
        self.waitingForLock = waitingForLock
        self.raftLog = raftLog
    }
}

extension OpenedMember {
    /// Whether the data directory that `configuration` names holds a member, so that the flags about the initial cluster
    /// count no more.
    public static func exists(_ configuration: MemberConfiguration, on disk: any Disk) -> Bool {
        WriteAheadLog.exists(disk: disk, directory: MemberPaths(configuration).wal)
    }

    /// Opens the data directory that `configuration` names, or makes a new member in it.
    ///
    /// - Parameters:
    ///   - joined: the cluster that a new member joins, and which of its members it is; without it a new member is one
    ///     of a new cluster.
    ///   - comparison: how names among URLs are resolved.
    public static func open(
        _ configuration: MemberConfiguration, _ surroundings: MemberSurroundings,
        joining joined: (cluster: RunningCluster, own: Membership.Member)? = nil,
        comparison: URLComparison = URLComparison()
    ) throws(StartError) -> OpenedMember {
        let paths = MemberPaths(configuration)
        let disk = surroundings.disk
        let isNew = !exists(configuration, on: disk)
        if isNew && joined == nil {
            try explaining("") { try configuration.checkInitialCluster(comparison) }
            // Without this a member that should have joined others would be a cluster of its own.
            guard configuration.initialClusterState == .new else {
                throw StartError(
                    "a member with --initial-cluster-state existing was to be made without a cluster to join")
            }
        }
        try explaining("cannot use the data directory \(configuration.dataDirectory)") {
            try createDurably(paths.snapshots, disk)
            try createDurably(parentDirectory(of: paths.wal), disk)
        }
        var backend = try explaining("cannot open the database \(paths.database)") {
            try Backend(
                disk: disk, path: paths.database,
                waitingForLock: { surroundings.waitingForLock(paths.database) })
        }
        if isNew && backend.consistentIndex > 0 {
            throw StartError(
                "the database \(paths.database) has applied entries up to index \(backend.consistentIndex), but there is no"
                    + " write-ahead log in \(paths.wal): is --wal-dir the one that it was made with?")
        }
        var restored: RestoredLog
        if !isNew {
            restored = try .open(paths, disk: disk, options: surroundings.logOptions)
            if configuration.forcesNewCluster { try restored.forceNewCluster() }
        } else if let joined {
            restored = try .join(joined.cluster, as: joined.own, paths, disk: disk, options: surroundings.logOptions)
        } else {
            restored = try .create(configuration, paths, disk: disk, options: surroundings.logOptions)
        }
        let snapshots = SnapshotDirectory(disk: disk, path: paths.snapshots)
        let stateMachine = StateMachineFiles(
            configuration, disk: disk, snapshots: snapshots, database: paths.database, memberID: restored.memberID,
            clusterID: restored.clusterID)
        try restored.takeSentDatabase(stateMachine, backend: &backend)
        // The lock on the database keeps other processes out, so whatever is unfinished here stays so.
        try explaining("cannot clear \(paths.snapshots)") {
            try snapshots.removeUnfinished()
            try snapshots.removeDatabases(below: restored.snapshot.metadata.index)
        }
        // After that, so that an earlier attempt's leftover does not take the room.
        try explaining("cannot defragment the database \(paths.database)") {
            try backend.defragment(ifItFrees: configuration.bootstrapDefragmentationMegabytes << 20)
        }
        let core = try restored.makeCore(configuration, backend: backend, stateMachine, surroundings)
        return OpenedMember(
            core: core, log: restored.log, snapshots: snapshots, paths: paths,
            memberID: restored.memberID, clusterID: restored.clusterID,
            snapshotIndex: restored.snapshot.metadata.index, isNew: isNew,
            firstPeers: restored.firstPeers.filter { $0.id != restored.memberID }, notes: restored.notes)
    }
}

/// Creates the directory `path` with its missing parents and makes each new name durable: what is synchronised inside
/// would be lost with the name of a directory around it.
private func createDurably(_ path: String, _ disk: any Disk) throws(DiskError) {
    if disk.exists(path) { return }
    let parent = parentDirectory(of: path)
    if parent != "/" && parent != "." { try createDurably(parent, disk) }
    try disk.createDirectory(path)
    try disk.synchronizeDirectory(parent)
}

private func parentDirectory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// Turns any error into one line that begins with what was tried.
func explaining<Value>(_ what: String, _ body: () throws -> Value) throws(StartError) -> Value {
    do {
        return try body()
    } catch {
        throw StartError(what.isEmpty ? "\(error)" : "\(what): \(error)")
    }
}

/// The log of a member and what it begins with.
struct RestoredLog {
    var log: WriteAheadLog
    var snapshot: Snapshot
    var hardState: HardState
    var entries: [Entry]
    var memberID: UInt64
    var clusterID: UInt64
    var firstPeers: [Membership.Member] = []
    var notes: [String] = []

    /// The log in the data directory, from its newest good snapshot on.
    static func open(
        _ paths: MemberPaths, disk: any Disk, options: WriteAheadLog.Options
    ) throws(StartError) -> RestoredLog {
        try explaining("cannot open the write-ahead log \(paths.wal)") {
            let records = try WriteAheadLog.validSnapshotEntries(disk: disk, directory: paths.wal)
            let found = try SnapshotDirectory(disk: disk, path: paths.snapshots).loadNewest(among: records)
            let snapshot = found.snapshot ?? Snapshot()
            let start = WALSnapshot(index: snapshot.metadata.index, term: snapshot.metadata.term)
            let opened = try WriteAheadLog.openRepairing(
                disk: disk, directory: paths.wal, at: start, options: options)
            let ids = try ids(in: opened.contents.metadata)
            var notes = found.damaged.map { "\($0)" }
            if let repair = opened.repair {
                notes.append(
                    "repaired the torn tail of \(repair.file) at byte \(repair.offset); the damaged file is \(repair.copy)"
                )
            }
            return RestoredLog(
                log: opened.log, snapshot: snapshot, hardState: opened.contents.hardState,
                entries: opened.contents.entries, memberID: ids.member, clusterID: ids.cluster, notes: notes)
        }
    }

    /// The record with which every segment begins: whose log it is.
    static func metadata(memberID: UInt64, clusterID: UInt64) -> [UInt8] {
        var writer = WireWriter()
        writer.alwaysVarint(1, memberID)
        writer.alwaysVarint(2, clusterID)
        return writer.bytes
    }

    private static func ids(in metadata: [UInt8]) throws -> (member: UInt64, cluster: UInt64) {
        try metadata.withUnsafeBytes { bytes in
            var ids: (member: UInt64, cluster: UInt64) = (0, 0)
            var reader = WireReader(bytes)
            while let tag = try reader.next() {
                switch tag.field {
                case 1: ids.member = try reader.varint(tag)
                case 2: ids.cluster = try reader.varint(tag)
                default: try reader.skip(tag)
                }
            }
            guard ids.member != 0 else { throw StartError("the log's metadata names no member") }
            return ids
        }
    }

    /// Takes up an installation that a crash has interrupted: the log says that the snapshot is this member's state, and
    /// the database that came with it still lies beside the old one.
    mutating func takeSentDatabase(_ stateMachine: StateMachineFiles, backend: inout Backend) throws(StartError) {
        let index = snapshot.metadata.index
        guard index > backend.consistentIndex else { return }
        guard stateMachine.hasSentDatabase(index: index) else {
            throw StartError(
                "the database \(backend.path) (consistent index \(backend.consistentIndex)) is older than the snapshot"
                    + " (index \(index)), and the database that came with the snapshot is not there: it does not belong to"
                    + " this log")
        }
        backend.close()
        backend = try explaining("cannot go on with the snapshot at index \(index)") {
            try stateMachine.takeSentDatabase(index: index)
        }
        notes.append("put the database of the leader's snapshot at index \(index) in place, as an earlier run began to")
    }

    /// The member that goes on from here.
    mutating func makeCore(
        _ configuration: MemberConfiguration, backend: Backend, _ stateMachine: StateMachineFiles,
        _ surroundings: MemberSurroundings
    ) throws(StartError) -> MemberCore {
        let applier = try explaining("cannot restore the database") {
            try stateMachine.open(backend, snapshot: snapshot)
        }
        let storage = MemoryLogStorage()
        let electionTicks = configuration.electionMilliseconds / configuration.heartbeatMilliseconds
        var raftConfiguration = Raft.Configuration(
            id: memberID, electionTicks: electionTicks,
            randomNumber: surroundings.randomNumber)
        raftConfiguration.applied = snapshot.metadata.index
        raftConfiguration.asynchronousStorageWrites = true
        raftConfiguration.preVote = configuration.preVote
        raftConfiguration.log = surroundings.raftLog
        let raft = try explaining("cannot restore the Raft state") {
            if !snapshot.isEmpty { try storage.applySnapshot(snapshot) }
            storage.setHardState(hardState)
            storage.append(entries)
            return try RawNode(raftConfiguration, storage: storage)
        }
        var settings = MemberCore.Settings(
            memberID: memberID, electionMilliseconds: Int64(configuration.electionMilliseconds),
            electionTicks: electionTicks, quotaBytes: configuration.quotaBackendBytes,
            catchUpEntries: configuration.snapshotCatchUpEntries)
        settings.strictReconfigurationCheck = configuration.strictReconfigurationCheck
        settings.maximumLearners = configuration.maximumLearners
        settings.keepsCompactedViews = configuration.corruptionChecks.compactions
        settings.leaseCheckpoints = configuration.leaseCheckpoints.recorded
        return MemberCore(
            settings: settings,
            raft: raft, log: storage, applier: applier, stateMachine: stateMachine, snapshot: snapshot.metadata,
            requestIDs: RequestIDs(memberID: memberID, startedAt: surroundings.unixMilliseconds, series: .member))
    }
}
