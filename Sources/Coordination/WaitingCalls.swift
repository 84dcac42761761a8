import GRPC
import NIOCore
import SwiftProtobuf
import Synchronization

/// Carries out calls that may wait for long, each in a task of its own, and not more of them than a member can hold.
public final class WaitingCalls: Sendable {
    /// Each waiting call has a task, a stream and a watch, some kilobytes together.
    private static let usualLimit = 16_384

    private let limit: Int
    private let count = Atomic<Int>(0)

    public convenience init() { self.init(limit: Self.usualLimit) }

    init(limit: Int) { self.limit = limit }

    /// Answers `call` with what `body` makes of its request. The task is cancelled with the call; what `body` then does to
    /// clean up is waited for.
    func run<Request: SwiftProtobuf.Message & Sendable, Response: SwiftProtobuf.Message>(
        _ call: UnaryCall, _ message: [UInt8],
        _ body: @escaping @Sendable (Request, CoordinationCalls) async throws -> Response
    ) {
        let request: Request
        do {
            request = try Request(serializedBytes: message)
        } catch {
            return call.fail(Status(.internal, "grpc: error unmarshalling request: \(error)"))
        }
        guard enter() else { return call.fail(Self.tooMany) }
        let calls = CoordinationCalls(caller: call.caller)
        let task = Task { [self] in
            defer { leave() }
            do {
                call.respond(try await body(request, calls).serializedBytes())
            } catch {
                call.fail(Self.status(error))
            }
        }
        call.onCancel { _ in task.cancel() }
    }

    static let tooMany = Status(.resourceExhausted, "etcdserver: too many requests")

    func enter() -> Bool {
        if count.wrappingAdd(1, ordering: .relaxed).newValue <= limit { return true }
        leave()
        return false
    }

    func leave() { count.subtract(1, ordering: .relaxed) }

    /// What a client is told of an error.
    static func status(_ error: any Error) -> Status {
        switch error {
        case let status as Status: status
        case is CancellationError: Status(.cancelled, "context canceled")
        default: Status(.unknown, "\(error)")
        }
    }
}
