import Applier
import Auth
import EtcdAPI
import Lease
import SwiftProtobuf
import WireFormat

/// What a member does without being asked: it ends leases and compacts.
extension MemberCore {
    /// Ends leases that have run out and records what others have left, at the pace of ``DutyTimers``. Returns how many
    /// are to end.
    @discardableResult
    public func attendToLeases(now: Int64) -> Int {
        let ended = revokeExpiredLeases(limit: Lessor.revokesPerSecond / 2, now: now)
        checkpointLeases(limit: Lessor.checkpointsPerSecond / 2, now: now)
        return ended
    }

    /// Proposes the revocation of the leases that have run out, at most `limit` of them, and returns how many.
    ///
    /// What is not taken now is not kept until there is a leader again: that one would end leases to which it has given
    /// time. The lessor names them again later.
    @discardableResult
    func revokeExpiredLeases(limit: Int, now: Int64) -> Int {
        guard isLeader else { return 0 }
        var requests: [[UInt8]] = []
        for lease in applier.lessor.expired(now: now, limit: limit) {
            var writer = WireWriter()
            writer.int64(1, lease)
            requests.append(entry(.leaseRevoke, writer.bytes, caller: rootCaller).data)
        }
        guard !requests.isEmpty, tryPropose(requests) else { return 0 }
        return requests.count
    }

    /// Proposes checkpoints of the leases that a change of leader would give much time anew, at most `limit` of them.
    /// They are recorded where all members keep them, or where the settings say so.
    func checkpointLeases(limit: Int, now: Int64) {
        let lessor = applier.lessor
        guard isLeader, lessor.isPrimary else { return }
        lessor.recordsCheckpoints = settings.leaseCheckpoints ?? applier.clusterPersistsCheckpoints
        let due = lessor.dueCheckpoints(now: now, limit: limit)
        if !due.isEmpty { proposeCheckpoints(due, now: now) }
    }

    /// Proposes that the checkpoints of `leases`, which were renewed, are forgotten, and returns the request's id. Only
    /// once that is applied may a client be told of the renewal: a new leader would end its lease early.
    public func clearCheckpoints(of leases: [Int64], now: Int64) -> UInt64 {
        proposeCheckpoints(leases.map { LeaseCheckpoint(id: $0, remainingTTL: 0) }, now: now)
    }

    @discardableResult
    private func proposeCheckpoints(_ checkpoints: [LeaseCheckpoint], now: Int64) -> UInt64 {
        var request = Etcdserverpb_LeaseCheckpointRequest()
        request.checkpoints = checkpoints.map { checkpoint in
            var record = Etcdserverpb_LeaseCheckpoint()
            record.id = checkpoint.id
            record.remainingTtl = checkpoint.remainingTTL
            return record
        }
        return proposeInternally(.leaseCheckpoint, request, now: now)
    }

    /// Proposes the alarm that the data of `member` is damaged; 0 is for the whole cluster.
    public func raiseCorruptAlarm(for member: UInt64, now: Int64) {
        var request = Etcdserverpb_AlarmRequest()
        request.action = .activate
        request.memberID = member
        request.alarm = .corrupt
        proposeInternally(.alarm, request, now: now)
    }

    /// Proposes a compaction at `revision`.
    public func compact(at revision: Int64, now: Int64) {
        var request = CompactionRequest(revision: revision)
        request.physical = false
        var writer = WireWriter()
        request.encode(into: &writer)
        propose([entry(.compaction, writer.bytes)], now: now)
    }

    /// The data of an entry that changes nothing on members of any version: the question for the alarms.
    func entryWithoutEffect() -> [UInt8] { entry(.alarm, []).data }

    @discardableResult
    func proposeInternally(
        _ kind: RaftRequestView.Kind, _ message: some SwiftProtobuf.Message, now: Int64
    ) -> UInt64 {
        guard let bytes: [UInt8] = try? message.serializedBytes() else {
            preconditionFailure("a request of this member's own does not encode")
        }
        let request = entry(kind, bytes)
        propose([request], now: now)
        return request.id
    }

    private func entry(
        _ kind: RaftRequestView.Kind, _ request: [UInt8], caller: Caller? = nil
    ) -> (id: UInt64, data: [UInt8]) {
        let id = nextRequestID()
        return (id, request.withUnsafeBytes { LogEntry.encode(kind, request: $0, id: id, caller: caller) })
    }

    /// As whom the member does what no client has asked for, when permissions are checked.
    private var rootCaller: Caller? {
        let state = applier.auth.state
        return state.isEnabled ? Caller(user: "root", revision: state.revision) : nil
    }
}

/// The bytes of a log entry around a request.
public enum LogEntry {
    /// The entry that carries `request` of `caller` under `id`; the request's bytes go in as they are.
    public static func encode(
        _ kind: RaftRequestView.Kind, request: UnsafeRawBufferPointer, id: UInt64, caller: Caller? = nil
    ) -> [UInt8] {
        var header = RaftRequestHeader(id: id)
        if let caller {
            header.username = caller.user
            header.authRevision = caller.revision
        }
        var writer = WireWriter(
            capacity: RaftRequestView.encodedSize(kind, requestLength: request.count, header: header))
        RaftRequestView.encode(kind, request: request, header: header, into: &writer)
        return writer.bytes
    }
}
