import EtcdAPI
import SwiftProtobuf
import WireFormat

/// One thing that a request is about: fields with names, as they stand in a line of the audit log.
struct AuditSubject: Equatable {
    enum Value: Equatable {
        /// A key, which may be told as its hash alone.
        case key([UInt8])
        case text(String)
        case number(Int64)
        /// The id of a member or a lease, told in hexadecimal digits as etcd tells it.
        case id(UInt64)
    }

    var fields: [(name: String, value: Value)]

    static func == (left: AuditSubject, right: AuditSubject) -> Bool {
        left.fields.map(\.name) == right.fields.map(\.name) && left.fields.map(\.value) == right.fields.map(\.value)
    }

    /// An operation on one key, or on the keys from it up to `end`.
    static func keys(_ operation: String, _ key: [UInt8], _ end: [UInt8] = []) -> AuditSubject {
        var fields: [(String, Value)] = [("op", .text(operation)), ("key", .key(key))]
        if !end.isEmpty { fields.append(("end", .key(end))) }
        return AuditSubject(fields: fields)
    }

    static func named(_ name: String, _ value: Value) -> AuditSubject { AuditSubject(fields: [(name, value)]) }
}

/// What the requests of each method are about. A request that does not decode is about nothing that can be told.
enum AuditSubjects {
    static func of(_ request: [UInt8], method path: String) -> [AuditSubject] {
        guard let method = EtcdMethod(path: path) else { return [] }
        return (try? subjects(request, method)) ?? []
    }

    private static func subjects(_ request: [UInt8], _ method: EtcdMethod) throws -> [AuditSubject] {
        switch method {
        case .range, .rangeStream, .put, .deleteRange, .txn, .compact: return try keyValue(request, method)
        case .watch:
            let watch = try Etcdserverpb_WatchRequest(serializedBytes: request)
            guard case .createRequest(let create) = watch.requestUnion else { return [] }
            return [.keys("watch", Array(create.key), Array(create.rangeEnd))]
        case .leaseGrant:
            let lease = try Etcdserverpb_LeaseGrantRequest(serializedBytes: request)
            return [AuditSubject(fields: [("lease", id(lease.id)), ("ttl", .number(lease.ttl))])]
        case .leaseRevoke, .leaseKeepAlive, .leaseTimeToLive:
            // The id is the first field of all three.
            return [.named("lease", id(try Etcdserverpb_LeaseRevokeRequest(serializedBytes: request).id))]
        case .memberAdd, .memberUpdate, .memberRemove, .memberPromote, .alarm, .hashKV, .moveLeader, .downgrade:
            return try cluster(request, method)
        case .lock, .unlock, .campaign, .proclaim, .resign, .leader, .observe: return try coordination(request, method)
        case .memberList, .status, .defragment, .hash, .snapshot, .leaseLeases: return []
        default: return try auth(request, method)
        }
    }

    private static func id(_ lease: Int64) -> AuditSubject.Value { .id(UInt64(bitPattern: lease)) }

    private static func keyValue(_ request: [UInt8], _ method: EtcdMethod) throws -> [AuditSubject] {
        try request.withUnsafeBytes { bytes in
            switch method {
            case .put: return [.keys("put", Array(try PutRequestView(bytes).key))]
            case .deleteRange:
                let delete = try DeleteRangeRequest(decoding: bytes)
                return [.keys("delete", delete.key, delete.rangeEnd)]
            case .txn: return txn(try TxnRequest(decoding: bytes))
            case .compact: return [.named("revision", .number(try CompactionRequest(decoding: bytes).revision))]
            default:
                let range = try RangeRequest(decoding: bytes)
                return [.keys("range", range.key, range.rangeEnd)]
            }
        }
    }

    private static func txn(_ request: TxnRequest) -> [AuditSubject] {
        request.compare.map { .keys("compare", $0.key, $0.rangeEnd) }
            + (request.success + request.failure).flatMap { operation -> [AuditSubject] in
                switch operation {
                case .none: []
                case .range(let range): [.keys("range", range.key, range.rangeEnd)]
                case .put(let put): [.keys("put", put.key)]
                case .deleteRange(let delete): [.keys("delete", delete.key, delete.rangeEnd)]
                case .txn(let nested): txn(nested)
                }
            }
    }

    private static func cluster(_ request: [UInt8], _ method: EtcdMethod) throws -> [AuditSubject] {
        switch method {
        case .memberAdd:
            let add = try Etcdserverpb_MemberAddRequest(serializedBytes: request)
            return [.named("urls", .text(add.peerUrls.joined(separator: ",")))]
        case .memberUpdate:
            let update = try Etcdserverpb_MemberUpdateRequest(serializedBytes: request)
            let urls = update.peerUrls.joined(separator: ",")
            return [AuditSubject(fields: [("member", .id(update.id)), ("urls", .text(urls))])]
        case .alarm:
            let alarm = try Etcdserverpb_AlarmRequest(serializedBytes: request)
            return [
                AuditSubject(fields: [
                    ("op", .text("\(alarm.action)")), ("alarm", .text("\(alarm.alarm)")),
                    ("member", .id(alarm.memberID)),
                ])
            ]
        case .hashKV:
            return [.named("revision", .number(try Etcdserverpb_HashKVRequest(serializedBytes: request).revision))]
        case .moveLeader:
            return [.named("member", .id(try Etcdserverpb_MoveLeaderRequest(serializedBytes: request).targetID))]
        case .downgrade:
            let downgrade = try Etcdserverpb_DowngradeRequest(serializedBytes: request)
            return [
                AuditSubject(fields: [("op", .text("\(downgrade.action)")), ("version", .text(downgrade.version))])
            ]
        default:
            // Removal and promotion name the member in their first field.
            return [.named("member", .id(try Etcdserverpb_MemberRemoveRequest(serializedBytes: request).id))]
        }
    }

    private static func coordination(_ request: [UInt8], _ method: EtcdMethod) throws -> [AuditSubject] {
        switch method {
        case .unlock: return [.keys("unlock", Array(try V3lockpb_UnlockRequest(serializedBytes: request).key))]
        case .proclaim:
            return [.keys("proclaim", Array(try V3electionpb_ProclaimRequest(serializedBytes: request).leader.key))]
        case .resign:
            return [.keys("resign", Array(try V3electionpb_ResignRequest(serializedBytes: request).leader.key))]
        default:
            // The name is the first field of the others.
            return [.named("name", .key(Array(try V3lockpb_LockRequest(serializedBytes: request).name)))]
        }
    }

    private static func auth(_ request: [UInt8], _ method: EtcdMethod) throws -> [AuditSubject] {
        switch method {
        case .authenticate, .userAdd, .userGet, .userDelete, .userChangePassword:
            // The user's name is the first field of these; a password is never taken out.
            return [.named("name", .text(try Etcdserverpb_AuthUserGetRequest(serializedBytes: request).name))]
        case .userGrantRole:
            let grant = try Etcdserverpb_AuthUserGrantRoleRequest(serializedBytes: request)
            return [AuditSubject(fields: [("name", .text(grant.user)), ("role", .text(grant.role))])]
        case .userRevokeRole:
            let revoke = try Etcdserverpb_AuthUserRevokeRoleRequest(serializedBytes: request)
            return [AuditSubject(fields: [("name", .text(revoke.name)), ("role", .text(revoke.role))])]
        case .roleAdd, .roleGet, .roleDelete:
            return [.named("role", .text(try Etcdserverpb_AuthRoleGetRequest(serializedBytes: request).role))]
        case .roleGrantPermission:
            let grant = try Etcdserverpb_AuthRoleGrantPermissionRequest(serializedBytes: request)
            var subject = AuditSubject.keys("grant", Array(grant.perm.key), Array(grant.perm.rangeEnd))
            subject.fields += [("role", .text(grant.name)), ("permission", .text("\(grant.perm.permType)"))]
            return [subject]
        case .roleRevokePermission:
            let revoke = try Etcdserverpb_AuthRoleRevokePermissionRequest(serializedBytes: request)
            var subject = AuditSubject.keys("revoke", Array(revoke.key), Array(revoke.rangeEnd))
            subject.fields.append(("role", .text(revoke.role)))
            return [subject]
        default: return []
        }
    }
}
