/// The audit log, which etcd does not have.
public final class AuditMetrics: Sendable {
    public let written: Counter
    /// Events that came faster than the disk took them, or that it refused.
    public let dropped: Counter

    init(_ registry: Registry) {
        written = registry.counter("etcd_audit_log_written_total", "The total number of events in the audit log.")
        dropped = registry.counter(
            "etcd_audit_log_dropped_total", "The total number of events that the audit log lost.")
    }
}
