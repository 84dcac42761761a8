import EtcdAPI
import GRPC
import MVCC
import Member
import Metrics

/// Calls that wait for an entry of the log or for a linearizable read, from the turn that takes them to the one that answers.
extension MemberThread {
    /// A call that waits for its log entry to be applied.
    struct Waiter {
        var gateway: Gateway
        var kind: RaftRequestView.Kind
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
    static let uncommittedLimit = 256 << 20

    /// Asks for a linearizable read and returns its token.
    func askForRead() -> UInt64 {
        lastReadToken += 1
        core.read(lastReadToken)
        return lastReadToken
    }

    /// Requests that wait for the log.
    var waitingForLog: Int { waiters.count + refusedForSpace.count + storeV2.count }

    func takeBacklog(now: Int64) {
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
                    gateway: batch.gateway, kind: proposal.kind, call: proposal.call, then: proposal.then,
                    span: proposal.span, bytes: proposal.entry.count, deadline: deadline, arrival: batch.arrival,
                    proposed: proposed)
                if let refusal = admission.refusal(waiting: waitingForLog) {
                    refuse(waiter, refusal)
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

    /// Answers the proposals that were applied. Those that were proposed together are noted together.
    func finishProposals(_ output: MemberCore.Output) {
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
            let reply: Result<[UInt8], EtcdError> =
                switch outcome.reply {
                case .message(let message), .whenCompacted(_, let message): .success(message)
                case .failure(let error): .failure(error)
                case .storeV2: .failure(EtcdError(.internal, "etcdserver: an answer of another kind"))
                }
            let succeeded = if case .success = reply { true } else { false }
            durations.note(waiter.kind, succeeded: succeeded, from: waiter.arrival, to: applied)
            answer(waiter, reply)
        }
        noteSync()
        durations.flush(to: applied)
        stages.apply.observe(nanoseconds: applied - turnStart, times: count)
    }

    func noteSlow(_ waiter: Waiter, applied: Int64) {
        running.slow.noteWrite(
            waiter.call.path, peer: waiter.call.peer,
            SlowRequests.Stages(
                queue: waiter.proposed - waiter.arrival, sync: max(0, turnStart - waiter.proposed),
                apply: applied - turnStart))
    }

    func finishReads(_ output: MemberCore.Output) {
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

    /// Answers a request that came to nothing.
    func refuse(_ waiter: Waiter, _ error: EtcdError) {
        let now = Clock.nanoseconds
        durations.note(waiter.kind, succeeded: false, from: waiter.arrival, to: now)
        durations.flush(to: now)
        answer(waiter, .failure(error))
    }

    func answer(_ waiter: Waiter, _ reply: Result<[UInt8], EtcdError>) {
        running.status.pendingBytes.subtract(waiter.bytes, ordering: .relaxed)
        answers[ObjectIdentifier(waiter.gateway), default: (waiter.gateway, [])].1.append(
            waiter.gateway.prepare(waiter.call, reply, then: waiter.then))
    }

    func deliverAnswers() {
        guard !answers.isEmpty else { return }
        for (gateway, batch) in answers.values { gateway.deliver(batch) }
        answers.removeAll(keepingCapacity: true)
    }
}
