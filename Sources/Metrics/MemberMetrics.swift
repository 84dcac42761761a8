/// The metrics of a member, in groups. Each group registers its own; one that is made shows in ``Registry/text()``.
public final class MemberMetrics: Sendable {
    public let registry = Registry()
    public let server: ServerMetrics
    public let disk: DiskMetrics
    public let network: NetworkMetrics
    public let store: StoreMetrics
    public let leases: LeaseMetrics
    public let calls: CallMetrics
    public let stages: StageMetrics
    public let storeV2: StoreV2Metrics
    public let process: ProcessMetrics
    public let audit: AuditMetrics
    private let scrapes: ScrapeMetrics

    /// - Parameter extensive: whether the time of each call is noted (etcd's `--metrics=extensive`).
    public init(extensive: Bool = false) {
        server = ServerMetrics(registry)
        disk = DiskMetrics(registry)
        network = NetworkMetrics(registry)
        store = StoreMetrics(registry)
        leases = LeaseMetrics(registry)
        calls = CallMetrics(registry, extensive: extensive)
        stages = StageMetrics(registry)
        storeV2 = StoreV2Metrics(registry)
        process = ProcessMetrics(registry)
        audit = AuditMetrics(registry)
        scrapes = ScrapeMetrics(registry)
    }

    /// All metrics as text, for one who asked over HTTP.
    public func scrape() -> String { scrapes.counting { registry.text() } }
}
