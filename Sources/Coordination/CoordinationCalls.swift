import EtcdAPI
import FoundationEssentials
import GRPC
import SwiftProtobuf

/// The calls of etcd's own services that locks and elections are made of.
struct CoordinationCalls: Sendable {
    let caller: MethodCaller

    func txn(_ request: Etcdserverpb_TxnRequest) async throws -> Etcdserverpb_TxnResponse {
        try await call(.txn, request)
    }

    func range(_ request: Etcdserverpb_RangeRequest) async throws -> Etcdserverpb_RangeResponse {
        try await call(.range, request)
    }

    func delete(_ key: Data) async throws -> Etcdserverpb_DeleteRangeResponse {
        var request = Etcdserverpb_DeleteRangeRequest()
        request.key = key
        return try await call(.deleteRange, request)
    }

    /// The lease to use: `lease`, or a new one when it is 0. That lives for as long as a client's session without a word
    /// of it, and nobody renews it.
    func session(_ lease: Int64) async throws -> Int64 {
        guard lease == 0 else { return lease }
        var request = Etcdserverpb_LeaseGrantRequest()
        request.ttl = Self.sessionSeconds
        let response: Etcdserverpb_LeaseGrantResponse = try await call(.leaseGrant, request)
        return response.id
    }

    /// etcd's time to live of a session that says none.
    private static let sessionSeconds: Int64 = 60

    private func call<Response: SwiftProtobuf.Message>(
        _ method: EtcdMethod, _ request: some SwiftProtobuf.Message
    ) async throws -> Response {
        let reply: [UInt8]
        do throws(Status) {
            reply = try await caller.call(method.path, try Self.encode(request))
        } catch {
            throw Self.told(error)
        }
        return try Response(serializedBytes: reply)
    }

    private static func encode(_ message: some SwiftProtobuf.Message) throws(Status) -> [UInt8] {
        do {
            return try message.serializedBytes()
        } catch {
            throw Status(.internal, "\(error)")
        }
    }

    /// etcd's lock and election services are clients of etcd; of the errors that a client knows by their words their
    /// callers get the words and no code.
    private static func told(_ status: Status) -> Status {
        knownErrors.contains(status.message) ? Status(.unknown, status.message) : status
    }

    private static let knownErrors = Set(EtcdError.all.map(\.message))

    // MARK: Watching

    /// A watch of one key, or of all keys with a prefix.
    struct Feed: Sendable {
        fileprivate let replies: MethodReplies

        /// Why a watch has nothing more to tell.
        enum End: Error {
            /// What it needed is compacted away.
            case compacted
        }

        /// The next events; throws when there will be none.
        func next() async throws -> Etcdserverpb_WatchResponse {
            while true {
                let response: Etcdserverpb_WatchResponse
                do throws(Status) {
                    response = try Self.decode(try await replies.next())
                } catch {
                    throw CoordinationCalls.told(error)
                }
                if response.canceled {
                    if response.compactRevision != 0 { throw End.compacted }
                    throw Status(.unknown, response.cancelReason)
                }
                if !response.events.isEmpty { return response }
            }
        }

        func close() { replies.cancel() }

        private static func decode(_ bytes: [UInt8]) throws(Status) -> Etcdserverpb_WatchResponse {
            do {
                return try Etcdserverpb_WatchResponse(serializedBytes: bytes)
            } catch {
                throw Status(.internal, "\(error)")
            }
        }
    }

    /// Events of `key`, or of the keys from it up to `end`, from `revision` on. To be closed.
    func watch(_ key: Data, end: Data = Data(), from revision: Int64) throws -> Feed {
        var request = Etcdserverpb_WatchRequest()
        request.createRequest.key = key
        request.createRequest.rangeEnd = end
        request.createRequest.startRevision = revision
        return Feed(replies: caller.open(EtcdMethod.watch.path, try Self.encode(request)))
    }
}
