import Applier
import EtcdAPI
import Lease
import Member

/// What came of a renewal at this member.
enum RenewalOutcome: Sendable {
    /// The lease has this many seconds again.
    case renewed(ttl: Int64)
    /// There is no such lease, or it has run out.
    case gone
    /// This member is not the one that counts the leases down.
    case notPrimary
    /// The renewal could not be made certain in time.
    case failed(EtcdError)
}

/// Renewals and questions about leases, which only the leader answers.
///
/// A leader that was replaced without knowing it would promise time that its successor does not give, so it confirms
/// first that it still leads, once for all renewals of a turn.
extension MemberThread {
    /// How long another member waits here for entries to be applied, in milliseconds (etcd's applyTimeout).
    private static let applyTimeout: Int64 = 1_000

    /// Renews leases for the streams of one event loop.
    func renew(_ keepAlives: [Gateway.KeepAlive], _ gateway: Gateway) {
        guard core.isLeader else {
            forward(permitted(keepAlives, gateway), gateway)
            return
        }
        whenCurrent(timeout: core.settings.requestTimeout) { [self] error in
            let keepAlives = permitted(keepAlives, gateway)
            guard error == nil else { return forward(keepAlives, gateway) }
            renewHere(keepAlives.map(\.lease)) { [self] part in deliver(part, of: keepAlives, gateway) }
        }
    }

    private func deliver(_ part: [(Int, RenewalOutcome)], of keepAlives: [Gateway.KeepAlive], _ gateway: Gateway) {
        let header = header()
        var replies: [(LeaseKeepAliveStream, Result<[UInt8], EtcdError>)] = []
        for (index, outcome) in part {
            let keepAlive = keepAlives[index]
            switch outcome {
            case .renewed(let ttl):
                let message = LeaseService.keepAliveResponse(header, lease: keepAlive.lease, ttl: ttl)
                replies.append((keepAlive.stream, .success(message)))
            case .gone:
                // A lease that is gone has no time to live; that is no error.
                let message = LeaseService.keepAliveResponse(header, lease: keepAlive.lease, ttl: 0)
                replies.append((keepAlive.stream, .success(message)))
            case .notPrimary: forward([keepAlive], gateway)
            case .failed(let error): replies.append((keepAlive.stream, .failure(error)))
            }
        }
        guard !replies.isEmpty else { return }
        let batch = replies
        gateway.eventLoop.execute {
            for (stream, reply) in batch { stream.deliver(reply) }
        }
    }

    private func forward(_ keepAlives: [Gateway.KeepAlive], _ gateway: Gateway) {
        for keepAlive in keepAlives {
            running.leases.renew(keepAlive.lease) { [self] outcome in
                perform { $0.deliver([(0, outcome)], of: [keepAlive], gateway) }
            }
        }
    }

    /// Renews `leases` after this member has been confirmed as leader, and tells what came of them by their places in the
    /// list: at once, or when the log has forgotten what it had recorded of a lease.
    private func renewHere(_ leases: [Int64], _ done: @escaping ([(Int, RenewalOutcome)]) -> Void) {
        let now = Clock.milliseconds
        var part: [(Int, RenewalOutcome)] = []
        var recorded: [(index: Int, ttl: Int64)] = []
        for (index, lease) in leases.enumerated() {
            do throws(LeaseError) {
                let renewal = try core.applier.lessor.renew(id: lease, now: now)
                running.metrics.leases.renewed.add()
                if renewal.clearsCheckpoint {
                    recorded.append((index, renewal.ttl))
                } else {
                    part.append((index, .renewed(ttl: renewal.ttl)))
                }
            } catch .notPrimary {
                part.append((index, .notPrimary))
            } catch {
                part.append((index, .gone))
            }
        }
        if !part.isEmpty { done(part) }
        guard !recorded.isEmpty else { return }
        let id = core.clearCheckpoints(of: recorded.map { leases[$0.index] }, now: now)
        let later = recorded
        whenApplied(id) { error in
            done(later.map { ($0.index, error.map { .failed($0) } ?? .renewed(ttl: $0.ttl)) })
        }
    }

    /// Renews one lease, for another member or for one's own that was asked meanwhile.
    func renew(_ lease: Int64, _ done: @escaping @Sendable (RenewalOutcome) -> Void) {
        guard core.isLeader else { return done(.notPrimary) }
        whenCurrent(timeout: Self.applyTimeout) { [self] error in
            if let error { return done(error == .leaderChanged ? .notPrimary : .failed(error)) }
            renewHere([lease]) { part in for (_, outcome) in part { done(outcome) } }
        }
    }

    /// What this leader knows of the time of a lease: nil when the lease does not exist.
    func timeToLive(
        of lease: Int64, keys: Bool,
        _ done: @escaping @Sendable (Result<LeaseTimeToLive?, LeaseQuestionFailure>) -> Void
    ) {
        guard core.isLeader else { return done(.failure(.notPrimary)) }
        whenCurrent(timeout: Self.applyTimeout) { [self] error in
            if let error { return done(.failure(error == .leaderChanged ? .notPrimary : .timedOut)) }
            let lessor = core.applier.lessor
            guard lessor.isPrimary else { return done(.failure(.notPrimary)) }
            done(.success(try? lessor.timeToLive(id: lease, now: Clock.milliseconds, keys: keys)))
        }
    }
}

/// Why a member cannot say what time a lease has left.
enum LeaseQuestionFailure: Error {
    case notPrimary
    case timedOut
}
