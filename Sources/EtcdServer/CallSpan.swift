import GRPC
import Membership
import Synchronization
import Tracing

/// One traced call: its span, and the stages of a write as parts of it. The stages are noted on the member's thread, the
/// end on the call's event loop.
final class CallSpan: CallTrace {
    private let tracer: Tracer
    private let context: TraceContext
    private let parent: UInt64
    private let path: String
    private let peer: String
    /// In nanoseconds of the monotonic clock, as all times here; 0 while it has not come to that.
    private let start = Clock.nanoseconds
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
        let parts = path.split(separator: "/").map(String.init)
        whole.attributes = [
            ("rpc.system", .text("grpc")), ("rpc.service", .text(parts.first ?? "")),
            ("rpc.method", .text(parts.last ?? "")), ("rpc.grpc.status_code", .number(Int64(status.rawValue))),
            ("network.peer.address", .text(peer)),
        ]
        whole.isError = status.isServersFault
        var spans = [whole]
        let proposed = proposed.load(ordering: .relaxed)
        if proposed > 0 {
            let durable = durable.load(ordering: .relaxed)
            let applied = applied.load(ordering: .relaxed)
            for (name, from, to) in [
                ("queue", start, proposed), ("sync", proposed, durable), ("apply", durable, applied),
                ("reply", applied, end),
            ] {
                spans.append(span(tracer.child(of: context), context.span, name, .internal, from, to))
            }
        }
        tracer.record(spans)
    }
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
