import EtcdAPI
import FoundationEssentials
import GRPC

/// `Election.Observe`: each leader and each of its values from now on.
///
/// Belongs to its event loop, but for the task, which asks it there.
final class ObserveStream: StreamHandler, @unchecked Sendable {
    private let call: StreamCall
    private let waiting: WaitingCalls
    private var task: Task<Void, Never>?
    private var isOver = false
    /// The task, while the client reads slower than leaders change.
    private var blocked: CheckedContinuation<Void, Never>?

    init(call: StreamCall, waiting: WaitingCalls) {
        self.call = call
        self.waiting = waiting
    }

    func received(_ message: [UInt8]) {
        guard task == nil, !isOver else { return }
        guard let request = try? V3electionpb_LeaderRequest(serializedBytes: message) else {
            return finish(Status(.internal, "grpc: failed to unmarshal the received message"))
        }
        guard waiting.enter() else { return finish(WaitingCalls.tooMany) }
        let line = WaitingLine(of: request.name, calls: CoordinationCalls(caller: call.caller))
        task = Task { [self] in
            defer { waiting.leave() }
            do {
                while true { try await followOne(line) }
            } catch {
                // Why is not told, as in etcd.
                call.eventLoop.execute { self.finish(Status(.unknown, "election: observe closed early")) }
            }
        }
    }

    func halfClosed() {
        if task == nil { finish(Status(.internal, "grpc: a stream ended before its request")) }
    }

    func cancelled(_ reason: CancelReason) {
        isOver = true
        task?.cancel()
        unblock()
    }

    func writable() { unblock() }

    private func unblock() {
        blocked?.resume()
        blocked = nil
    }

    private func finish(_ status: Status) {
        guard !isOver else { return }
        isOver = true
        call.finish(status)
    }

    // MARK: In the task

    /// Tells of the leader that there is, or the first that comes, until it leaves.
    private func followOne(_ line: WaitingLine) async throws {
        let found = try await line.calls.range(line.first)
        var header = found.header
        let leader: Mvccpb_KeyValue
        if let first = found.kvs.first {
            leader = first
        } else {
            (header, leader) = try await firstLeader(line, from: found.header.revision)
        }
        try await send(header, leader)
        let feed = try line.calls.watch(leader.key, from: header.revision + 1)
        defer { feed.close() }
        do {
            while true {
                let response = try await feed.next()
                for event in response.events {
                    if event.type == .delete { return }
                    try await send(Self.header(response, of: event.kv), event.kv)
                }
            }
        } catch CoordinationCalls.Feed.End.compacted {
            return
        }
    }

    private func firstLeader(
        _ line: WaitingLine, from revision: Int64
    ) async throws -> (Etcdserverpb_ResponseHeader, Mvccpb_KeyValue) {
        let feed = try line.calls.watch(line.keys.prefix, end: line.keys.end, from: revision)
        defer { feed.close() }
        while true {
            let response = try await feed.next()
            guard let put = response.events.first(where: { $0.type == .put }) else { continue }
            return (Self.header(response, of: put.kv), put.kv)
        }
    }

    /// A response may tell of several revisions; to the client each is one of its own.
    private static func header(
        _ response: Etcdserverpb_WatchResponse, of pair: Mvccpb_KeyValue
    ) -> Etcdserverpb_ResponseHeader {
        var header = response.header
        header.revision = pair.modRevision
        return header
    }

    private func send(_ header: Etcdserverpb_ResponseHeader, _ leader: Mvccpb_KeyValue) async throws {
        try Task.checkCancellation()
        var response = V3electionpb_LeaderResponse()
        response.header = header
        response.kv = leader
        let message: [UInt8] = try response.serializedBytes()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            call.eventLoop.execute { [self] in
                if !isOver { call.send(message) }
                if isOver || call.isWritable {
                    continuation.resume()
                } else {
                    blocked = continuation
                }
            }
        }
    }
}
