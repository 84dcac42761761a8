import Membership

/// Flags of metrics, profiles, warnings about slow requests, and comparisons of the data.
extension MemberConfiguration {
    static let monitoringFlags: [FlagDefinition] = [
        .toggle("enable-pprof", false, "Serve profiles under /debug/pprof/.")
            .withoutEffect("there is no Go runtime whose profiles could be shown"),
        .text("metrics", "basic", "Detail of the metrics; 'extensive' has histograms of gRPC calls."),
        .urls("listen-metrics-urls", "", "URLs to listen on for /metrics and /health."),
        .duration("warning-apply-duration", "100ms", "Time to apply a request above which a line warns.")
            .formerly("experimental-warning-apply-duration"),
        .duration("warning-unary-request-duration", "300ms", "Time of a call above which a line warns.")
            .formerly("experimental-warning-unary-request-duration"),
        .toggle("experimental-initial-corrupt-check", false, "Compare the data with other members' before serving.")
            .switching("InitialCorruptCheck"),
        .duration("corrupt-check-time", "0s", "Time between two comparisons of all members' data; 0s is never.")
            .formerly("experimental-corrupt-check-time"),
        .toggle(
            "experimental-compact-hash-check-enabled", false, "Compare the hashes that members keep of compactions."
        )
        .switching("CompactHashCheck"),
        .duration("compact-hash-check-time", "1m", "Time between two comparisons of compactions' hashes.")
            .formerly("experimental-compact-hash-check-time"),
        .toggle(
            "experimental-enable-lease-checkpoint", false,
            "Record the remaining TTL of long leases in the log; when not given, from cluster version 3.6 on."
        )
        .switching("LeaseCheckpoint"),
        .toggle(
            "experimental-enable-lease-checkpoint-persist", false,
            "Keep recorded TTLs over a restart also below cluster version 3.6."
        )
        .switching("LeaseCheckpointPersist"),
        .text("feature-gates", "Features to switch, as Name=true,…"),
    ]
}

/// Metrics and warnings.
public struct MonitoringSettings: Equatable, Sendable {
    /// Whether histograms of gRPC calls are kept (`--metrics=extensive`).
    public var isExtensive: Bool
    /// Where `/metrics` and `/health` are served besides the client URLs.
    public var listenURLs: [ServiceURL]
    /// The time to apply a request above which a line warns.
    public var slowApplyMilliseconds: Int64
    /// The time of a unary call above which a line warns.
    public var slowCallMilliseconds: Int64

    init(_ settings: Settings) {
        isExtensive = settings.text("metrics") == "extensive"
        listenURLs = settings.urls("listen-metrics-urls")
        URLRules.checkBindable(listenURLs, settings)
        slowApplyMilliseconds = settings.milliseconds("warning-apply-duration")
        slowCallMilliseconds = settings.milliseconds("warning-unary-request-duration")
    }
}
