/// The gRPC methods of etcd 3.7, each by its path.
///
/// `grpc.health.v1.Health` is not among them: it belongs to gRPC, not to etcd.
public enum EtcdMethod: String, CaseIterable, Sendable {
    /// How many messages each side sends.
    public enum Kind: Sendable {
        /// One request, one response.
        case unary
        /// One request, a stream of responses.
        case serverStream
        /// A stream of requests, one response.
        case clientStream
        /// A stream each way.
        case bidirectional
    }

    // MARK: KV

    case range = "/etcdserverpb.KV/Range"
    case rangeStream = "/etcdserverpb.KV/RangeStream"
    case put = "/etcdserverpb.KV/Put"
    case deleteRange = "/etcdserverpb.KV/DeleteRange"
    case txn = "/etcdserverpb.KV/Txn"
    case compact = "/etcdserverpb.KV/Compact"

    // MARK: Watch

    case watch = "/etcdserverpb.Watch/Watch"

    // MARK: Lease

    case leaseGrant = "/etcdserverpb.Lease/LeaseGrant"
    case leaseRevoke = "/etcdserverpb.Lease/LeaseRevoke"
    case leaseKeepAlive = "/etcdserverpb.Lease/LeaseKeepAlive"
    case leaseTimeToLive = "/etcdserverpb.Lease/LeaseTimeToLive"
    case leaseLeases = "/etcdserverpb.Lease/LeaseLeases"

    // MARK: Cluster

    case memberAdd = "/etcdserverpb.Cluster/MemberAdd"
    case memberRemove = "/etcdserverpb.Cluster/MemberRemove"
    case memberUpdate = "/etcdserverpb.Cluster/MemberUpdate"
    case memberList = "/etcdserverpb.Cluster/MemberList"
    case memberPromote = "/etcdserverpb.Cluster/MemberPromote"

    // MARK: Maintenance

    case alarm = "/etcdserverpb.Maintenance/Alarm"
    case status = "/etcdserverpb.Maintenance/Status"
    case defragment = "/etcdserverpb.Maintenance/Defragment"
    case hash = "/etcdserverpb.Maintenance/Hash"
    case hashKV = "/etcdserverpb.Maintenance/HashKV"
    case snapshot = "/etcdserverpb.Maintenance/Snapshot"
    case moveLeader = "/etcdserverpb.Maintenance/MoveLeader"
    case downgrade = "/etcdserverpb.Maintenance/Downgrade"

    // MARK: Auth

    case authEnable = "/etcdserverpb.Auth/AuthEnable"
    case authDisable = "/etcdserverpb.Auth/AuthDisable"
    case authStatus = "/etcdserverpb.Auth/AuthStatus"
    case authenticate = "/etcdserverpb.Auth/Authenticate"
    case userAdd = "/etcdserverpb.Auth/UserAdd"
    case userGet = "/etcdserverpb.Auth/UserGet"
    case userList = "/etcdserverpb.Auth/UserList"
    case userDelete = "/etcdserverpb.Auth/UserDelete"
    case userChangePassword = "/etcdserverpb.Auth/UserChangePassword"
    case userGrantRole = "/etcdserverpb.Auth/UserGrantRole"
    case userRevokeRole = "/etcdserverpb.Auth/UserRevokeRole"
    case roleAdd = "/etcdserverpb.Auth/RoleAdd"
    case roleGet = "/etcdserverpb.Auth/RoleGet"
    case roleList = "/etcdserverpb.Auth/RoleList"
    case roleDelete = "/etcdserverpb.Auth/RoleDelete"
    case roleGrantPermission = "/etcdserverpb.Auth/RoleGrantPermission"
    case roleRevokePermission = "/etcdserverpb.Auth/RoleRevokePermission"

    // MARK: Lock

    case lock = "/v3lockpb.Lock/Lock"
    case unlock = "/v3lockpb.Lock/Unlock"

    // MARK: Election

    case campaign = "/v3electionpb.Election/Campaign"
    case proclaim = "/v3electionpb.Election/Proclaim"
    case leader = "/v3electionpb.Election/Leader"
    case observe = "/v3electionpb.Election/Observe"
    case resign = "/v3electionpb.Election/Resign"

    /// The method's path, as it stands in a request's `:path`.
    public var path: String { rawValue }

    /// How many messages each side sends.
    public var kind: Kind {
        switch self {
        case .watch, .leaseKeepAlive: .bidirectional
        case .rangeStream, .snapshot, .observe: .serverStream
        default: .unary
        }
    }

    /// The method with this path, found in constant time, or nil when etcd has none.
    public init?(path: String) {
        guard let method = Self.byPath[path] else { return nil }
        self = method
    }

    private static let byPath = Dictionary(uniqueKeysWithValues: allCases.map { ($0.rawValue, $0) })
}
