import EtcdAPI
import FoundationEssentials
import GRPC

/// `v3lockpb.Lock`: locks with names, held for as long as a lease lives.
public struct LockService: Sendable {
    private let waiting: WaitingCalls

    public init(waiting: WaitingCalls) {
        self.waiting = waiting
    }

    public var methods: [String: Method] {
        [
            EtcdMethod.lock.path: .unary { [waiting] call, message in
                waiting.run(call, message) { try await Self.lock($0, $1) }
            },
            EtcdMethod.unlock.path: .unary { [waiting] call, message in
                waiting.run(call, message) { try await Self.unlock($0, $1) }
            },
        ]
    }

    private static func lock(
        _ request: V3lockpb_LockRequest, _ calls: CoordinationCalls
    ) async throws -> V3lockpb_LockResponse {
        let line = WaitingLine(of: request.name, calls: calls)
        let lease = try await calls.session(request.lease)
        var response = V3lockpb_LockResponse()
        response.key = line.keys.key(of: lease)
        var entry = Etcdserverpb_TxnRequest()
        entry.compare = [.isCreated(response.key, at: 0)]
        entry.success = [.put(response.key, Data(), lease: lease), .range(line.first)]
        // The session stands in the line already, or has the lock.
        entry.failure = [.get(response.key), .range(line.first)]
        let entered = try await calls.txn(entry)
        var created = entered.header.revision
        if !entered.succeeded, let own = entered.kvs(of: 0).first { created = own.createRevision }
        response.header = entered.header
        guard let owner = entered.kvs(of: 1).first, owner.createRevision != created else { return response }
        do {
            try await line.waitForTurn(before: created)
            response.header = try await header(of: response.key, calls)
            try Task.checkCancellation()
            return response
        } catch {
            // Whoever does not wait any more must not be in the way of those behind.
            var leaving = Etcdserverpb_TxnRequest()
            leaving.compare = [.isCreated(response.key, at: created)]
            leaving.success = [.delete(response.key)]
            _ = try? await calls.txn(leaving)
            throw error
        }
    }

    /// The header of the answer; a lock whose key was lost while it was waited for is not had.
    private static func header(of key: Data, _ calls: CoordinationCalls) async throws -> Etcdserverpb_ResponseHeader {
        var request = Etcdserverpb_RangeRequest()
        request.key = key
        let own = try await calls.range(request)
        guard !own.kvs.isEmpty else { throw Status(.unknown, "mutex: session is expired") }
        return own.header
    }

    private static func unlock(
        _ request: V3lockpb_UnlockRequest, _ calls: CoordinationCalls
    ) async throws -> V3lockpb_UnlockResponse {
        var response = V3lockpb_UnlockResponse()
        response.header = try await calls.delete(request.key).header
        return response
    }
}

extension Etcdserverpb_TxnResponse {
    /// The pairs that the operation at `index`, a range, has found.
    func kvs(of index: Int) -> [Mvccpb_KeyValue] {
        responses.indices.contains(index) ? responses[index].responseRange.kvs : []
    }
}
