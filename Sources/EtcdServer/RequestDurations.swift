import EtcdAPI
import Metrics

/// Histograms by the kind of a request and by success, found without a lock. One owner.
struct KindHistograms {
    private struct Series {
        var succeeded: Histogram?
        var failed: Histogram?
    }

    private let make: (_ kind: String, _ succeeded: String) -> Histogram
    /// By the kind's number, for those that come often.
    private var usual: [Series] = Array(repeating: Series(), count: 16)
    private var others: [RaftRequestView.Kind: Series] = [:]

    /// - Parameter make: finds the histogram of a kind, by its name, and of `true` or `false`.
    init(_ make: @escaping (_ kind: String, _ succeeded: String) -> Histogram) {
        self.make = make
    }

    subscript(kind: RaftRequestView.Kind, succeeded succeeded: Bool) -> Histogram {
        mutating get {
            let number = kind.rawValue
            var series = number < usual.count ? usual[number] : others[kind] ?? Series()
            if let found = succeeded ? series.succeeded : series.failed { return found }
            let made = make(RequestText.name(kind), succeeded ? "true" : "false")
            if succeeded { series.succeeded = made } else { series.failed = made }
            if number < usual.count { usual[number] = series } else { others[kind] = series }
            return made
        }
    }
}

/// The times of clients' requests from their arrival to their outcome. Belongs to the member's thread.
///
/// Requests of one kind that came together and end together are noted together.
struct RequestDurations {
    private struct Run: Equatable {
        var kind: RaftRequestView.Kind
        var succeeded: Bool
        var arrival: Int64
    }

    private var durations: KindHistograms
    private var run: Run?
    private var count = 0

    init(_ metrics: ServerMetrics) {
        durations = KindHistograms { metrics.requestDurations[$0, $1] }
    }

    /// Notes a request that came at `arrival` and has ended at `end`, in nanoseconds of the monotonic clock.
    mutating func note(_ kind: RaftRequestView.Kind, succeeded: Bool, from arrival: Int64, to end: Int64) {
        let next = Run(kind: kind, succeeded: succeeded, arrival: arrival)
        if next != run {
            flush(to: end)
            run = next
        }
        count += 1
    }

    /// Notes what has gathered, which ended at `end`.
    mutating func flush(to end: Int64) {
        guard let run else { return }
        durations[run.kind, succeeded: run.succeeded].observe(nanoseconds: end - run.arrival, times: count)
        self.run = nil
        count = 0
    }
}
