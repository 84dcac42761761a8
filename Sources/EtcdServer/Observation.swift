import Configuration
import Logging
import Metrics

/// What watches over a member: its metrics, and the lines about slow requests.
struct Observation: Sendable {
    let metrics: MemberMetrics
    let slow: SlowRequests
    let reads: ReadObservation

    /// What `configuration` asks for.
    init(_ configuration: MemberConfiguration, logger: Logger) {
        metrics = MemberMetrics(extensive: configuration.monitoring.isExtensive)
        slow = SlowRequests(
            applyLimit: configuration.monitoring.slowApplyMilliseconds * 1_000_000,
            callLimit: configuration.monitoring.slowCallMilliseconds * 1_000_000,
            metrics: metrics.server, logger: logger)
        reads = ReadObservation(metrics, slow)
        for feature in configuration.features.all {
            metrics.server.features[feature.name, feature.stage].set(feature.isOn)
        }
    }
}
