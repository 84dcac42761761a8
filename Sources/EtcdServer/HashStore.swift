import EtcdAPI
import FoundationEssentials
import Logging
import MVCC
import Member
import Membership
import Metrics
import NIOPosix
import PeerTransport
import Synchronization

/// The hashes by which members compare their data: made on a thread of their own, and kept for the newest compactions.
final class HashStore: Sendable {
    /// Where a member answers with the hash at a revision.
    static let path = "/members/hashkv"
    /// Compactions whose hashes are kept, as in etcd.
    private static let keptLimit = 10
    /// Compactions that may wait to be hashed; each pins the store as it was. Those beyond are not compared.
    private static let waitingLimit = 2

    private struct State {
        /// In the order of their revisions.
        var kept: [RevisionHash] = []
        var waiting = 0
    }

    private let hashers: NIOThreadPool
    private let publisher: StorePublisher
    private let logger: Logger
    private let durations: Histogram
    private let state = Mutex(State())

    init(hashers: NIOThreadPool, publisher: StorePublisher, logger: Logger, metrics: StoreMetrics) {
        durations = metrics.hashesByRevision
        self.hashers = hashers
        self.publisher = publisher
        self.logger = logger
    }

    /// The kept hashes of compactions, the newest first.
    var compactions: [RevisionHash] { state.withLock { $0.kept.reversed() } }

    /// Hashes the store as `view` has it, before a compaction at `revision`.
    func noteCompaction(_ view: StoreView, at revision: Int64) {
        let mayWait = state.withLock { state in
            guard state.waiting < Self.waitingLimit else { return false }
            state.waiting += 1
            return true
        }
        guard mayWait else { return }
        hashers.submit { [self] _ in
            let hash = Result { () throws(StoreError) in try self.hash(view, at: revision) }
            state.withLock { state in
                state.waiting -= 1
                guard case .success(let hash) = hash else { return }
                let place = state.kept.firstIndex { $0.revision >= hash.revision } ?? state.kept.count
                state.kept.insert(hash, at: place)
                if state.kept.count > Self.keptLimit { state.kept.removeFirst() }
            }
            if case .failure(let error) = hash {
                logger.warning("failed to hash before a compaction", metadata: ["error": .string("\(error)")])
            }
        }
    }

    /// The hash at `revision` (0 for the current one), and that of the compaction when there was one at it.
    func hash(at revision: Int64) async -> Result<RevisionHash, StoreError> {
        let view = publisher.latest()
        if revision > 0, var kept = state.withLock({ state in state.kept.first { $0.revision == revision } }) {
            kept.currentRevision = view.currentRevision
            return .success(kept)
        }
        return await withCheckedContinuation { continuation in
            hashers.submit { [self] _ in
                continuation.resume(returning: Result { () throws(StoreError) in try self.hash(view, at: revision) })
            }
        }
    }

    private func hash(_ view: StoreView, at revision: Int64) throws(StoreError) -> RevisionHash {
        let start = Clock.nanoseconds
        defer { durations.observe(nanoseconds: Clock.nanoseconds - start) }
        return try view.hashByRevision(revision)
    }
}

/// The bodies of `/members/hashkv`: etcd's messages as Go writes them in JSON, where zero is left out.
struct HashQuestion: Codable {
    var revision: Int64?
}

struct HashAnswer: Codable {
    struct Header: Codable {
        var revision: Int64?
    }

    var header: Header?
    var hash: UInt32?
    var compactRevision: Int64?
    var hashRevision: Int64?

    enum CodingKeys: String, CodingKey {
        case header, hash
        case compactRevision = "compact_revision"
        case hashRevision = "hash_revision"
    }
}

extension PeerService {
    /// Answers with the hash of this member's data at the revision that `call` names.
    func hashKV(_ call: PeerCall) {
        if refuseAllBut(["GET"], call) { return }
        let ownCluster = Identity.text(status.clusterID)
        let cluster = call.request.headers.first { $0.name == "x-etcd-cluster-id" }?.value ?? ""
        guard cluster.isEmpty || cluster == ownCluster else {
            call.respond(PeerResponse(status: 412, text: "cluster ID mismatch\n"))
            return
        }
        guard let question = try? JSONDecoder().decode(HashQuestion.self, from: Data(call.request.body)) else {
            call.respond(PeerResponse(status: 400, text: "error unmarshalling request\n"))
            return
        }
        Task {
            switch await hashes.hash(at: question.revision ?? 0) {
            case .success(let hash): call.respond(Self.response(hash, cluster: ownCluster))
            case .failure(let error):
                let text = EtcdError(error).message.replacing("etcdserver: ", with: "")
                call.respond(PeerResponse(status: 400, text: "\(text)\n"))
            }
        }
    }

    private static func response(_ hash: RevisionHash, cluster: String) -> PeerResponse {
        let answer = HashAnswer(
            header: .init(revision: hash.currentRevision), hash: hash.hash, compactRevision: hash.compactRevision,
            hashRevision: hash.revision)
        guard let body = try? JSONEncoder().encode(answer) else {
            preconditionFailure("four numbers do not encode")
        }
        return PeerResponse(
            status: 200, headers: [("content-type", "application/json"), ("x-etcd-cluster-id", cluster)],
            body: Array(body))
    }
}
