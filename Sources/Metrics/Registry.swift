import Synchronization

/// All metrics of a process, by name, and their text in Prometheus' format 0.0.4.
///
/// Source: prometheus.io, "Exposition formats".
public final class Registry: Sendable {
    private struct Metric {
        var help: String
        var kind: MetricKind
        /// Writes the samples of all series under the given name.
        var write: @Sendable (_ name: String, _ text: inout String) -> Void
    }

    /// The media type of ``text()``.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private let metrics = Mutex<[String: Metric]>([:])

    public init() {}

    public func counter(_ name: String, _ help: String) -> Counter {
        register(Counter(), name, help, .counter)
    }

    public func gauge(_ name: String, _ help: String) -> Gauge {
        register(Gauge(), name, help, .gauge)
    }

    public func histogram(_ name: String, _ help: String, bounds: [Double]) -> Histogram {
        register(Histogram(bounds: bounds), name, help, .histogram)
    }

    /// Counters that differ by labels. A family without series is not written.
    public func counters(
        _ name: String, _ help: String, labels: [String], limit: Int = Family<Counter>.usualLimit
    ) -> Family<Counter> {
        register(Family(labels, limit: limit) { Counter() }, name, help, .counter)
    }

    /// Gauges that differ by labels.
    public func gauges(
        _ name: String, _ help: String, labels: [String], limit: Int = Family<Gauge>.usualLimit
    ) -> Family<Gauge> {
        register(Family(labels, limit: limit) { Gauge() }, name, help, .gauge)
    }

    /// Histograms that differ by labels.
    public func histograms(
        _ name: String, _ help: String, labels: [String], bounds: [Double],
        limit: Int = Family<Histogram>.usualLimit
    ) -> Family<Histogram> {
        register(Family(labels, limit: limit) { Histogram(bounds: bounds) }, name, help, .histogram)
    }

    /// A metric whose value is asked for when the text is made; nil when there is none now. `value` is called on any
    /// thread.
    public func observed(
        _ name: String, _ help: String, _ kind: MetricKind = .gauge, _ value: @escaping @Sendable () -> Double?
    ) {
        observed(name, help, kind, labels: []) { value().map { [([], $0)] } ?? [] }
    }

    /// A metric whose series are asked for when the text is made, each with the values of `labels`.
    public func observed(
        _ name: String, _ help: String, _ kind: MetricKind = .gauge, labels: [String],
        _ series: @escaping @Sendable () -> [(labels: [String], value: Double)]
    ) {
        add(
            Metric(help: help, kind: kind) { name, text in
                let lines = series().map { (Labels.text(zip(labels, $0.labels)), $0.value) }
                for (labels, value) in lines.sorted(by: { $0.0 < $1.0 }) {
                    text += labels.isEmpty ? "\(name) \(value.goText)\n" : "\(name){\(labels)} \(value.goText)\n"
                }
            }, name)
    }

    private func register<One: Instrument>(_ one: One, _ name: String, _ help: String, _ kind: MetricKind) -> One {
        add(Metric(help: help, kind: kind) { one.write($0, labels: "", to: &$1) }, name)
        return one
    }

    private func register<One: Instrument>(
        _ family: Family<One>, _ name: String, _ help: String, _ kind: MetricKind
    ) -> Family<One> {
        add(
            Metric(help: help, kind: kind) { name, text in
                for (labels, child) in family.series { child.write(name, labels: labels, to: &text) }
            }, name)
        return family
    }

    private func add(_ metric: Metric, _ name: String) {
        metrics.withLock { metrics in
            precondition(metrics[name] == nil, "two metrics have the name \(name)")
            metrics[name] = metric
        }
    }

    /// The names of all metrics, whether or not they have series now.
    public var names: [String] { metrics.withLock { $0.keys.sorted() } }

    /// All metrics, in the order of their names.
    public func text() -> String {
        var text = ""
        for (name, metric) in metrics.withLock({ $0.sorted { $0.key < $1.key } }) {
            var samples = ""
            metric.write(name, &samples)
            if samples.isEmpty { continue }
            text += "# HELP \(name) \(metric.help)\n# TYPE \(name) \(metric.kind.rawValue)\n"
            text += samples
        }
        return text
    }
}
