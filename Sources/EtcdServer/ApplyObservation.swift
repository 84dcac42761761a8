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
        _ request: RangeRequest, arrival: Int64, _ body: () throws(EtcdError) -> [UInt8]
    ) throws(EtcdError) -> [UInt8] {
        store.ranges.add()
        let start = Clock.nanoseconds
        do throws(EtcdError) {
            let reply = try body()
            let end = Clock.nanoseconds
            succeeded.observe(nanoseconds: end - start)
            if end - arrival > slow.applyLimit {
                slow.noteApply(
                    took: end - arrival, prefix: "read-only range ", request: RequestText.describe(request),
                    reply: .message(reply))
            }
            return reply
        } catch {
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
