import Applier
import Backend
import Crypto
import EtcdAPI
import FoundationEssentials
import GRPC
import MVCC
import NIOCore
import NIOPosix
import SwiftProtobuf

/// `etcdserverpb.Maintenance`.
final class MaintenanceService: Sendable {
    private let gateways: Gateways
    private let member: MemberThread
    private let status: MemberStatus
    /// Hashing reads the whole database, so it has a thread of its own, and large ranges do not wait for it.
    private let hashers: NIOThreadPool
    private let quota: Int64
    private let requestLimit: Int
    private let runningSnapshots = SharedCount()

    init(
        gateways: Gateways, member: MemberThread, status: MemberStatus, hashers: NIOThreadPool, quota: Int64,
        requestLimit: Int
    ) {
        self.gateways = gateways
        self.member = member
        self.status = status
        self.hashers = hashers
        self.quota = quota
        self.requestLimit = requestLimit
    }

    var methods: [String: Method] {
        [
            EtcdMethod.alarm.path: .unary { [self] call, message in alarm(call, message) },
            EtcdMethod.status.path: .unary { [self] call, _ in status(call) },
            EtcdMethod.defragment.path: .unary { [self] call, _ in defragment(call) },
            EtcdMethod.hash.path: .unary { [self] call, _ in hash(call) },
            EtcdMethod.hashKV.path: .unary { [self] call, message in hashKV(call, message) },
            EtcdMethod.moveLeader.path: .unary { [self] call, message in moveLeader(call, message) },
            EtcdMethod.snapshot.path: .stream { [self] call in
                SnapshotHandler(call: call, member: member, running: runningSnapshots)
            },
        ]
    }

    private func alarm(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            _ = try Alarm.Kind(try Etcdserverpb_AlarmRequest(serializedBytes: message))
            try gateways.propose(.alarm, message, cost: 0, call, limit: requestLimit, status: status)
        }
    }

    private func status(_ call: UnaryCall) {
        let quota = self.quota
        member.perform { member in
            let core = member.core
            var response = Etcdserverpb_StatusResponse()
            response.header = Etcdserverpb_ResponseHeader(member.header())
            response.version = EtcdVersion.server
            member.noteSize()
            response.dbSize = Int64(core.applier.backend.fileSize)
            response.dbSizeInUse = Int64(core.applier.backend.sizeInUse)
            response.dbSizeQuota = quota
            response.leader = core.leader
            response.raftIndex = core.committedIndex
            response.raftTerm = core.term
            response.raftAppliedIndex = core.appliedIndex
            response.isLearner = core.applier.cluster.members[core.settings.memberID]?.isLearner ?? false
            response.storageVersion = core.applier.toldStorageVersion.description
            if let target = core.applier.cluster.downgradeTarget {
                response.downgradeInfo.enabled = true
                response.downgradeInfo.targetVersion = target.description
            }
            if core.leader == 0 { response.errors.append(EtcdError.noLeader.message) }
            for alarm in core.applier.raisedAlarms {
                let name = alarm.kind == .noSpace ? "NOSPACE" : "CORRUPT"
                response.errors.append("memberID:\(alarm.memberID) alarm:\(name) ")
            }
            call.reply(response)
        }
    }

    private func defragment(_ call: UnaryCall) {
        member.perform { member in
            member.afterNextCommit { member in
                do {
                    try member.core.applier.backend.defragment()
                    member.core.applier.store.publish()
                    member.noteSize()
                    // etcd's answer has no header.
                    call.reply(Etcdserverpb_DefragmentResponse())
                } catch {
                    call.reply(EtcdError(.unknown, "\(error)"))
                }
            }
        }
    }

    private func moveLeader(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_MoveLeaderRequest(serializedBytes: message)
            member.perform { member in
                member.moveLeader(to: request.targetID) { error in
                    // etcd's answer has no header.
                    if let error { call.reply(error) } else { call.reply(Etcdserverpb_MoveLeaderResponse()) }
                }
            }
        }
    }

    private func hash(_ call: UnaryCall) {
        let hashers = self.hashers
        member.perform { member in
            member.afterNextCommit { member in
                let header = member.header()
                let snapshot = Result { try member.core.applier.backend.snapshot() }
                hashers.submit { _ in
                    do {
                        var response = Etcdserverpb_HashResponse()
                        response.header = Etcdserverpb_ResponseHeader(header)
                        response.hash = try snapshot.get().hash()
                        call.reply(response)
                    } catch {
                        call.reply(EtcdError(.unknown, "\(error)"))
                    }
                }
            }
        }
    }

    private func hashKV(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_HashKVRequest(serializedBytes: message)
            let hashers = self.hashers
            member.perform { member in
                let header = member.header()
                let view = member.core.applier.store.publisher.latest()
                hashers.submit { _ in
                    do throws(StoreError) {
                        let hash = try view.hashByRevision(request.revision)
                        var response = Etcdserverpb_HashKVResponse()
                        response.header = Etcdserverpb_ResponseHeader(header)
                        response.hash = hash.hash
                        response.compactRevision = hash.compactRevision
                        response.hashRevision = hash.revision
                        call.reply(response)
                    } catch {
                        call.reply(EtcdError(error))
                    }
                }
            }
        }
    }
}

/// `Maintenance.Snapshot`: the whole backend file, then its SHA-256.
final class SnapshotHandler: StreamHandler, @unchecked Sendable {
    /// Bytes of the file in one message, as etcd sends them.
    private static let pieceBytes = 32 * 1024

    /// Snapshots that may be sent at once; each pins the pages of its moment and has a thread.
    private static let runningLimit = 8

    private let call: StreamCall
    private let member: MemberThread
    private let running: SharedCount
    private var hasBegun = false
    private var isOver = false
    /// Lets the reading thread send one more piece, or end when the stream is gone.
    private let permits = PiecePermits()

    init(call: StreamCall, member: MemberThread, running: SharedCount) {
        self.call = call
        self.member = member
        self.running = running
    }

    deinit {
        if hasBegun { running.value.subtract(1, ordering: .relaxed) }
    }

    func received(_ message: [UInt8]) {
        guard !hasBegun else { return }
        hasBegun = true
        guard running.value.wrappingAdd(1, ordering: .relaxed).newValue <= Self.runningLimit else {
            end(Status(.resourceExhausted, EtcdError.tooManyRequests.message))
            return
        }
        member.perform { [self] member in
            member.afterNextCommit { [self] member in
                let snapshot = Result { try member.core.applier.backend.snapshot() }
                // A slow client would hold one of the readers for long, so each snapshot has a thread of its own.
                if !ServiceThread.detach("etcd-snapshot", { [self] in run(snapshot) }) {
                    end(Status(.resourceExhausted, "etcdserver: the system gives no thread for a snapshot"))
                }
            }
        }
    }

    func halfClosed() {}

    func cancelled(_ reason: CancelReason) {
        isOver = true
        permits.close()
    }

    func writable() { permits.open() }

    private func run(_ snapshot: Result<BackendSnapshot, any Error>) {
        do {
            let snapshot = try snapshot.get()
            var digest = SHA256()
            var remaining = UInt64(snapshot.size)
            try snapshot.write { bytes in
                var rest = bytes
                while !rest.isEmpty {
                    let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.pieceBytes))
                    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
                    digest.update(bufferPointer: piece)
                    remaining -= min(remaining, UInt64(piece.count))
                    try send([UInt8](piece), remaining: remaining)
                }
            }
            try send(Array(digest.finalize()), remaining: 0)
            end(.ok)
        } catch is PiecePermits.Closed {
            return
        } catch {
            end(Status(.unknown, "\(error)"))
        }
    }

    private func send(_ piece: [UInt8], remaining: UInt64) throws {
        try permits.wait()
        var response = Etcdserverpb_SnapshotResponse()
        response.blob = Data(piece)
        response.remainingBytes = remaining
        response.version = EtcdVersion.server
        let message: [UInt8] = try response.serializedBytes()
        call.eventLoop.execute { [self] in
            guard !isOver else { return }
            call.send(message)
            if call.isWritable { permits.open() }
        }
    }

    private func end(_ status: Status) {
        call.eventLoop.execute { [self] in
            guard !isOver else { return }
            isOver = true
            call.finish(status)
        }
    }
}
