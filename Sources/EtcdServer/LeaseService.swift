import Applier
import Auth
import EtcdAPI
import FoundationEssentials
import GRPC
import Lease
import NIOCore
import SwiftProtobuf
import WireFormat

/// `etcdserverpb.Lease`.
final class LeaseService: Sendable {
    private let gateways: Gateways
    private let member: MemberThread
    private let status: MemberStatus
    private let forwarder: LeaseForwarder
    private let requestLimit: Int

    init(
        gateways: Gateways, member: MemberThread, status: MemberStatus, forwarder: LeaseForwarder, requestLimit: Int
    ) {
        self.forwarder = forwarder
        self.gateways = gateways
        self.member = member
        self.status = status
        self.requestLimit = requestLimit
    }

    var methods: [String: Method] {
        [
            EtcdMethod.leaseGrant.path: .unary { [self] call, message in grant(call, message) },
            EtcdMethod.leaseRevoke.path: .unary { [self] call, message in revoke(call, message) },
            EtcdMethod.leaseKeepAlive.path: .stream { [self] call in
                LeaseKeepAliveStream(
                    call: call, gateway: gateways[call.eventLoop], authority: gateways.authority)
            },
            EtcdMethod.leaseTimeToLive.path: .unary { [self] call, message in timeToLive(call, message) },
            EtcdMethod.leaseLeases.path: .unary { [self] call, message in leases(call, message) },
        ]
    }

    private func grant(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            var request = try Etcdserverpb_LeaseGrantRequest(serializedBytes: message)
            if request.id == 0 { request.id = Int64(status.nextRequestID() & UInt64(Int64.max)) }
            let bytes: [UInt8] = try request.serializedBytes()
            try gateways.propose(
                .leaseGrant, bytes, cost: RequestCost.leaseGrant, call, limit: requestLimit, status: status)
        }
    }

    private func revoke(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            _ = try Etcdserverpb_LeaseRevokeRequest(serializedBytes: message)
            try gateways.propose(
                .leaseRevoke, message, cost: 0, call, limit: requestLimit, status: status)
        }
    }

    private func timeToLive(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_LeaseTimeToLiveRequest(serializedBytes: message)
            let authority = gateways.authority
            let caller = request.keys && authority.isEnabled ? try authority.caller(of: call) ?? .nobody : nil
            member.perform { [self] member in
                if let caller, let refusal = member.refusal(of: caller, readingKeysOf: [request.id]) {
                    return call.reply(refusal)
                }
                member.timeToLive(of: request.id, keys: request.keys) { [self] answer in
                    switch answer {
                    case .success(let found): reply(call, request.id, found, caller)
                    case .failure(.timedOut): call.reply(EtcdError.timeoutWaitAppliedIndex)
                    case .failure(.notPrimary): askLeader(call, request, caller)
                    }
                }
            }
        }
    }

    private func askLeader(_ call: UnaryCall, _ request: Etcdserverpb_LeaseTimeToLiveRequest, _ caller: Caller?) {
        Task {
            switch await forwarder.timeToLive(of: request.id, keys: request.keys) {
            case .success(let found): reply(call, request.id, found, caller)
            case .failure(let error): call.reply(error)
            }
        }
    }

    /// Answers with what was found. A caller that asked for keys must be allowed to read every one that is told: the leader
    /// may know of more than this member did when the question came.
    private func reply(_ call: UnaryCall, _ lease: Int64, _ found: LeaseTimeToLive?, _ caller: Caller?) {
        let authority = gateways.authority
        member.perform { member in
            do throws(EtcdError) {
                if let caller {
                    try authority.confirm(caller.revision)
                    let state = authority.publisher.latest
                    for key in found?.keys ?? [] where !state.isRoot(caller) { try state.check(caller, .read, key) }
                }
            } catch {
                return call.reply(error)
            }
            var response = Etcdserverpb_LeaseTimeToLiveResponse()
            response.id = lease
            response.header = Etcdserverpb_ResponseHeader(member.header())
            // A lease that is gone is no error: its time is minus one.
            response.ttl = found?.remainingTTL ?? -1
            response.grantedTtl = found?.grantedTTL ?? 0
            response.keys = found?.keys.map { Data($0) } ?? []
            call.reply(response)
        }
    }

    private func leases(_ call: UnaryCall, _ message: [UInt8]) {
        guard call.accepts(Etcdserverpb_LeaseLeasesRequest.self, message) else { return }
        let authority = gateways.authority
        let caller = authority.isEnabled ? try? authority.caller(of: call) : nil
        member.perform { member in
            let granted = member.core.applier.lessor.leases()
            if let refusal = member.refusal(of: caller ?? .nobody, readingKeysOf: granted) {
                return call.reply(refusal)
            }
            var response = Etcdserverpb_LeaseLeasesResponse()
            response.header = Etcdserverpb_ResponseHeader(member.header())
            response.leases = granted.map { id in
                var lease = Etcdserverpb_LeaseStatus()
                lease.id = id
                return lease
            }
            call.reply(response)
        }
    }

    /// The answer to one renewal; a lease that is gone has no time to live.
    static func keepAliveResponse(_ header: ResponseHeader, lease: Int64, ttl: Int64) -> [UInt8] {
        var writer = WireWriter()
        header.encodeField(into: &writer)
        writer.int64(2, lease)
        writer.int64(3, ttl)
        return writer.bytes
    }
}

/// One stream of renewals.
final class LeaseKeepAliveStream: StreamHandler, @unchecked Sendable {
    /// Renewals of one stream that wait for the member; beyond them no more are read.
    private static let waitingLimit = 1000

    private let call: StreamCall
    private let gateway: Gateway
    private let authority: Authority
    private var isOver = false
    private var waiting = 0
    private var isHalfClosed = false

    init(call: StreamCall, gateway: Gateway, authority: Authority) {
        self.call = call
        self.gateway = gateway
        self.authority = authority
    }

    func received(_ message: [UInt8]) {
        guard !isOver else { return }
        guard let lease = try? message.withUnsafeBytes({ try Self.leaseID($0) }) else {
            finish(Status(.internal, "grpc: failed to unmarshal the received message"))
            return
        }
        let caller: Caller?
        do throws(EtcdError) {
            caller = try authority.caller(of: call)
        } catch {
            return finish(Status(error))
        }
        waiting += 1
        gateway.keepAlive(Gateway.KeepAlive(lease: lease, stream: self, caller: caller))
        if !call.isWritable || waiting >= Self.waitingLimit { call.pauseReading() }
    }

    private static func leaseID(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Int64 {
        var id: Int64 = 0
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            if tag.field == 1 { id = try reader.int64(tag) } else { try reader.skip(tag) }
        }
        return id
    }

    func halfClosed() {
        isHalfClosed = true
        finishIfDone()
    }

    func cancelled(_ reason: CancelReason) { isOver = true }

    func writable() {
        if waiting < Self.waitingLimit { call.resumeReading() }
    }

    /// Sends the answer to one renewal. On the stream's event loop.
    func deliver(_ reply: Result<[UInt8], EtcdError>) {
        guard !isOver else { return }
        waiting -= 1
        switch reply {
        case .success(let message):
            call.send(message)
            if waiting == Self.waitingLimit - 1 && call.isWritable { call.resumeReading() }
            finishIfDone()
        case .failure(let error): finish(Status(error))
        }
    }

    private func finishIfDone() {
        if isHalfClosed && waiting == 0 { finish(.ok) }
    }

    private func finish(_ status: Status) {
        guard !isOver else { return }
        isOver = true
        call.finish(status)
    }
}
