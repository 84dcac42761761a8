import EtcdAPI
import GRPC
import Synchronization

/// Calls that want a member with a leader (metadata `hasleader: true`, what etcd's clients call `WithRequireLeader`):
/// without one they are refused, and streams that are open end once none was seen for three election timeouts. Ending a
/// stream costs far more than refusing a call, so that waits longer, as in etcd.
final class LeaderRequirement: Sendable {
    /// Election timeouts without a leader after which open streams end.
    private static let patience: Int64 = 3

    private struct State {
        var streams: [UInt64: Entry] = [:]
        var lastStream: UInt64 = 0
        /// Since when there has been no leader.
        var leaderlessSince: Int64?
    }

    private struct Entry {
        weak var stream: LeaderBoundStream?
    }

    private let status: MemberStatus
    private let electionMilliseconds: Int64
    private let state = Mutex(State())

    init(status: MemberStatus, electionMilliseconds: Int64) {
        self.status = status
        self.electionMilliseconds = electionMilliseconds
    }

    /// `method`, which is only carried out with a leader when the call asks for one.
    func guarding(_ method: Method) -> Method {
        switch method {
        case .unary(let body):
            return .unary { [self] call, message in
                if !hasLeader && Self.isAsked(call.metadata) {
                    call.fail(Status(.noLeader))
                } else {
                    body(call, message)
                }
            }
        case .stream(let open):
            return .stream { [self] call in
                guard Self.isAsked(call.metadata) else { return open(call) }
                guard hasLeader else {
                    call.finish(Status(.noLeader))
                    return RefusedStream()
                }
                return bind(open(call), call)
            }
        }
    }

    /// Says at `now` whether there is a leader; called at every tick.
    func note(hasLeader: Bool, now: Int64) {
        let ended = state.withLock { state -> [LeaderBoundStream] in
            if hasLeader {
                state.leaderlessSince = nil
                return []
            }
            let since = state.leaderlessSince ?? now
            state.leaderlessSince = since
            guard now - since >= Self.patience * electionMilliseconds, !state.streams.isEmpty else { return [] }
            defer { state.streams = [:] }
            return state.streams.values.compactMap(\.stream)
        }
        for stream in ended { stream.endWithoutLeader() }
    }

    private func bind(_ handler: any StreamHandler, _ call: StreamCall) -> LeaderBoundStream {
        let id = state.withLock { state in
            state.lastStream += 1
            return state.lastStream
        }
        let stream = LeaderBoundStream(handler, call: call) { [self] in state.withLock { $0.streams[id] = nil } }
        state.withLock { $0.streams[id] = Entry(stream: stream) }
        return stream
    }

    private var hasLeader: Bool { status.leader.load(ordering: .relaxed) != 0 }

    private static func isAsked(_ metadata: Metadata) -> Bool { metadata.first("hasleader") == "true" }
}

/// A stream that ends when there has been no leader for long.
///
/// Used on its event loop alone, but for ``endWithoutLeader()``.
private final class LeaderBoundStream: StreamHandler, @unchecked Sendable {
    private let inner: any StreamHandler
    private let call: StreamCall
    private let forget: @Sendable () -> Void
    private var isOver = false

    init(_ inner: any StreamHandler, call: StreamCall, forget: @escaping @Sendable () -> Void) {
        self.inner = inner
        self.call = call
        self.forget = forget
    }

    deinit { forget() }

    func received(_ message: [UInt8]) { if !isOver { inner.received(message) } }
    func halfClosed() { if !isOver { inner.halfClosed() } }
    func writable() { if !isOver { inner.writable() } }

    func cancelled(_ reason: CancelReason) {
        guard !isOver else { return }
        isOver = true
        inner.cancelled(reason)
    }

    /// Any thread.
    func endWithoutLeader() {
        call.eventLoop.execute { [self] in
            guard !isOver, !call.isCancelled else { return }
            let status = Status(.noLeader)
            cancelled(.refused(status))
            call.finish(status)
        }
    }
}

/// A stream that was refused when it was opened.
final class RefusedStream: StreamHandler {
    func received(_ message: [UInt8]) {}
    func halfClosed() {}
    func cancelled(_ reason: CancelReason) {}
    func writable() {}
}
