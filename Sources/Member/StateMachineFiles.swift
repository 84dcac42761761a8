import Applier
import Backend
import Configuration
import Disk
import Lease
import MVCC
import Membership
import RaftMessages
import StoreV2
import WriteAheadLog

/// Why a leader's snapshot could not become this member's state, in one line.
public struct SnapshotInstallationError: Error, CustomStringConvertible {
    public var description: String
}

/// A state machine that was opened for ``MemberCore/appended(_:restored:)``; it changes hands between threads once.
public final class RestoredState: @unchecked Sendable {
    /// The index of the snapshot that it is.
    public let index: UInt64
    let applier: Applier

    init(index: UInt64, applier: Applier) {
        self.index = index
        self.applier = applier
    }
}

/// Where a member's state machine lies on the disk, and how it is opened: at the start, and again when a leader's
/// snapshot replaces it.
public struct StateMachineFiles: Sendable {
    private let disk: any Disk
    private let snapshots: SnapshotDirectory
    private let database: String
    private let leases: LeaseConfiguration
    private let memberID: UInt64
    private let clusterID: UInt64

    /// The files of the member `memberID`, whose database is at the path `database` and comes there from `snapshots`.
    init(
        _ configuration: MemberConfiguration, disk: any Disk, snapshots: SnapshotDirectory, database: String,
        memberID: UInt64, clusterID: UInt64
    ) {
        self.disk = disk
        self.snapshots = snapshots
        self.database = database
        self.memberID = memberID
        self.clusterID = clusterID
        var leases = LeaseConfiguration()
        leases.minimumTTL = LeaseConfiguration.minimumTTL(
            electionTicks: configuration.electionMilliseconds / configuration.heartbeatMilliseconds,
            heartbeatMilliseconds: configuration.heartbeatMilliseconds)
        leases.persistsCheckpoints = configuration.leaseCheckpoints.persisted
        self.leases = leases
    }

    /// The state machine in `backend`, with the members that `snapshot` names. Its store publishes through `publisher`
    /// when one is given, from the next publication on.
    func open(_ backend: Backend, snapshot: Snapshot, publisher: StorePublisher? = nil) throws -> Applier {
        let keyTree = snapshot.isEmpty ? KeyTree() : try KeyTree(decoding: snapshot.data)
        let cluster = try Cluster(id: clusterID, in: keyTree)
        for version in [cluster.version, try Applier.storedVersion(backend)] {
            if let refusal = StartError(unlessServed: version) { throw refusal }
        }
        // Leases come before the store, whose keys hang on them.
        let lessor = Lessor(configuration: leases, storage: BackendLeases(backend))
        try lessor.restore(try backend.all(.lease))
        let store = try Store(backend: backend, publisher: publisher)
        for (key, lease) in store.takeRestoredLeases() where lessor.contains(lease) {
            try lessor.attach(id: lease, key: key)
        }
        return try Applier(
            backend: backend, store: store, lessor: lessor, cluster: cluster, keyTree: keyTree, memberID: memberID)
    }

    /// Whether the database that a leader sent with its snapshot at `index` lies here.
    func hasSentDatabase(index: UInt64) -> Bool { disk.exists(snapshots.databasePath(index: index)) }

    /// Puts the database that a leader sent with its snapshot at `index` in the place of the present one, and opens it.
    /// Readers that have views of the present one go on with them.
    func takeSentDatabase(index: UInt64) throws -> Backend {
        let sent = snapshots.databasePath(index: index)
        // Looked at before it takes the old one's place, so that a wrong file costs nothing but the start.
        let consistentIndex = try Backend.consistentIndex(in: sent, on: disk)
        guard consistentIndex >= index else {
            throw SnapshotInstallationError(
                description: "the database \(sent) has applied entries up to index \(consistentIndex) only")
        }
        try disk.rename(sent, to: database)
        try disk.synchronizeDirectory(snapshots.path)
        return try Backend(disk: disk, path: database)
    }

    /// Opens the state that `snapshot`, whose record the log has, brings. Any thread may call this, as long as nobody
    /// commits to the present database or defragments it from the beginning of the call on.
    public func restore(
        _ snapshot: Snapshot, publisher: StorePublisher
    ) throws(SnapshotInstallationError) -> RestoredState {
        let index = snapshot.metadata.index
        do {
            let backend = try takeSentDatabase(index: index)
            return RestoredState(index: index, applier: try open(backend, snapshot: snapshot, publisher: publisher))
        } catch {
            throw SnapshotInstallationError(
                description: "the leader's snapshot at index \(index) cannot be installed: \(error)")
        }
    }
}

/// The `lease` bucket, as the lessor writes it.
private final class BackendLeases: LeaseStorage {
    private let backend: Backend

    init(_ backend: Backend) {
        self.backend = backend
    }

    func put(id: Int64, record: [UInt8]) {
        backend.put(.lease, LeaseRecord.key(of: id), record)
    }

    func delete(id: Int64) {
        backend.delete(.lease, LeaseRecord.key(of: id))
    }
}
