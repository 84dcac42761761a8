import Synchronization

/// What a metric is, as Prometheus' text format names it.
public enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// Something that gives the samples of one series, or of one histogram.
protocol Instrument: Sendable {
    func write(_ name: String, labels: String, to text: inout String)
}

/// A number that only grows. Adding is one relaxed atomic addition.
public final class Counter: Instrument {
    private let number = Atomic<UInt64>(0)

    public init() {}

    public func add(_ amount: Int = 1) { number.wrappingAdd(UInt64(max(0, amount)), ordering: .relaxed) }

    public var value: UInt64 { number.load(ordering: .relaxed) }

    func write(_ name: String, labels: String, to text: inout String) {
        text += "\(name)\(labels.braced) \(Double(value).goText)\n"
    }
}

/// A number that goes up and down.
public final class Gauge: Instrument {
    private let number = Atomic<Int>(0)

    public init() {}

    public func set(_ value: Int) { number.store(value, ordering: .relaxed) }

    public func set(_ value: Bool) { set(value ? 1 : 0) }

    public func add(_ amount: Int) { number.wrappingAdd(amount, ordering: .relaxed) }

    public var value: Int { number.load(ordering: .relaxed) }

    func write(_ name: String, labels: String, to text: inout String) {
        text += "\(name)\(labels.braced) \(Double(value).goText)\n"
    }
}

/// How observed values spread over buckets with given upper bounds. Observing takes no lock: the readers of a histogram
/// may see the count of an observation before its part of the sum.
public final class Histogram: Instrument {
    let bounds: [Double]
    private let counts: Cells
    /// The sum's bits.
    private let sum = Atomic<UInt64>(0)

    /// - Parameter bounds: the upper bounds of the buckets, rising; the bucket without a bound is added.
    public init(bounds: [Double]) {
        precondition(zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }, "a histogram's bounds do not rise")
        self.bounds = bounds
        counts = Cells(bounds.count + 1)
    }

    /// Notes `value`, `times` times.
    public func observe(_ value: Double, times: Int = 1) {
        guard times > 0 else { return }
        var bucket = 0
        while bucket < bounds.count && value > bounds[bucket] { bucket += 1 }
        counts.add(UInt64(times), at: bucket)
        let amount = value * Double(times)
        var old = sum.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (exchanged, original) = sum.weakCompareExchange(
                expected: old, desired: new, ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }

    /// Notes a time, in a histogram whose unit is the second.
    public func observe(nanoseconds: Int64, times: Int = 1) {
        observe(Double(max(0, nanoseconds)) / 1e9, times: times)
    }

    /// How many values were noted.
    public var count: UInt64 { (0..<counts.count).reduce(0) { $0 + counts[$1] } }

    func write(_ name: String, labels: String, to text: inout String) {
        let separator = labels.isEmpty ? "" : ","
        var total: UInt64 = 0
        for index in 0..<counts.count {
            total += counts[index]
            let bound = index < bounds.count ? bounds[index].goText : "+Inf"
            text += "\(name)_bucket{\(labels)\(separator)le=\"\(bound)\"} \(total)\n"
        }
        text += "\(name)_sum\(labels.braced) \(Double(bitPattern: sum.load(ordering: .relaxed)).goText)\n"
        text += "\(name)_count\(labels.braced) \(total)\n"
    }
}

/// Bounds of histograms.
public enum Buckets {
    /// `count` bounds from `start` on, each `factor` times the one before.
    public static func exponential(_ start: Double, _ factor: Double, _ count: Int) -> [Double] {
        var bound = start
        return (0..<count).map { _ in
            defer { bound *= factor }
            return bound
        }
    }

    /// What etcd uses for most waits for a disk: 1 ms to 8.192 s.
    public static let disk = exponential(0.001, 2, 14)
    /// What etcd uses for work in memory: 0.1 ms to 52.4288 s.
    public static let memory = exponential(0.0001, 2, 20)
    /// What Prometheus' clients use when nothing else is said.
    public static let usual = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
}

extension String {
    /// A series' labels with their braces; nothing when it has none.
    fileprivate var braced: String { isEmpty ? "" : "{\(self)}" }
}
