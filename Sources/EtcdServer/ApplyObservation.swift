import Applier
import EtcdAPI
import Logging
import MVCC
import Metrics

/// Times the application of each entry, and tells of those that take too long. Belongs to the member's thread.
final class ApplyObservation: ApplyObserver {
    private var durations: KindHistograms
    private let slow: SlowRequests

    init(_ metrics: ServerMetrics, _ slow: SlowRequests) {
        durations = KindHistograms { metrics.applyDurations["v3", $0, $1] }
        self.slow = slow
    }

    var now: Int64 { Clock.nanoseconds }

    func applied(
        _ kind: RaftRequestView.Kind, _ request: RaftRequestView, _ reply: Applier.Reply, from start: Int64,
        to end: Int64
    ) {
        durations[kind, succeeded: reply.countsAsSuccess].observe(nanoseconds: end - start)
        if end - start > slow.applyLimit {
            slow.noteApply(took: end - start, request: RequestText.describe(request), reply: reply)
        }
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
    /// From the arrival of a request to its answer.
    private let ranges: Outcomes
    private let transactions: Outcomes

    private struct Outcomes {
        let succeeded: Histogram
        let failed: Histogram

        init(_ metrics: ServerMetrics, type: String) {
            succeeded = metrics.requestDurations[type, "true"]
            failed = metrics.requestDurations[type, "false"]
        }
    }

    init(_ metrics: MemberMetrics, _ slow: SlowRequests) {
        store = metrics.store
        succeeded = metrics.server.rangeDurations["true"]
        failed = metrics.server.rangeDurations["false"]
        ranges = Outcomes(metrics.server, type: "Range")
        transactions = Outcomes(metrics.server, type: "ReadonlyTxn")
        self.slow = slow
    }

    /// Notes a range that came at `arrival` and is refused before anything is read.
    func noteRefusedRange(arrival: Int64) {
        ranges.failed.observe(nanoseconds: Clock.nanoseconds - arrival)
    }

    /// Notes a transaction that only reads, came at `arrival` and is refused before anything is read.
    func noteRefusedTransaction(arrival: Int64) {
        transactions.failed.observe(nanoseconds: Clock.nanoseconds - arrival)
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
            ranges.succeeded.observe(nanoseconds: end - arrival)
            if end - arrival > slow.applyLimit {
                slow.noteRead(
                    stages(arrival, start, end), prefix: "read-only range ", request: RequestText.describe(request),
                    reply: .message(reply))
            }
            return reply
        } catch {
            store.ranges.add()
            let end = Clock.nanoseconds
            failed.observe(nanoseconds: end - start)
            ranges.failed.observe(nanoseconds: end - arrival)
            if end - arrival > slow.applyLimit {
                slow.noteRead(
                    stages(arrival, start, end), prefix: "read-only range ", request: RequestText.describe(request),
                    reply: .failure(error))
            }
            throw error
        }
    }

    /// Notes a range that is answered in pieces, when its length is known or it has failed.
    func noteRange(_ request: RangeRequest, arrival: Int64, _ outcome: LargeReads.Outcome) {
        store.ranges.add()
        let end = Clock.nanoseconds
        let isFailure = if case .failure = outcome.answer { true } else { false }
        (isFailure ? failed : succeeded).observe(nanoseconds: end - outcome.start)
        (isFailure ? ranges.failed : ranges.succeeded).observe(nanoseconds: end - arrival)
        noteSlow("read-only range ", arrival, outcome) { RequestText.describe(request) }
    }

    /// Notes a transaction that is answered in pieces, when its length is known or it has failed.
    func noteTransaction(_ request: TxnRequest, arrival: Int64, _ outcome: LargeReads.Outcome) {
        if case .success(let answer) = outcome.answer {
            store.ranges.add(answer.counts.ranges)
            store.transactions.add(answer.counts.transactions)
            transactions.succeeded.observe(nanoseconds: Clock.nanoseconds - arrival)
        } else {
            noteRefusedTransaction(arrival: arrival)
        }
        noteSlow("read-only txn ", arrival, outcome) { RequestText.describe(request) }
    }

    private func noteSlow(
        _ prefix: String, _ arrival: Int64, _ outcome: LargeReads.Outcome, _ request: () -> String
    ) {
        let end = Clock.nanoseconds
        guard end - arrival > slow.applyLimit else { return }
        slow.noteRead(
            stages(arrival, outcome.start, end), prefix: prefix, request: request(),
            outcome: outcome.answer.map(\.length))
    }

    private func stages(_ arrival: Int64, _ start: Int64, _ end: Int64) -> SlowRequests.ReadStages {
        SlowRequests.ReadStages(index: start - arrival, read: end - start)
    }

    /// Runs a transaction that only reads.
    func transaction(
        _ request: TxnRequest, arrival: Int64, _ body: (inout OperationCounts) throws(EtcdError) -> [UInt8]
    ) throws(EtcdError) -> [UInt8] {
        let start = Clock.nanoseconds
        var counts = OperationCounts()
        defer {
            store.ranges.add(counts.ranges)
            store.transactions.add(counts.transactions)
        }
        let reply: [UInt8]
        do throws(EtcdError) {
            reply = try body(&counts)
        } catch {
            noteRefusedTransaction(arrival: arrival)
            throw error
        }
        let end = Clock.nanoseconds
        transactions.succeeded.observe(nanoseconds: end - arrival)
        if end - arrival > slow.applyLimit {
            slow.noteRead(
                stages(arrival, start, end), prefix: "read-only txn ", request: RequestText.describe(request),
                reply: .message(reply))
        }
        return reply
    }
}
