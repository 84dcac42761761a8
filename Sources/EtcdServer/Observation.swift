import Configuration
import Logging
import Member
import Metrics
import NIOCore
import Tracing

/// What watches over a member: its metrics, and the lines about slow requests.
struct Observation: Sendable {
    let metrics: MemberMetrics
    let slow: SlowRequests
    let reads: ReadObservation
    /// Nil when calls are not traced.
    let tracer: Tracer?

    /// What `configuration` asks for.
    init(_ configuration: MemberConfiguration, logger: Logger) {
        metrics = MemberMetrics(extensive: configuration.monitoring.isExtensive)
        slow = SlowRequests(
            applyLimit: configuration.monitoring.slowApplyMilliseconds * 1_000_000,
            callLimit: configuration.monitoring.slowCallMilliseconds * 1_000_000,
            metrics: metrics.server, logger: logger)
        reads = ReadObservation(metrics, slow)
        tracer =
            configuration.tracing.isEnabled
            ? Tracer(samplesPerMillion: configuration.tracing.samplesPerMillion) {
                UInt64.random(in: .min ... .max)
            } : nil
        for feature in configuration.features.all {
            metrics.server.features[feature.name, feature.stage].set(feature.isOn)
        }
    }
    /// Sends the spans of traced calls as `configuration` says; nil when there are none.
    func exporter(
        _ settings: TracingSettings, group: any EventLoopGroup, logger: Logger
    ) throws(StartError) -> SpanExporter? {
        guard let tracer else { return nil }
        let exporter = SpanExporter(
            tracer, address: settings.address, serviceName: settings.serviceName, instanceID: settings.instanceID,
            group: group
        ) { reason in
            logger.warning(
                "failed to send spans to the collector",
                metadata: ["address": .string(settings.address), "error": .string(reason)])
        }
        guard let exporter else {
            throw StartError("--distributed-tracing-address \(settings.address): not an address as host:port")
        }
        metrics.registry.observed(
            "swift_etcd_spans_sent_total", "Spans that the collector took.", .counter
        ) { Double(exporter.sentCount) }
        metrics.registry.observed(
            "swift_etcd_spans_dropped_total", "Spans that were lost because the collector took none.", .counter
        ) { Double(tracer.dropped) }
        return exporter
    }
}
