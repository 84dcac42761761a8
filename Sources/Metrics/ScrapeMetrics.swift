/// The asking for metrics itself, under the names of Go's Prometheus client.
final class ScrapeMetrics: Sendable {
    private let inFlight: Gauge
    private let done: Counter

    init(_ registry: Registry) {
        inFlight = registry.gauge(
            "promhttp_metric_handler_requests_in_flight", "Current number of scrapes being served.")
        let byCode = registry.counters(
            "promhttp_metric_handler_requests_total", "Total number of scrapes by HTTP status code.", labels: ["code"])
        done = byCode["200"]
        for code in ["500", "503"] { _ = byCode[code] }
    }

    /// Counts what `body` serves, once it is served.
    func counting<Result>(_ body: () -> Result) -> Result {
        inFlight.add(1)
        defer {
            inFlight.add(-1)
            done.add()
        }
        return body()
    }
}
