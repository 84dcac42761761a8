import Applier
import Backend
import EtcdAPI
import GRPC
import MVCC
import Metrics
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
    private let notice: ServingNotice
    private let runningSnapshots = SharedCount()
    private let metrics: MemberMetrics

    init(
        gateways: Gateways, member: MemberThread, status: MemberStatus, hashers: NIOThreadPool, quota: Int64,
        requestLimit: Int, metrics: MemberMetrics, notice: ServingNotice
    ) {
        self.metrics = metrics
        self.notice = notice
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
            EtcdMethod.status.path: .unary { [self] call, message in status(call, message) },
            EtcdMethod.defragment.path: .unary { [self] call, message in defragment(call, message) },
            EtcdMethod.hash.path: .unary { [self] call, message in hash(call, message) },
            EtcdMethod.hashKV.path: .unary { [self] call, message in hashKV(call, message) },
            EtcdMethod.moveLeader.path: .unary { [self] call, message in moveLeader(call, message) },
            EtcdMethod.snapshot.path: .stream { [self] call in
                SnapshotHandler(
                    call: call, member: member, running: runningSnapshots, durations: metrics.disk.backendSnapshot)
            },
        ]
    }

    private func alarm(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            _ = try Alarm.Kind(try Etcdserverpb_AlarmRequest(serializedBytes: message))
            try gateways.propose(.alarm, message, cost: 0, call, limit: requestLimit, status: status)
        }
    }

    private func status(_ call: UnaryCall, _ message: [UInt8]) {
        guard call.accepts(Etcdserverpb_StatusRequest.self, message) else { return }
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
            response.downgradeInfo = Etcdserverpb_DowngradeInfo()
            if let target = core.applier.cluster.downgradeTarget {
                response.downgradeInfo.enabled = true
                response.downgradeInfo.targetVersion = target.description
            }
            if core.leader == 0 { response.errors.append(EtcdError.noLeader.message) }
            for alarm in core.applier.raisedAlarms {
                let name = alarm.kind == .noSpace ? "NOSPACE" : "CORRUPT"
                // As Go's protobuf library writes the message, without fields that are zero.
                let member = alarm.memberID == 0 ? "" : "memberID:\(alarm.memberID) "
                response.errors.append("\(member)alarm:\(name) ")
            }
            call.reply(response)
        }
    }

    private func defragment(_ call: UnaryCall, _ message: [UInt8]) {
        guard call.accepts(Etcdserverpb_DefragmentRequest.self, message) else { return }
        let notice = notice
        notice.defragmentationBegins()
        member.perform { member in
            member.defragment { error in
                notice.defragmentationEnds()
                // etcd's answer has no header.
                if let error { call.reply(error) } else { call.reply(Etcdserverpb_DefragmentResponse()) }
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

    private func hash(_ call: UnaryCall, _ message: [UInt8]) {
        guard call.accepts(Etcdserverpb_HashRequest.self, message) else { return }
        let hashers = self.hashers
        let durations = metrics.store.hashes
        member.perform { member in
            member.afterNextCommit { member in
                let header = member.header()
                let snapshot = Result { try member.core.applier.backend.snapshot() }
                hashers.submit { _ in
                    do {
                        var response = Etcdserverpb_HashResponse()
                        response.header = Etcdserverpb_ResponseHeader(header)
                        let start = Clock.nanoseconds
                        response.hash = try snapshot.get().hash()
                        durations.observe(nanoseconds: Clock.nanoseconds - start)
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
            let durations = metrics.store.hashesByRevision
            member.perform { member in
                let header = member.header()
                let view = member.core.applier.store.publisher.latest()
                hashers.submit { _ in
                    do throws(StoreError) {
                        let start = Clock.nanoseconds
                        let hash = try view.hashByRevision(request.revision)
                        durations.observe(nanoseconds: Clock.nanoseconds - start)
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
