import Synchronization

/// Decides which calls are traced, and keeps their spans until they are sent. Any thread.
public final class Tracer: Sendable {
    /// Spans that wait to be sent (OpenTelemetry's usual number); those beyond are dropped and counted.
    public static let waitingLimit = 2048
    /// Spans in one request to the collector.
    public static let batchLimit = 512

    private struct Waiting {
        var spans: [Span] = []
        var dropped: UInt64 = 0
    }

    private let samplesPerMillion: UInt64
    private let randomNumber: @Sendable () -> UInt64
    private let waiting = Mutex(Waiting())

    /// - Parameters:
    ///   - samplesPerMillion: of a million calls whose clients say nothing about tracing, so many are traced.
    ///   - randomNumber: a number that nobody can foresee.
    public init(samplesPerMillion: Int, randomNumber: @escaping @Sendable () -> UInt64) {
        self.samplesPerMillion = UInt64(max(0, min(1_000_000, samplesPerMillion)))
        self.randomNumber = randomNumber
    }

    /// The span of a call that begins; nil when it is not traced. `header` is its `traceparent`. Whoever calls decides for
    /// the whole trace.
    public func begin(header: [UInt8]?) -> (context: TraceContext, parent: UInt64)? {
        if let caller = header.flatMap({ TraceContext(header: $0) }) {
            guard caller.isSampled else { return nil }
            var context = caller
            context.span = newID()
            return (context, caller.span)
        }
        guard samplesPerMillion > 0 else { return nil }
        let low = newID()
        // As etcd's sampler does, by the trace's id alone, so that all members decide alike.
        guard (low >> 1) / Self.share < samplesPerMillion else { return nil }
        return (TraceContext(traceHigh: newID(), traceLow: low, span: newID(), isSampled: true), 0)
    }

    /// A millionth of the ids' range.
    private static let share = (UInt64(1) << 63) / 1_000_000 + 1

    /// The context of a part of `context`.
    public func child(of context: TraceContext) -> TraceContext {
        var child = context
        child.span = newID()
        return child
    }

    private func newID() -> UInt64 {
        while true {
            let id = randomNumber()
            if id != 0 { return id }
        }
    }

    /// Takes spans that have ended.
    public func record(_ spans: [Span]) {
        waiting.withLock { waiting in
            let room = max(0, Self.waitingLimit - waiting.spans.count)
            waiting.spans += spans.prefix(room)
            waiting.dropped += UInt64(max(0, spans.count - room))
        }
    }

    /// Notes that `count` spans were lost on the way.
    func lose(_ count: Int) {
        waiting.withLock { $0.dropped += UInt64(count) }
    }

    /// The next spans to send, at most ``batchLimit``.
    func takeBatch() -> [Span] {
        waiting.withLock { waiting in
            let batch = Array(waiting.spans.prefix(Self.batchLimit))
            waiting.spans.removeFirst(batch.count)
            return batch
        }
    }

    /// Spans that nobody will see.
    public var dropped: UInt64 { waiting.withLock { $0.dropped } }
    /// Spans that wait to be sent.
    public var waitingCount: Int { waiting.withLock { $0.spans.count } }
}
