/// What a member does as a member: `etcd_server_…`.
public final class ServerMetrics: Sendable {
    /// Entries whose application took longer than the warning time.
    public let slowApplies: Counter
    public let snapshotsBeingApplied: Gauge
    public let healthSuccesses: Counter
    public let healthFailures: Counter
    /// Checks of `/livez` and `/readyz`: 1 when the last one was good. By kind of request and name of the check.
    public let healthChecks: Family<Gauge>
    /// The same checks, by kind, name and `success` or `error`.
    public let healthCheckTotals: Family<Counter>
    public let learnerPromotions: Counter
    /// By reason.
    public let failedLearnerPromotions: Family<Counter>
    /// Client calls by `unary` or `stream` and the client's API version.
    public let clientRequests: Family<Counter>
    /// Features by name and stage: 1 when switched on.
    public let features: Family<Gauge>
    /// The time of applying one entry, by `v3` or `v2`, operation and success.
    public let applyDurations: Family<Histogram>
    /// The time of a range, by success.
    public let rangeDurations: Family<Histogram>
    /// The time of a request from its arrival to its outcome, by the kind of request and success.
    public let requestDurations: Family<Histogram>
    /// Alarms of all members, by member and kind.
    public let alarms: Family<Gauge>
    public let streamFailures: Family<Counter>
    public let watchSends: Histogram
    public let watchSendsPerEvent: Histogram
    public let watchControlSends: Histogram
    public let watchProgressSends: Histogram

    init(_ registry: Registry) {
        slowApplies = registry.counter(
            "etcd_server_slow_apply_total",
            "The total number of slow apply requests (likely overloaded from slow disk).")
        snapshotsBeingApplied = registry.gauge(
            "etcd_server_snapshot_apply_in_progress_total",
            "1 if the server is applying the incoming snapshot. 0 if none.")
        healthSuccesses = registry.counter(
            "etcd_server_health_success", "The total number of successful health checks")
        healthFailures = registry.counter("etcd_server_health_failures", "The total number of failed health checks")
        healthChecks = registry.gauges(
            "etcd_server_healthcheck", "The result of each kind of healthcheck.", labels: ["type", "name"])
        healthCheckTotals = registry.counters(
            "etcd_server_healthchecks_total", "The total number of each kind of healthcheck.",
            labels: ["type", "name", "status"])
        learnerPromotions = registry.counter(
            "etcd_server_learner_promote_successes",
            "The total number of successful learner promotions while this member is leader.")
        failedLearnerPromotions = registry.counters(
            "etcd_server_learner_promote_failures",
            "The total number of failed learner promotions (likely learner not ready) while this member is leader.",
            labels: ["Reason"])
        clientRequests = registry.counters(
            "etcd_server_client_requests_total", "The total number of client requests per client version.",
            labels: ["type", "client_api_version"])
        features = registry.gauges(
            "etcd_server_feature_enabled", "Whether or not a feature is enabled. 1 is enabled, 0 is not.",
            labels: ["name", "stage"])
        applyDurations = registry.histograms(
            "etcd_server_apply_duration_seconds", "The latency distributions of v2 apply called by backend.",
            labels: ["version", "op", "success"], bounds: Buckets.memory)
        rangeDurations = registry.histograms(
            "etcd_server_range_duration_seconds", "The latency distributions of txn.Range", labels: ["success"],
            bounds: Buckets.memory)
        requestDurations = registry.histograms(
            "etcd_server_request_duration_seconds", "Response latency distribution in seconds for each type.",
            labels: ["type", "success"], bounds: Buckets.disk)
        alarms = registry.gauges(
            "etcd_debugging_server_alarms",
            "Alarms for every member in cluster. 1 for 'server_id' label with current ID. "
                + "2 for 'alarm_type' label with type of this alarm", labels: ["server_id", "alarm_type"])
        streamFailures = registry.counters(
            "etcd_network_server_stream_failures_total", "The total number of stream failures from the local server.",
            labels: ["Type", "API"])
        let sends = "etcd_debugging_server_watch_send_loop"
        watchSends = registry.histogram(
            "\(sends)_watch_stream_duration_seconds",
            "The total duration in seconds of running through the send loop watch stream response all events.",
            bounds: Buckets.disk)
        watchSendsPerEvent = registry.histogram(
            "\(sends)_watch_stream_duration_per_event_seconds",
            "The average duration in seconds of running through the send loop watch stream response, per event.",
            bounds: Buckets.disk)
        watchControlSends = registry.histogram(
            "\(sends)_control_stream_duration_seconds",
            "The total duration in seconds of running through the send loop control stream response.",
            bounds: Buckets.disk)
        watchProgressSends = registry.histogram(
            "\(sends)_progress_duration_seconds",
            "The total duration in seconds of running through the progress loop control stream response.",
            bounds: Buckets.disk)
    }
}
