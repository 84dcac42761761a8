/// Flags of OpenTelemetry traces.
extension MemberConfiguration {
    static let tracingFlags: [FlagDefinition] = [
        .toggle("enable-distributed-tracing", false, "Send spans to an OpenTelemetry collector.")
            .formerly("experimental-enable-distributed-tracing"),
        .text("distributed-tracing-address", "localhost:4317", "Address of the collector.")
            .formerly("experimental-distributed-tracing-address"),
        .text("distributed-tracing-service-name", "etcd", "Name of the service; the same on all members.")
            .formerly("experimental-distributed-tracing-service-name"),
        .text("distributed-tracing-instance-id", "Name of this instance; another one on each member.")
            .formerly("experimental-distributed-tracing-instance-id"),
        .signed("distributed-tracing-sampling-rate", 0, "Requests in a million that are traced.")
            .formerly("experimental-distributed-tracing-sampling-rate"),
    ]
}

/// Spans sent to a collector.
public struct TracingSettings: Equatable, Sendable {
    public var isEnabled: Bool
    /// The collector's host and port.
    public var address: String
    public var serviceName: String
    /// Empty for none.
    public var instanceID: String
    /// Requests in a million that are traced by their own choice, from 0 to 1,000,000.
    public var samplesPerMillion: Int

    init(_ settings: Settings) {
        isEnabled = settings.isOn("enable-distributed-tracing")
        address = settings.text("distributed-tracing-address")
        serviceName = settings.text("distributed-tracing-service-name")
        instanceID = settings.text("distributed-tracing-instance-id")
        samplesPerMillion = settings.number("distributed-tracing-sampling-rate")
        if isEnabled && samplesPerMillion < 0 {
            settings.note(
                "distributed tracing configurition is not valid: (tracing sampling rate must be positive)")
        }
        if isEnabled && samplesPerMillion > 1_000_000 {
            settings.note(
                "distributed tracing configurition is not valid: (tracing sampling rate must be less than 1000000)")
        }
    }
}
