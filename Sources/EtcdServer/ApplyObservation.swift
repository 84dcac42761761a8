import Applier
import EtcdAPI
import Logging
import MVCC
import Metrics

/// Times the application of each entry, and tells of those that take too long. Belongs to the member's thread.
final class ApplyObservation: ApplyObserver {
    private struct Series {
        var succeeded: Histogram?
        var failed: Histogram?
    }

    private let metrics: ServerMetrics
    private let slow: SlowRequests
    /// By the kind's number, for those that come often.
    private var usual: [Series] = Array(repeating: Series(), count: 16)
    private var others: [RaftRequestView.Kind: Series] = [:]

    init(_ metrics: ServerMetrics, _ slow: SlowRequests) {
        self.metrics = metrics
        self.slow = slow
    }

    var now: Int64 { Clock.nanoseconds }

    func applied(
        _ kind: RaftRequestView.Kind, _ request: RaftRequestView, _ reply: Applier.Reply, from start: Int64,
        to end: Int64
    ) {
        histogram(kind, succeeded: reply.countsAsSuccess).observe(nanoseconds: end - start)
        if end - start > slow.applyLimit {
            slow.noteApply(took: end - start, prefix: "", request: RequestText.describe(request), reply: reply)
        }
    }

    private func histogram(_ kind: RaftRequestView.Kind, succeeded: Bool) -> Histogram {
        let number = kind.rawValue
        if number < usual.count {
            let found = succeeded ? usual[number].succeeded : usual[number].failed
            if let found { return found }
        }
        var series = number < usual.count ? usual[number] : others[kind] ?? Series()
        if let found = succeeded ? series.succeeded : series.failed { return found }
        let made = metrics.applyDurations["v3", RequestText.name(kind), succeeded ? "true" : "false"]
        if succeeded { series.succeeded = made } else { series.failed = made }
        if number < usual.count { usual[number] = series } else { others[kind] = series }
        return made
    }
}

extension Applier.Reply {
    /// etcd counts a compaction that came too late as done.
    fileprivate var countsAsSuccess: Bool {
        guard case .failure(let error) = self else { return true }
        return error == .compacted
    }
}

/// Counts and times reads, which no entry carries. Any thread.
final class ReadObservation: Sendable {
    private let store: StoreMetrics
    private let succeeded: Histogram
    private let failed: Histogram
    private let slow: SlowRequests

    init(_ metrics: MemberMetrics, _ slow: SlowRequests) {
        store = metrics.store
        succeeded = metrics.server.rangeDurations["true"]
        failed = metrics.server.rangeDurations["false"]
        self.slow = slow
    }

    /// Runs a range that came at `arrival`, in nanoseconds of the monotonic clock.
    func range(
        _ request: RangeRequest, arrival: Int64, _ body: () throws(EtcdError) -> [UInt8]?
    ) throws(EtcdError) -> [UInt8]? {
        let start = Clock.nanoseconds
        do throws(EtcdError) {
            // What is large is noted later, by `noteRange`.
            guard let reply = try body() else { return nil }
            store.ranges.add()
            let end = Clock.nanoseconds
            succeeded.observe(nanoseconds: end - start)
            if end - arrival > slow.applyLimit {
                slow.noteApply(
                    took: end - arrival, prefix: "read-only range ", request: RequestText.describe(request),
                    reply: .message(reply))
            }
            return reply
        } catch {
            store.ranges.add()
            let end = Clock.nanoseconds
            failed.observe(nanoseconds: end - start)
            if end - arrival > slow.applyLimit {
                slow.noteApply(
                    took: end - arrival, prefix: "read-only range ", request: RequestText.describe(request),
                    reply: .failure(error))
            }
            throw error
        }
    }

    /// Notes a range that is answered in pieces, when its length is known or it has failed.
    func noteRange(_ request: RangeRequest, arrival: Int64, _ outcome: LargeReads.Outcome) {
        store.ranges.add()
        let took = Clock.nanoseconds - outcome.start
        if case .failure = outcome.answer {
            failed.observe(nanoseconds: took)
        } else {
            succeeded.observe(nanoseconds: took)
        }
        noteSlow("read-only range ", arrival, outcome) { RequestText.describe(request) }
    }

    /// Notes a transaction that is answered in pieces, when its length is known or it has failed.
    func noteTransaction(_ request: TxnRequest, arrival: Int64, _ outcome: LargeReads.Outcome) {
        if case .success(let answer) = outcome.answer {
            store.ranges.add(answer.counts.ranges)
            store.transactions.add(answer.counts.transactions)
        }
        noteSlow("read-only txn ", arrival, outcome) { RequestText.describe(request) }
    }

    private func noteSlow(
        _ prefix: String, _ arrival: Int64, _ outcome: LargeReads.Outcome, _ request: () -> String
    ) {
        let took = Clock.nanoseconds - arrival
        guard took > slow.applyLimit else { return }
        slow.noteApply(took: took, prefix: prefix, request: request(), outcome: outcome.answer.map(\.length))
    }

    /// Runs a transaction that only reads.
    func transaction(
        _ request: TxnRequest, arrival: Int64, _ body: (inout OperationCounts) throws(EtcdError) -> [UInt8]
    ) throws(EtcdError) -> [UInt8] {
        var counts = OperationCounts()
        defer {
            store.ranges.add(counts.ranges)
            store.transactions.add(counts.transactions)
        }
        let reply = try body(&counts)
        let took = Clock.nanoseconds - arrival
        if took > slow.applyLimit {
            slow.noteApply(
                took: took, prefix: "read-only txn ", request: RequestText.describe(request), reply: .message(reply))
        }
        return reply
    }
}
