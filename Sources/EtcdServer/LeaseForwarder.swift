import EtcdAPI
import Lease
import NIOCore
import PeerTransport
import Synchronization
import WireFormat

/// Takes to the leader what only it can do with leases: renewals, and questions for the time that is left. They go over
/// its peer port, as etcd's members send them, and are tried again until the request's time is over.
///
/// A few requests are under way at a time. Renewals of one lease that come while one of it waits share it.
final class LeaseForwarder: Sendable {
    static let renewalPath = "/leases"
    static let questionPath = "/leases/internal"
    /// Requests under way at a time; more would only queue at the leader.
    private static let concurrency = 16
    /// Questions that may wait.
    private static let questionLimit = 1_000
    /// Between two attempts, in milliseconds.
    private static let pause: Int64 = 50
    /// One attempt may take this long, in milliseconds: a leader that is gone without a word must not take all the time.
    private static let attemptTimeout: Int64 = 2_000

    typealias Renewed = @Sendable (RenewalOutcome) -> Void

    private struct Waiting {
        var replies: [Renewed] = []
        var since: Int64
    }

    private struct State {
        /// Renewals that no request was made for yet, by lease.
        var waiting: [Int64: Waiting] = [:]
        var queue: [Int64] = []
        var workers = 0
        var questions = 0
    }

    private enum Leader {
        case here
        case at([String])
        case unknown
    }

    private let member: MemberThread
    private let peers: PeerTransport
    private let requestTimeout: Int64
    private let state = Mutex(State())

    init(member: MemberThread, peers: PeerTransport, requestTimeout: Int64) {
        self.member = member
        self.peers = peers
        self.requestTimeout = requestTimeout
    }

    // MARK: Renewals

    /// Renews `lease` at the leader, and tells what came of it.
    func renew(_ lease: Int64, _ reply: @escaping Renewed) {
        let startsWorker = state.withLock { state -> Bool in
            if state.waiting[lease] == nil {
                state.waiting[lease] = Waiting(since: Clock.milliseconds)
                state.queue.append(lease)
            }
            state.waiting[lease]?.replies.append(reply)
            guard state.workers < min(Self.concurrency, state.queue.count) else { return false }
            state.workers += 1
            return true
        }
        if startsWorker { Task { await work() } }
    }

    private func work() async {
        while let (lease, waiting) = takeNext() {
            let outcome = await renewAtLeader(lease, until: waiting.since + requestTimeout)
            for reply in waiting.replies { reply(outcome) }
        }
    }

    private func takeNext() -> (Int64, Waiting)? {
        state.withLock { state in
            guard !state.queue.isEmpty else {
                state.workers -= 1
                return nil
            }
            let batch = state.queue.removeFirst()
            return state.waiting.removeValue(forKey: batch).map { (batch, $0) }
        }
    }

    private func renewAtLeader(_ lease: Int64, until end: Int64) async -> RenewalOutcome {
        var writer = WireWriter()
        writer.int64(1, lease)
        let body = writer.bytes
        return await attempt(until: end) { leader in
            switch leader {
            case .here:
                let outcome = await renewHere(lease)
                if case .notPrimary = outcome { return nil }
                return outcome
            case .at(let urls):
                guard let response = await ask(Self.renewalPath, body, urls, until: end) else { return nil }
                if response.status == 404 { return .gone }
                guard response.status == 200, let ttl = Self.ttl(in: response.body, of: lease) else { return nil }
                return .renewed(ttl: ttl)
            case .unknown: return nil
            }
        } failed: {
            .failed($0)
        }
    }

    private func renewHere(_ lease: Int64) async -> RenewalOutcome {
        await withCheckedContinuation { continuation in
            member.perform { $0.renew(lease) { continuation.resume(returning: $0) } }
        }
    }

    /// The seconds that the answer to a renewal names; nil when it is none to the renewal of `lease`.
    private static func ttl(in body: [UInt8], of lease: Int64) -> Int64? {
        body.withUnsafeBytes { bytes in
            var reader = WireReader(bytes)
            var id: Int64 = 0
            var ttl: Int64 = 0
            do throws(WireError) {
                while let tag = try reader.next() {
                    switch tag.field {
                    case 2: id = try reader.int64(tag)
                    case 3: ttl = try reader.int64(tag)
                    default: try reader.skip(tag)
                    }
                }
            } catch {
                return nil
            }
            return id == lease ? ttl : nil
        }
    }

    // MARK: Questions

    /// Asks the leader for the time that `lease` has left: nil when there is no such lease.
    func timeToLive(of lease: Int64, keys: Bool) async -> Result<LeaseTimeToLive?, EtcdError> {
        let mayAsk = state.withLock { state in
            guard state.questions < Self.questionLimit else { return false }
            state.questions += 1
            return true
        }
        guard mayAsk else { return .failure(.tooManyRequests) }
        defer { state.withLock { $0.questions -= 1 } }
        let end = Clock.milliseconds + requestTimeout
        let body = LeaseInternal.request(lease: lease, keys: keys)
        return await attempt(until: end) { leader in
            switch leader {
            case .here: return await timeToLiveHere(of: lease, keys: keys)
            case .at(let urls):
                guard let response = await ask(Self.questionPath, body, urls, until: end) else { return nil }
                if response.status == 404 { return .success(nil) }
                guard response.status == 200 else { return nil }
                return LeaseInternal.timeToLive(in: response.body, of: lease).map { .success($0) }
            case .unknown: return nil
            }
        } failed: {
            .failure($0)
        }
    }

    private func timeToLiveHere(of lease: Int64, keys: Bool) async -> Result<LeaseTimeToLive?, EtcdError>? {
        let answer = await withCheckedContinuation { continuation in
            member.perform { $0.timeToLive(of: lease, keys: keys) { continuation.resume(returning: $0) } }
        }
        switch answer {
        case .success(let found): return .success(found)
        case .failure(.timedOut): return .failure(.timeoutWaitAppliedIndex)
        case .failure(.notPrimary): return nil
        }
    }

    // MARK: Attempts

    /// Tries `body` with whoever leads until it gives an answer or the time is over.
    private func attempt<Answer>(
        until end: Int64, _ body: (Leader) async -> Answer?, failed: (EtcdError) -> Answer
    ) async -> Answer {
        var isLed = false
        repeat {
            let leader = await leader()
            if case .unknown = leader { isLed = false } else { isLed = true }
            if let answer = await body(leader) { return answer }
            try? await Task.sleep(for: .milliseconds(Self.pause))
        } while Clock.milliseconds < end
        return failed(isLed ? .timeout : .noLeader)
    }

    private func leader() async -> Leader {
        await withCheckedContinuation { continuation in
            member.perform { member in
                let core = member.core
                let urls = core.applier.cluster.members[core.leader]?.peerURLs ?? []
                continuation.resume(returning: core.isLeader ? .here : urls.isEmpty ? .unknown : .at(urls))
            }
        }
    }

    private func ask(_ path: String, _ body: [UInt8], _ urls: [String], until end: Int64) async -> PeerResponse? {
        let timeout = min(Self.attemptTimeout, max(1, end - Clock.milliseconds))
        let request = PeerRequest("POST", path, headers: [("content-type", "application/protobuf")], body: body)
        return try? await peers.request(request, urls: urls, timeout: .milliseconds(timeout))
    }
}
