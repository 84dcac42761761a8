import EtcdAPI
import Lease
import Membership
import WireFormat

/// Grants, revocations and checkpoints of leases.
extension Applier {
    /// From here on etcd keeps checkpoints of leases over a restart without being told to.
    private static let persistentCheckpoints = ClusterVersion(3, 6)

    func grantLease(_ bytes: UnsafeRawBufferPointer, now: Int64) throws(EtcdError) -> [UInt8] {
        if alarms.isOutOfSpace { throw .noSpace }
        let request: Etcdserverpb_LeaseGrantRequest = try message(bytes)
        var response = Etcdserverpb_LeaseGrantResponse()
        do throws(LeaseError) {
            response.ttl = try lessor.grant(id: request.id, ttl: request.ttl, now: now)
        } catch {
            throw EtcdError(error)
        }
        counts.grantedTTLs.append(response.ttl)
        response.id = request.id
        response.header = Etcdserverpb_ResponseHeader(header())
        return try encode(response)
    }

    /// Deletes the lease and, in one revision and in the order of their bytes, the keys that hang on it.
    func revokeLease(_ bytes: UnsafeRawBufferPointer) throws(EtcdError) -> [UInt8] {
        let request: Etcdserverpb_LeaseRevokeRequest = try message(bytes)
        let keys: [[UInt8]]
        do throws(LeaseError) {
            keys = try lessor.revoke(id: request.id)
        } catch {
            throw EtcdError(error)
        }
        counts.leasesRevoked += 1
        if !keys.isEmpty {
            let before = counts
            counts.deletes += keys.count
            counts.endTransaction(from: before)
            store.begin()
            for key in keys { _ = store.deleteRange(key: key, end: nil) }
            _ = endTransaction()
        }
        var response = Etcdserverpb_LeaseRevokeResponse()
        response.header = Etcdserverpb_ResponseHeader(header())
        return try encode(response)
    }

    /// Whether the cluster's version is one whose members all keep checkpoints of leases over a restart.
    public var clusterPersistsCheckpoints: Bool { cluster.version.map { $0 >= Self.persistentCheckpoints } ?? false }

    func checkpointLeases(_ bytes: UnsafeRawBufferPointer, now: Int64) throws(EtcdError) -> [UInt8] {
        let request: Etcdserverpb_LeaseCheckpointRequest = try message(bytes)
        for checkpoint in request.checkpoints {
            lessor.checkpoint(
                id: checkpoint.id, remainingTTL: checkpoint.remainingTtl,
                persists: lessor.configuration.persistsCheckpoints || clusterPersistsCheckpoints, now: now)
        }
        var response = Etcdserverpb_LeaseCheckpointResponse()
        response.header = Etcdserverpb_ResponseHeader(header())
        return try encode(response)
    }

    func alarm(_ bytes: UnsafeRawBufferPointer) throws(EtcdError) -> [UInt8] {
        let request: Etcdserverpb_AlarmRequest = try message(bytes)
        let kind = try Alarm.Kind(request)
        let alarm = Alarm(memberID: request.memberID, kind: kind)
        let listed: [Alarm]
        switch request.action {
        case .get: listed = alarms.list(kind)
        case .activate: listed = kind == .none ? [] : alarms.raise(alarm)
        case .deactivate: listed = alarms.clear(alarm)
        case .UNRECOGNIZED: listed = []
        }
        var response = Etcdserverpb_AlarmResponse()
        response.header = Etcdserverpb_ResponseHeader(header())
        response.alarms = listed.map { alarm in
            var member = Etcdserverpb_AlarmMember()
            member.memberID = alarm.memberID
            member.alarm = Etcdserverpb_AlarmType(rawValue: Int(alarm.kind.rawValue)) ?? .none
            return member
        }
        return try encode(response)
    }
}

extension EtcdError {
    /// What a client is told of the lessor's refusal.
    public init(_ error: LeaseError) {
        switch error {
        case .leaseNotFound, .leaseExpired: self = .leaseNotFound
        case .leaseExists: self = .leaseExists
        case .ttlTooLarge: self = .leaseTTLTooLarge
        case .notPrimary: self = .notLeader
        }
    }
}
