/// Flags of the v2 API, of the v2 proxy, and those that etcd has dropped and still takes.
extension MemberConfiguration {
    private static let proxyReason = "the v2 proxy is not served, so it never waits"

    static let legacyFlags: [FlagDefinition] = [
        .toggle("enable-v2", false, "Serve the v2 API."),
        .text("experimental-enable-v2v3", "Serve the v2 API from the v3 store under this prefix; not served."),
        .choice(
            "v2-deprecation", ["not-yet", "write-only", "write-only-drop-data", "gone"], "write-only",
            "Stage of the v2 store's retirement."
        )
        .withoutEffect("etcd 3.6 and later do not follow it either")
        .warning(
            "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, "
                + "ignoring user input."),
        .choice("proxy", ["off", "readonly", "on"], "off", "The v2 proxy; only 'off' is served."),
        .unsigned("proxy-failure-wait", 5000, "Milliseconds for which a failed endpoint rests.")
            .withoutEffect(proxyReason),
        .unsigned("proxy-refresh-interval", 30_000, "Milliseconds between two refreshes of endpoints.")
            .withoutEffect(proxyReason),
        .unsigned("proxy-dial-timeout", 1000, "Milliseconds to connect.").withoutEffect(proxyReason),
        .unsigned("proxy-write-timeout", 5000, "Milliseconds for a write.").withoutEffect(proxyReason),
        .unsigned("proxy-read-timeout", 0, "Milliseconds for a read.").withoutEffect(proxyReason),
    ]

    /// Names of etcd's early days, which it takes with a warning.
    static let ignoredFlags: [FlagDefinition] = [
        "cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force",
        "max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout",
        "retry-interval", "snapshot", "v", "vv",
    ].map { FlagDefinition($0, .ignored, "", "No longer supported.").notInFile() }
}

/// The v2 API.
public struct V2Settings: Equatable, Sendable {
    /// Whether it is served.
    public var isEnabled: Bool

    init(_ settings: Settings) {
        isEnabled = settings.isOn("enable-v2")
        let proxy = settings.choice("proxy")
        if proxy != "off" {
            settings.note("--proxy=\(proxy): the v2 proxy is not served (removed in v3.6); run etcd without it")
        }
        if !settings.text("experimental-enable-v2v3").isEmpty {
            settings.note("--experimental-enable-v2v3: the v2 API is not served from the v3 store (removed in v3.6)")
        }
    }
}
