import Auth
import Backend
import EtcdAPI
import Lease
import MVCC
import Membership
import RaftMessages
import StoreV2
import WireFormat

/// The replicated state machine: takes committed entries in log order and changes the store, the leases, the alarms and
/// the list of members by them.
///
/// Synchronous and owned by one thread; it knows no clock (the time comes with each call), and what it decides depends
/// on nothing but the entries, so that all members come to the same state.
public final class Applier {
    /// What came of an entry, for the client that waits for it.
    public struct Outcome: Sendable {
        /// The id that the proposer gave the request.
        public var requestID: UInt64
        public var reply: Reply

        /// The outcome of the request `requestID`.
        public init(requestID: UInt64, reply: Reply) {
            self.requestID = requestID
            self.reply = reply
        }
    }

    /// The answer to a request.
    public enum Reply: Sendable {
        /// The encoded response message.
        case message([UInt8])
        case failure(EtcdError)
        /// A compaction to answer with `message` when its revisions are gone from the backend.
        case whenCompacted(revision: Int64, message: [UInt8])
        /// What a request of the version-2 API did or found.
        case storeV2(Result<StoreV2Event, StoreV2Error>)
    }

    public let backend: Backend
    public let store: Store
    public let lessor: Lessor
    /// Users, roles, and whether permissions are checked.
    public let auth: AuthStore
    /// The members as the applied entries say.
    public internal(set) var cluster: Cluster
    /// The term that response headers name.
    public var raftTerm: UInt64 = 0

    /// Whether requests that other members took from their clients are left without an answer. Answers may take far more
    /// time and memory than changes, and nobody here waits for those.
    public var leavesOthersUnanswered = false
    /// Whether the request that is being applied gets an answer.
    var answers = true

    /// The version-2 store, which snapshots carry.
    public let keyTree: KeyTree

    /// Whether the store as it is before each compaction is kept for ``takeCompactedViews()``.
    public var keepsCompactedViews = false
    var compactedViews: [(view: StoreView, revision: Int64)] = []
    let memberID: UInt64
    var alarms: AlarmStore
    /// The version of the backend's layout, from 3.6 on.
    public internal(set) var storageVersion: ClusterVersion?
    /// The entry that took the cluster's version back, while no snapshot lies behind it.
    var wentBackAt: UInt64?
    /// Who is told how long each entry took; nil costs nothing.
    public var observer: (any ApplyObserver)?
    /// When the entry before was applied, or the batch began: the next one is timed from here, so that each costs one
    /// reading of the clock.
    private var observedUntil: Int64 = 0
    /// What was done since the last ``takeCounts()``.
    var counts = OperationCounts()
    /// The commits since the last ``takeCommits()``.
    private var commits: [Commit] = []

    /// An applier over what the backend holds.
    public init(
        backend: Backend, store: Store, lessor: Lessor, cluster: Cluster, keyTree: KeyTree, memberID: UInt64
    ) throws(BackendError) {
        self.keyTree = keyTree
        self.backend = backend
        self.store = store
        self.lessor = lessor
        self.cluster = cluster
        self.memberID = memberID
        alarms = try AlarmStore(backend: backend)
        auth = try AuthStore(backend: backend)
        if let text = try backend.get(.meta, MetaKey.storageVersion) {
            storageVersion = ClusterVersion(String(decoding: text, as: UTF8.self))
        }
        if let state = try backend.get(.cluster, Self.downgradeKey).flatMap({ DowngradeState($0) }) {
            self.cluster.downgradeTarget = state.target
        }
    }

    /// The cluster's version that `backend` holds, of entries behind its newest snapshot too.
    public static func storedVersion(_ backend: Backend) throws(BackendError) -> ClusterVersion? {
        guard let text = try backend.get(.cluster, versionKey) else { return nil }
        return ClusterVersion(String(decoding: text, as: UTF8.self))
    }

    /// The alarms that are raised.
    public var raisedAlarms: [Alarm] { alarms.list(.none) }

    /// Whether writes are refused because a member's data is known to be damaged.
    public var isCorrupt: Bool { alarms.isCorrupt }

    /// Whether writes are refused for want of space.
    public var isOutOfSpace: Bool { alarms.isOutOfSpace }

    /// The commits since the last call, in order, for the watchers.
    public func takeCommits() -> [Commit] {
        guard !commits.isEmpty else { return [] }
        defer { commits.removeAll() }
        return commits
    }

    /// What was done since the last call, in numbers.
    public func takeCounts() -> OperationCounts {
        defer { counts = OperationCounts() }
        return counts
    }

    /// The store before each compaction since the last call, and the revision that was compacted at.
    public func takeCompactedViews() -> [(view: StoreView, revision: Int64)] {
        guard !compactedViews.isEmpty else { return [] }
        defer { compactedViews = [] }
        return compactedViews
    }

    /// Begins to time entries. To be called before each batch of them, and after anything else in between.
    public func beginObserving() {
        if let observer { observedUntil = observer.now }
    }

    /// Applies an entry that carries a request. `now` is in milliseconds of the monotonic clock that leases count by.
    ///
    /// An entry that the backend already holds, as a restart replays them, changes only what the backend does not keep.
    public func apply(_ entry: Entry, now: Int64) -> Outcome? {
        precondition(entry.type == .normal, "a configuration change came to the applier as a request")
        let isNew = entry.index > backend.consistentIndex
        defer { noteApplied(entry) }
        guard !entry.data.isEmpty else { return nil }
        return entry.data.span.withUnsafeBytes { (bytes) -> Outcome? in
            guard let request = try? RaftRequestView(bytes), let kind = request.kind, kind != .v2 else {
                defer { beginObserving() }
                return applyV2(bytes, entry)
            }
            let concernsCluster = [.clusterVersionSet, .clusterMemberAttrSet, .downgradeInfoSet].contains(kind)
            guard isNew || concernsCluster else { return nil }
            answers = !leavesOthersUnanswered || isOwn(request.id)
            let reply = observed(request, kind) { self.reply(to: request, kind, entry, now: now) }
            guard answers else { return nil }
            return Outcome(requestID: request.id, reply: reply)
        }
    }

    /// Whether this member may have given the id: the low bits of a member's id are the high ones of those that it gives, as in
    /// etcd.
    private func isOwn(_ id: UInt64) -> Bool { id >> 48 == memberID & 0xffff }

    private func observed(
        _ request: RaftRequestView, _ kind: RaftRequestView.Kind, _ body: () -> Reply
    ) -> Reply {
        guard let observer else { return body() }
        let reply = body()
        let end = observer.now
        observer.applied(kind, request, reply, from: observedUntil, to: end)
        observedUntil = end
        return reply
    }

    /// Notes that `entry` has been applied when it changed nothing.
    public func noteApplied(_ entry: Entry) {
        if entry.index > backend.consistentIndex { backend.setConsistentIndex(entry.index, term: entry.term) }
    }

    private func reply(
        to request: RaftRequestView, _ kind: RaftRequestView.Kind, _ entry: Entry, now: Int64
    ) -> Reply {
        do throws(EtcdError) {
            if alarms.isCorrupt { try refuseWhenCorrupt(kind) }
            if auth.state.isEnabled { try authorise(kind, request) }
            switch kind {
            case .put: return .message(try put(request.request))
            case .deleteRange:
                return .message(
                    try deleteRange(
                        try decode { () throws(WireError) in try DeleteRangeRequest(decoding: request.request) }))
            case .txn:
                return .message(
                    try txn(try decode { () throws(WireError) in try TxnRequest(decoding: request.request) }))
            case .range:
                guard answers else { return .message([]) }
                let range = try decode { () throws(WireError) in try RangeRequest(decoding: request.request) }
                counts.ranges += 1
                return .message(try RangeQuery.answer(range, on: store, header: header()))
            case .compaction:
                return try compact(
                    try decode { () throws(WireError) in try CompactionRequest(decoding: request.request) })
            case .leaseGrant: return .message(try grantLease(request.request, now: now))
            case .leaseRevoke: return .message(try revokeLease(request.request))
            case .leaseCheckpoint: return .message(try checkpointLeases(request.request, now: now))
            case .alarm: return .message(try alarm(request.request))
            case .clusterVersionSet, .clusterMemberAttrSet, .downgradeInfoSet:
                return .message(try setClusterAttributes(request.request, kind, entry))
            case .v2, .downgradeVersionTest:
                throw EtcdError(.unimplemented, "etcdserver: request \(kind) is not supported")
            default:
                return .message(
                    try applyAuth(kind, request.request, place: (entry.index, entry.term), now: now))
            }
        } catch {
            return .failure(error)
        }
    }

    /// A member whose data differs from the others' takes no writes until a person has looked at it.
    private func refuseWhenCorrupt(_ kind: RaftRequestView.Kind) throws(EtcdError) {
        switch kind {
        case .put, .range, .deleteRange, .txn, .compaction, .leaseGrant, .leaseRevoke: throw .corrupt
        default: return
        }
    }

    func decode<Request>(_ body: () throws(WireError) -> Request) throws(EtcdError) -> Request {
        do throws(WireError) {
            return try body()
        } catch {
            throw EtcdError(.internal, "etcdserver: a log entry does not decode: \(error)")
        }
    }

    /// A response's header at the store's revision.
    func header() -> ResponseHeader {
        ResponseHeader(
            clusterID: cluster.id, memberID: memberID, revision: store.currentRevision, raftTerm: raftTerm)
    }

    /// Ends the store's transaction and moves the leases' attachments after it.
    func endTransaction() -> Commit {
        let commit = store.end()
        guard !commit.changes.isEmpty else { return commit }
        for change in commit.changes {
            if change.lease == 0 {
                if change.previousLease != 0 { lessor.detach(key: change.key) }
            } else if change.lease != change.previousLease {
                // The lease was there when the request was checked, and nothing came between.
                try? lessor.attach(id: change.lease, key: change.key)
            }
        }
        commits.append(commit)
        return commit
    }
}
