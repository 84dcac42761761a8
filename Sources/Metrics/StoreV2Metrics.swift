import Synchronization

/// The version-2 API and its store, which move only while it is switched on: `etcd_http_…` and `etcd_debugging_store_…`.
public final class StoreV2Metrics: Sendable {
    /// Requests for keys, but for watches, by method; `QGET` is a read that goes through the log.
    public let received: Family<Counter>
    /// Those that were refused, by method and HTTP status.
    public let failed: Family<Counter>
    /// The time of those that were not, by method.
    public let durations: Family<Histogram>
    /// Reads of this member's clients, by `get` and `getRecursive`.
    public let reads: Family<Counter>
    public let watchRequests: Counter
    private let store = Mutex(Store())

    /// What the store itself counts.
    public struct Store: Sendable {
        /// Requests to change something, by the names of their actions.
        public var changes: [(action: String, count: UInt64)] = []
        public var expirations: UInt64 = 0
        public var watchers = 0

        /// Nothing yet.
        public init() {}
    }

    init(_ registry: Registry) {
        received = registry.counters(
            "etcd_http_received_total", "Counter of requests received into the system (successfully parsed and authd).",
            labels: ["method"])
        failed = registry.counters(
            "etcd_http_failed_total",
            "Counter of handle failures of requests (non-watches), by method (GET/PUT etc.) and code (400, 500 etc.).",
            labels: ["method", "code"])
        durations = registry.histograms(
            "etcd_http_successful_duration_seconds",
            "Bucketed histogram of processing time (s) of successfully handled requests (non-watches), by method "
                + "(GET/PUT etc.).", labels: ["method"], bounds: Buckets.exponential(0.0005, 2, 13))
        let name = "etcd_debugging_store_"
        reads = registry.counters(
            name + "reads_total", "Total number of reads action by (get/getRecursive), local to this member.",
            labels: ["action"])
        watchRequests = registry.counter(
            name + "watch_requests_total", "Total number of incoming watch requests (new or reestablished).")
        registry.observed(
            name + "writes_total", "Total number of writes (e.g. set/compareAndDelete) seen by this member.", .counter,
            labels: ["action"]
        ) { [self] in store.withLock { $0.changes.map { ([$0.action], Double($0.count)) } } }
        registry.observed(name + "expires_total", "Total number of expired keys.", .counter) { [self] in
            store.withLock { Double($0.expirations) }
        }
        registry.observed(name + "watchers", "Count of currently active watchers.") { [self] in
            store.withLock { Double($0.watchers) }
        }
    }

    /// Takes over what the store counts now.
    public func note(_ now: Store) { store.withLock { $0 = now } }

    /// A request that is under way.
    public struct Request: Sendable {
        fileprivate let metrics: StoreV2Metrics
        fileprivate let method: String
        /// In nanoseconds of the monotonic clock.
        fileprivate let start: Int64

        /// It has an answer, at `end`; `failure` is the HTTP status of one that says no.
        public func ended(at end: Int64, failure: Int?) {
            if let failure {
                metrics.failed[method, "\(failure)"].add()
            } else {
                metrics.durations[method].observe(nanoseconds: end - start)
            }
        }
    }

    /// Counts a request that begins at `start`, in nanoseconds of the monotonic clock.
    public func begin(_ method: String, at start: Int64) -> Request {
        received[method].add()
        return Request(metrics: self, method: method, start: start)
    }
}
