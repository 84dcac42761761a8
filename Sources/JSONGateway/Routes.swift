/// Where etcd's methods are reached in JSON, by POST.
enum Routes {
    /// What all paths begin with.
    static let prefix = "/v3/"

    /// What they began with in etcd 3.3, which 3.4 and later still take.
    static let oldPrefix = "/v3beta/"

    /// The gRPC method that answers at `path`; nil when none does.
    static func method(at path: String) -> String? { table[path] }

    /// Every path with its method.
    static let table: [String: String] = {
        var table: [String: String] = [:]
        for (service, routes) in services {
            for (path, method) in routes { table[prefix + path] = "/\(service)/\(method)" }
        }
        return table
    }()

    private static let services: [(String, [(path: String, method: String)])] = [
        (
            "etcdserverpb.KV",
            [
                ("kv/range", "Range"), ("kv/put", "Put"), ("kv/deleterange", "DeleteRange"), ("kv/txn", "Txn"),
                ("kv/compaction", "Compact"),
                // etcd has no path for this method; it is here for those who speak nothing but JSON.
                ("kv/rangestream", "RangeStream"),
            ]
        ),
        ("etcdserverpb.Watch", [("watch", "Watch")]),
        (
            "etcdserverpb.Lease",
            [
                ("lease/grant", "LeaseGrant"), ("lease/revoke", "LeaseRevoke"), ("kv/lease/revoke", "LeaseRevoke"),
                ("lease/keepalive", "LeaseKeepAlive"), ("lease/timetolive", "LeaseTimeToLive"),
                ("kv/lease/timetolive", "LeaseTimeToLive"), ("lease/leases", "LeaseLeases"),
                ("kv/lease/leases", "LeaseLeases"),
            ]
        ),
        (
            "etcdserverpb.Cluster",
            [
                ("cluster/member/add", "MemberAdd"), ("cluster/member/remove", "MemberRemove"),
                ("cluster/member/update", "MemberUpdate"), ("cluster/member/list", "MemberList"),
                ("cluster/member/promote", "MemberPromote"),
            ]
        ),
        (
            "etcdserverpb.Maintenance",
            [
                ("maintenance/alarm", "Alarm"), ("maintenance/status", "Status"),
                ("maintenance/defragment", "Defragment"), ("maintenance/hash", "HashKV"),
                // The path of 3.6 and 3.7, where "hash" is another call's.
                ("maintenance/hashkv", "HashKV"),
                ("maintenance/snapshot", "Snapshot"), ("maintenance/transfer-leadership", "MoveLeader"),
                ("maintenance/downgrade", "Downgrade"),
            ]
        ),
        (
            "etcdserverpb.Auth",
            [
                ("auth/enable", "AuthEnable"), ("auth/disable", "AuthDisable"), ("auth/status", "AuthStatus"),
                ("auth/authenticate", "Authenticate"), ("auth/user/add", "UserAdd"), ("auth/user/get", "UserGet"),
                ("auth/user/list", "UserList"), ("auth/user/delete", "UserDelete"),
                ("auth/user/changepw", "UserChangePassword"), ("auth/user/grant", "UserGrantRole"),
                ("auth/user/revoke", "UserRevokeRole"), ("auth/role/add", "RoleAdd"), ("auth/role/get", "RoleGet"),
                ("auth/role/list", "RoleList"), ("auth/role/delete", "RoleDelete"),
                ("auth/role/grant", "RoleGrantPermission"), ("auth/role/revoke", "RoleRevokePermission"),
            ]
        ),
        ("v3lockpb.Lock", [("lock/lock", "Lock"), ("lock/unlock", "Unlock")]),
        (
            "v3electionpb.Election",
            [
                ("election/campaign", "Campaign"), ("election/proclaim", "Proclaim"), ("election/leader", "Leader"),
                ("election/observe", "Observe"), ("election/resign", "Resign"),
            ]
        ),
    ]

    /// Methods that answer with a stream of messages, and those that also take one.
    static let streams: Set<String> = [
        "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive", "/etcdserverpb.KV/RangeStream",
        "/etcdserverpb.Maintenance/Snapshot", "/v3electionpb.Election/Observe",
    ]
    static let requestStreams: Set<String> = ["/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"]
}
