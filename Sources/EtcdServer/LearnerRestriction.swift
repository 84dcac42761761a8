import EtcdAPI
import GRPC

/// What a learner answers to clients: its status, serializable ranges, and its database as a snapshot. Everything else is
/// for voters, as in etcd.
final class LearnerRestriction: Sendable {
    private let status: MemberStatus

    init(status: MemberStatus) {
        self.status = status
    }

    /// The method at `path`, which a learner refuses where it must.
    func guarding(_ method: Method, at path: String) -> Method {
        if path == EtcdMethod.status.path || path == EtcdMethod.snapshot.path { return method }
        let isRange = path == EtcdMethod.range.path
        switch method {
        case .unary(let body):
            return .unary { [self] call, message in
                if isLearner && !(isRange && Self.isSerializable(message)) {
                    call.fail(Status(.notSupportedForLearner))
                } else {
                    body(call, message)
                }
            }
        case .stream(let open):
            return .stream { [self] call in
                guard isLearner else { return open(call) }
                call.finish(Status(.notSupportedForLearner))
                return RefusedStream()
            }
        }
    }

    private var isLearner: Bool { status.isLearner.load(ordering: .relaxed) }

    private static func isSerializable(_ message: [UInt8]) -> Bool {
        let request = message.withUnsafeBytes { try? RangeRequest(decoding: $0) }
        return request?.serializable ?? false
    }
}
