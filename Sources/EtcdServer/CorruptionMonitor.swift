import Configuration
import EtcdAPI
import FoundationEssentials
import Logging
import MVCC
import Member
import Membership
import NIOCore
import PeerTransport
import Synchronization

/// Why a member does not start: its data differs from the others'.
struct DataInconsistency: Error, CustomStringConvertible {
    var memberID: UInt64

    var description: String { "\(Identity.text(memberID)) found data inconsistency with peers" }
}

/// Compares this member's data with the others', before it serves and, while it leads, from time to time. Members whose
/// data differs raise the alarm CORRUPT, with which the cluster takes no more writes.
final class CorruptionMonitor: Sendable {
    private let checks: CorruptionChecks
    private let hashes: HashStore
    private let member: MemberThread
    private let peers: PeerTransport
    private let status: MemberStatus
    private let timeout: Int64
    private let logger: Logger
    /// The newest compaction that all members were found to agree on.
    private let checkedRevision = Atomic<Int64>(0)
    private let tasks = Mutex<[Task<Void, Never>]>([])

    init(
        _ checks: CorruptionChecks, hashes: HashStore, member: MemberThread, peers: PeerTransport,
        status: MemberStatus, requestTimeout: Int64, logger: Logger
    ) {
        self.checks = checks
        self.hashes = hashes
        self.member = member
        self.peers = peers
        self.status = status
        timeout = requestTimeout
        self.logger = logger
    }

    /// Begins the checks that are made from time to time.
    func start() {
        if checks.periodMilliseconds > 0 {
            repeating(every: checks.periodMilliseconds) { [self] in await compareAll() }
        }
        if checks.compactions {
            repeating(every: checks.compactionsMilliseconds) { [self] in await compareCompactions() }
        }
    }

    func stop() {
        for task in tasks.withLock({ $0 }) { task.cancel() }
    }

    private func repeating(every milliseconds: Int64, _ check: @escaping @Sendable () async -> Void) {
        let task = Task { [status] in
            while (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil {
                if status.leader.load(ordering: .relaxed) == status.memberID { await check() }
            }
        }
        tasks.withLock { $0.append(task) }
    }

    // MARK: Before serving

    /// Compares what this member holds with the members at `others`, who may be fewer or none yet.
    func checkBeforeServing(others: [(id: UInt64, urls: [String])]) async throws {
        guard checks.initial else { return }
        logger.info("starting initial corruption check", metadata: metadata())
        let own = try await hashes.hash(at: 0).get()
        let answers = await ask(others, at: own.revision).compactMap { $0 }
        let differing = CorruptionVerdict.differing(from: own, answers)
        for answer in answers where differing.contains(answer.memberID) {
            logger.warning("found different hash values from remote peer", metadata: metadata(own, answer))
        }
        guard differing.isEmpty else { throw DataInconsistency(memberID: status.memberID) }
        logger.info("initial corruption checking passed; no corruption", metadata: metadata())
    }

    // MARK: While leading

    private func compareAll() async {
        guard case .success(let before) = await hashes.hash(at: 0) else { return }
        let answers = await ask(await otherMembers(), at: before.revision).compactMap { $0 }
        guard await isStillLeader(), case .success(let after) = await hashes.hash(at: 0) else { return }
        let wrong = CorruptionVerdict.wrongMember(leader: status.memberID, before: before, after: after, answers)
        if let wrong {
            for answer in answers where answer.memberID == wrong {
                logger.warning("found a member whose data differs", metadata: metadata(before, answer))
            }
            raiseAlarm(for: wrong)
        }
        logger.info(
            "finished peer corruption check",
            metadata: ["number-of-peers-checked": .stringConvertible(answers.count)])
    }

    private func compareCompactions() async {
        let unchecked = hashes.compactions.prefix { $0.revision > checkedRevision.load(ordering: .relaxed) }
        for own in unchecked {
            let others = await otherMembers()
            guard !others.isEmpty else { return }
            let answers = await ask(others, at: own.revision)
            switch CorruptionVerdict.compaction(leader: status.memberID, own, peers: answers) {
            case .equal:
                logger.info(
                    "successfully checked hash on whole cluster",
                    metadata: [
                        "number-of-peers-checked": .stringConvertible(answers.count),
                        "revision": .stringConvertible(own.revision),
                    ])
                checkedRevision.store(own.revision, ordering: .relaxed)
                return
            case .incomplete:
                logger.warning(
                    "skipped revision in compaction hash check; was not able to check all peers",
                    metadata: ["revision": .stringConvertible(own.revision)])
            case .corrupt(let members):
                logCompaction(own, answers)
                for member in members { raiseAlarm(for: member) }
                return
            case .undecided:
                logCompaction(own, answers)
                // Nobody can tell who is right, so the alarm is the whole cluster's.
                raiseAlarm(for: 0)
                return
            }
        }
    }

    private func logCompaction(_ own: RevisionHash, _ answers: [MemberHash?]) {
        for answer in answers.compactMap({ $0 }) where answer.hash != own.hash {
            logger.error("Detected compaction hash mismatch", metadata: metadata(own, answer))
        }
    }

    /// Whether this member leads, and has applied what was committed before.
    private func isStillLeader() async -> Bool {
        await withCheckedContinuation { continuation in
            member.perform { [timeout] member in
                member.whenCurrent(timeout: timeout) { error in
                    continuation.resume(returning: error == nil && member.core.isLeader)
                }
            }
        }
    }

    private func raiseAlarm(for id: UInt64) {
        logger.error(
            "a member's data is corrupt: raising the alarm", metadata: ["member-id": .string(Identity.text(id))])
        member.perform { $0.core.raiseCorruptAlarm(for: id, now: Clock.milliseconds) }
    }

    // MARK: The others

    private func otherMembers() async -> [(id: UInt64, urls: [String])] {
        await withCheckedContinuation { continuation in
            member.perform { member in
                let others = member.core.applier.cluster.sortedMembers
                    .filter { $0.id != member.core.settings.memberID }
                continuation.resume(returning: others.map { ($0.id, $0.peerURLs) })
            }
        }
    }

    /// The members' answers in their order; nil for one that gives none.
    private func ask(_ others: [(id: UInt64, urls: [String])], at revision: Int64) async -> [MemberHash?] {
        await withTaskGroup(of: (Int, MemberHash?).self) { group in
            for (index, other) in others.enumerated() {
                group.addTask { [self] in (index, await ask(other.id, other.urls, at: revision)) }
            }
            var answers = [MemberHash?](repeating: nil, count: others.count)
            for await (index, answer) in group { answers[index] = answer }
            return answers
        }
    }

    private func ask(_ id: UInt64, _ urls: [String], at revision: Int64) async -> MemberHash? {
        do {
            let question = try JSONEncoder().encode(HashQuestion(revision: revision))
            let request = PeerRequest(
                "GET", HashStore.path,
                headers: [
                    (name: "content-type", value: "application/json"),
                    (name: "x-etcd-cluster-id", value: Identity.text(status.clusterID)),
                ], body: Array(question))
            let response = try await peers.request(request, urls: urls, timeout: .milliseconds(timeout))
            guard response.status == 200 else {
                logFailure(id, revision, String(decoding: response.body, as: UTF8.self))
                return nil
            }
            let answer = try JSONDecoder().decode(HashAnswer.self, from: Data(response.body))
            return MemberHash(
                memberID: id, hash: answer.hash ?? 0, compactRevision: answer.compactRevision ?? 0,
                currentRevision: answer.header?.revision ?? 0)
        } catch {
            logFailure(id, revision, "\(error)")
            return nil
        }
    }

    private func logFailure(_ id: UInt64, _ revision: Int64, _ reason: String) {
        logger.warning(
            "failed hash kv request",
            metadata: [
                "local-member-id": .string(Identity.text(status.memberID)),
                "remote-peer-id": .string(Identity.text(id)),
                "requested-revision": .stringConvertible(revision), "error": .string(reason),
            ])
    }

    private func metadata() -> Logger.Metadata {
        ["local-member-id": .string(Identity.text(status.memberID)), "timeout": .string("\(timeout)ms")]
    }

    private func metadata(_ own: RevisionHash, _ peer: MemberHash) -> Logger.Metadata {
        [
            "local-member-id": .string(Identity.text(status.memberID)),
            "local-member-revision": .stringConvertible(own.revision),
            "local-member-compact-revision": .stringConvertible(own.compactRevision),
            "local-member-hash": .stringConvertible(own.hash),
            "remote-peer-id": .string(Identity.text(peer.memberID)),
            "remote-peer-revision": .stringConvertible(peer.currentRevision),
            "remote-peer-compact-revision": .stringConvertible(peer.compactRevision),
            "remote-peer-hash": .stringConvertible(peer.hash),
        ]
    }
}
