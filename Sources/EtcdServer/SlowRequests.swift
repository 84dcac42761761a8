import Applier
import EtcdAPI
import GRPC
import Logging
import Metrics
import Synchronization

/// Tells of requests that took longer than they should, with etcd's lines for the log.
final class SlowRequests: Sendable {
    /// Lines a second; those beyond are counted, and the next line says how many there were. A disk that hangs makes every
    /// request slow.
    private static let linesPerSecond = 50

    private struct Allowance {
        var second: Int64 = 0
        var lines = 0
        var suppressed = 0
    }

    /// An entry or a read that takes longer than this is slow, in nanoseconds (etcd's `--warning-apply-duration`).
    let applyLimit: Int64
    /// The same for a whole call (etcd's `--warning-unary-request-duration`).
    let callLimit: Int64
    private let slowApplies: Counter
    private let logger: Logger
    private let allowance = Mutex(Allowance())

    init(applyLimit: Int64, callLimit: Int64, metrics: ServerMetrics, logger: Logger) {
        self.applyLimit = applyLimit
        self.callLimit = callLimit
        slowApplies = metrics.slowApplies
        self.logger = logger
    }

    /// Where the time of a read went, in nanoseconds.
    struct ReadStages {
        /// Until what was committed when it came was known and applied here.
        var index: Int64
        /// The reading itself; of one in pieces until its length was known.
        var read: Int64
    }

    /// An entry took too long.
    func noteApply(took: Int64, request: String, reply: Applier.Reply) {
        note(reply, fields(took, "", request))
    }

    /// A read took too long.
    func noteRead(_ stages: ReadStages, prefix: String, request: String, reply: Applier.Reply) {
        note(reply, fields(stages, prefix, request))
    }

    private func fields(_ stages: ReadStages, _ prefix: String, _ request: String) -> Logger.Metadata {
        var fields = fields(stages.index + stages.read, prefix, request)
        fields["stage"] = stages.index > stages.read ? "read_index" : "read"
        fields["read_index"] = .string(DurationText.of(stages.index))
        fields["read"] = .string(DurationText.of(stages.read))
        return fields
    }

    private func fields(_ took: Int64, _ prefix: String, _ request: String) -> Logger.Metadata {
        [
            "took": .string(DurationText.of(took)), "expected-duration": .string(DurationText.of(applyLimit)),
            "prefix": .string(prefix), "request": .string(request),
        ]
    }

    private func note(_ reply: Applier.Reply, _ fields: Logger.Metadata) {
        slowApplies.add()
        var fields = fields
        switch reply {
        case .message(let message), .whenCompacted(_, let message):
            fields["response"] = .string("size:\(message.count)")
        case .storeV2: break
        case .failure(let error):
            fields["response"] = ""
            fields["error"] = .string(error.message)
        }
        warn("apply request took too long", fields)
    }

    /// A read that is answered in pieces took too long until its length was known, or until it failed.
    func noteRead(_ stages: ReadStages, prefix: String, request: String, outcome: Result<Int, EtcdError>) {
        slowApplies.add()
        var fields = fields(stages, prefix, request)
        switch outcome {
        case .success(let size): fields["response"] = .string("size:\(size)")
        case .failure(let error):
            fields["response"] = ""
            fields["error"] = .string(error.message)
        }
        warn("apply request took too long", fields)
    }

    /// Where the time of a write went, in nanoseconds.
    struct Stages {
        var queue: Int64
        var sync: Int64
        var apply: Int64
    }

    /// A write took too long, from its arrival until it was applied; the line names the stage that took most.
    func noteWrite(_ path: String, peer: String, _ stages: Stages) {
        let all = [("queue", stages.queue), ("sync", stages.sync), ("apply", stages.apply)]
        guard let slowest = all.max(by: { $0.1 < $1.1 }) else { return }
        warn(
            "request was slow",
            [
                "method": .string(path), "remote": .string(peer), "stage": .string(slowest.0),
                "took": .string(DurationText.of(all.reduce(0) { $0 + $1.1 })),
                "queue": .string(DurationText.of(stages.queue)), "sync": .string(DurationText.of(stages.sync)),
                "apply": .string(DurationText.of(stages.apply)),
                "expected-duration": .string(DurationText.of(callLimit)),
            ])
    }

    /// A call with one answer took too long from its head to its answer.
    func noteCall(_ call: CallSummary) {
        warn(
            "request stats",
            [
                "time spent": .string(DurationText.of(call.duration.nanoseconds)), "remote": .string(call.peer),
                "response type": .string(call.path), "code": .string(call.code.name),
                "request count": .stringConvertible(call.traffic.messagesReceived),
                "request size": .stringConvertible(call.traffic.bytesReceived),
                "response count": .stringConvertible(call.traffic.messagesSent),
                "response size": .stringConvertible(call.traffic.bytesSent),
            ])
    }

    private func warn(_ line: Logger.Message, _ fields: Logger.Metadata) {
        let second = Clock.milliseconds / 1000
        let suppressed = allowance.withLock { allowance -> Int? in
            if allowance.second != second { (allowance.second, allowance.lines) = (second, 0) }
            guard allowance.lines < Self.linesPerSecond else {
                allowance.suppressed += 1
                return nil
            }
            allowance.lines += 1
            defer { allowance.suppressed = 0 }
            return allowance.suppressed
        }
        guard let suppressed else { return }
        var fields = fields
        if suppressed > 0 { fields["suppressed-lines"] = .stringConvertible(suppressed) }
        logger.warning(line, metadata: fields)
    }
}

/// A time as Go prints it.
enum DurationText {
    /// Such as `1.234567ms`, for `nanoseconds` of at least 0.
    static func of(_ nanoseconds: Int64) -> String {
        let units: [(name: String, size: Int64)] = [("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)]
        if nanoseconds >= 60_000_000_000 {
            let minutes = nanoseconds / 60_000_000_000
            let rest = of(nanoseconds % 60_000_000_000)
            let seconds = rest.hasSuffix("s") && !rest.hasSuffix("ms") && !rest.hasSuffix("µs") ? rest : "0s"
            return minutes >= 60 ? "\(minutes / 60)h\(minutes % 60)m\(seconds)" : "\(minutes)m\(seconds)"
        }
        for unit in units where nanoseconds >= unit.size {
            let whole = nanoseconds / unit.size
            var digits = String(nanoseconds % unit.size)
            digits = String(repeating: "0", count: String(unit.size).count - 1 - digits.count) + digits
            while digits.hasSuffix("0") { digits.removeLast() }
            return digits.isEmpty ? "\(whole)\(unit.name)" : "\(whole).\(digits)\(unit.name)"
        }
        return nanoseconds == 0 ? "0s" : "\(nanoseconds)ns"
    }
}
