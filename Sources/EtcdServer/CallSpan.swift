import GRPC
import Membership
import Synchronization
import Tracing

/// One traced call: its span, a span of what it asks for as a part of it, and of that the stages as parts. The stages of a
/// write are noted on the member's thread, all else on the call's event loop.
final class CallSpan: CallTrace {
    private let tracer: Tracer
    private let context: TraceContext
    private let parent: UInt64
    private let path: String
    private let peer: String
    /// In nanoseconds of the monotonic clock, as all times here; 0 while it has not come to that.
    private let start = Clock.nanoseconds
    private let operation = Mutex<(what: TracedOperation, start: Int64)?>(nil)
    private let confirmed = Atomic<Int64>(0)
    private let proposed = Atomic<Int64>(0)
    private let durable = Atomic<Int64>(0)
    private let applied = Atomic<Int64>(0)

    init(_ tracer: Tracer, _ context: TraceContext, parent: UInt64, path: String, peer: String) {
        self.tracer = tracer
        self.context = context
        self.parent = parent
        self.path = path
        self.peer = peer
    }

    /// The request is understood: what follows is about `operation`.
    func begin(_ operation: TracedOperation) {
        let now = Clock.nanoseconds
        self.operation.withLock { $0 = (operation, now) }
    }

    /// What was committed when a linearizable read came is known, and applied here.
    func noteReadIndex() { confirmed.store(Clock.nanoseconds, ordering: .relaxed) }

    /// The request was proposed, known to be on the disks of a quorum, and applied at these times.
    func note(proposed: Int64, durable: Int64, applied: Int64) {
        self.proposed.store(proposed, ordering: .relaxed)
        self.durable.store(durable, ordering: .relaxed)
        self.applied.store(applied, ordering: .relaxed)
    }

    func finished(_ status: Status.Code) {
        let end = Clock.nanoseconds
        let offset = Int64(Clock.unixNanoseconds) - end
        func span(
            _ context: TraceContext, _ parent: UInt64, _ name: String, _ kind: Span.Kind, _ from: Int64, _ to: Int64
        ) -> Span {
            Span(
                context: context, parent: parent, name: name, kind: kind,
                start: UInt64(max(0, from + offset)), end: UInt64(max(0, max(from, to) + offset)))
        }
        var whole = span(context, parent, String(path.dropFirst()), .server, start, end)
        whole.attributes = attributes(status)
        whole.isError = status.isServersFault
        var spans = [whole]
        var (outer, from) = (context, start)
        if let operation = operation.withLock({ $0 }) {
            (outer, from) = (tracer.child(of: context), operation.start)
            var part = span(outer, context.span, operation.what.name, .internal, from, end)
            part.attributes = operation.what.attributes
            part.isError = whole.isError
            spans.append(part)
        }
        for (name, from, to) in stages(from: from, to: end) {
            spans.append(span(tracer.child(of: outer), outer.span, name, .internal, from, to))
        }
        tracer.record(spans)
    }

    private func attributes(_ status: Status.Code) -> [(key: String, value: Span.Value)] {
        let parts = path.split(separator: "/").map(String.init)
        return [
            ("rpc.system", .text("grpc")), ("rpc.service", .text(parts.first ?? "")),
            ("rpc.method", .text(parts.last ?? "")), ("rpc.grpc.status_code", .number(Int64(status.rawValue))),
            ("network.peer.address", .text(peer)),
        ]
    }

    /// The stages that a call has come through, which began at `start` and is over at `end`.
    private func stages(from start: Int64, to end: Int64) -> [(name: String, from: Int64, to: Int64)] {
        let confirmed = confirmed.load(ordering: .relaxed)
        if confirmed > 0 { return [("read_index", start, confirmed), ("read", confirmed, end)] }
        let proposed = proposed.load(ordering: .relaxed)
        guard proposed > 0 else { return [] }
        let durable = durable.load(ordering: .relaxed)
        let applied = applied.load(ordering: .relaxed)
        return [
            ("queue", start, proposed), ("sync", proposed, durable), ("apply", durable, applied),
            ("reply", applied, end),
        ]
    }
}

extension UnaryCall {
    /// The call's span, when it is traced. Only on its event loop.
    var span: CallSpan? { trace.flatMap { $0 as? CallSpan } }
}

extension StreamCall {
    /// The call's span, when it is traced. Only on its event loop.
    var span: CallSpan? { trace.flatMap { $0 as? CallSpan } }
}

extension Status.Code {
    /// OpenTelemetry counts a server's span as failed when the server is to blame.
    fileprivate var isServersFault: Bool {
        switch self {
        case .unknown, .deadlineExceeded, .unimplemented, .internal, .unavailable, .dataLoss: true
        default: false
        }
    }
}
