import Applier
import EtcdAPI
import Lease
import SwiftProtobuf
import WireFormat

/// What a member does without being asked: it ends leases and compacts.
extension MemberCore {
    /// Proposes the revocation of the leases that have run out, at most `limit` of them, and returns how many.
    @discardableResult
    public func revokeExpiredLeases(limit: Int, now: Int64) -> Int {
        guard isLeader else { return 0 }
        var requests: [(id: UInt64, data: [UInt8])] = []
        for lease in applier.lessor.expired(now: now, limit: limit) {
            var writer = WireWriter()
            writer.int64(1, lease)
            requests.append(entry(.leaseRevoke, writer.bytes))
        }
        propose(requests, now: now)
        return requests.count
    }

    /// Proposes a compaction at `revision`.
    public func compact(at revision: Int64, now: Int64) {
        var request = CompactionRequest(revision: revision)
        request.physical = false
        var writer = WireWriter()
        request.encode(into: &writer)
        propose([entry(.compaction, writer.bytes)], now: now)
    }

    func proposeInternally(_ kind: RaftRequestView.Kind, _ message: some SwiftProtobuf.Message, now: Int64) {
        guard let bytes: [UInt8] = try? message.serializedBytes() else {
            preconditionFailure("a request of this member's own does not encode")
        }
        propose([entry(kind, bytes)], now: now)
    }

    private func entry(_ kind: RaftRequestView.Kind, _ request: [UInt8]) -> (id: UInt64, data: [UInt8]) {
        let id = nextRequestID()
        return (id, request.withUnsafeBytes { LogEntry.encode(kind, request: $0, id: id) })
    }
}

/// The bytes of a log entry around a request.
public enum LogEntry {
    /// The entry that carries `request` under `id`; the request's bytes go in as they are.
    public static func encode(_ kind: RaftRequestView.Kind, request: UnsafeRawBufferPointer, id: UInt64) -> [UInt8] {
        let header = RaftRequestHeader(id: id)
        var writer = WireWriter(
            capacity: RaftRequestView.encodedSize(kind, requestLength: request.count, header: header))
        RaftRequestView.encode(kind, request: request, header: header, into: &writer)
        return writer.bytes
    }
}
