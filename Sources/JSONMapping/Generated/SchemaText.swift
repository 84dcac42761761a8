// Made by Scripts/generate-json-schema.

/// The messages, enumerations and methods of etcd's API; `Schema` says what the lines mean.
let schemaText: StaticString = """
    enum authpb.Permission_Type
    value READ 0
    value WRITE 1
    value READWRITE 2
    enum mvccpb.Event_EventType
    value PUT 0
    value DELETE 1
    enum etcdserverpb.AlarmType
    value NONE 0
    value NOSPACE 1
    value CORRUPT 2
    enum etcdserverpb.RangeRequest_SortOrder
    value NONE 0
    value ASCEND 1
    value DESCEND 2
    enum etcdserverpb.RangeRequest_SortTarget
    value KEY 0
    value VERSION 1
    value CREATE 2
    value MOD 3
    value VALUE 4
    enum etcdserverpb.Compare_CompareResult
    value EQUAL 0
    value GREATER 1
    value LESS 2
    value NOT_EQUAL 3
    enum etcdserverpb.Compare_CompareTarget
    value VERSION 0
    value CREATE 1
    value MOD 2
    value VALUE 3
    value LEASE 4
    enum etcdserverpb.WatchCreateRequest_FilterType
    value NOPUT 0
    value NODELETE 1
    enum etcdserverpb.AlarmRequest_AlarmAction
    value GET 0
    value ACTIVATE 1
    value DEACTIVATE 2
    enum etcdserverpb.DowngradeRequest_DowngradeAction
    value VALIDATE 0
    value ENABLE 1
    value CANCEL 2
    message authpb.UserAddOptions
    field no_password 1 bool
    message authpb.User
    field name 1 bytes
    field password 2 bytes
    repeated roles 3 string
    field options 4 authpb.UserAddOptions
    message authpb.Permission
    field permType 1 authpb.Permission_Type
    field key 2 bytes
    field range_end 3 bytes
    message authpb.Role
    field name 1 bytes
    repeated keyPermission 2 authpb.Permission
    message mvccpb.KeyValue
    field key 1 bytes
    field create_revision 2 int64
    field mod_revision 3 int64
    field version 4 int64
    field value 5 bytes
    field lease 6 int64
    message mvccpb.Event
    field type 1 mvccpb.Event_EventType
    field kv 2 mvccpb.KeyValue
    field prev_kv 3 mvccpb.KeyValue
    message etcdserverpb.ResponseHeader
    field cluster_id 1 uint64
    field member_id 2 uint64
    field revision 3 int64
    field raft_term 4 uint64
    message etcdserverpb.RangeRequest
    field key 1 bytes
    field range_end 2 bytes
    field limit 3 int64
    field revision 4 int64
    field sort_order 5 etcdserverpb.RangeRequest_SortOrder
    field sort_target 6 etcdserverpb.RangeRequest_SortTarget
    field serializable 7 bool
    field keys_only 8 bool
    field count_only 9 bool
    field min_mod_revision 10 int64
    field max_mod_revision 11 int64
    field min_create_revision 12 int64
    field max_create_revision 13 int64
    message etcdserverpb.RangeResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated kvs 2 mvccpb.KeyValue
    field more 3 bool
    field count 4 int64
    message etcdserverpb.RangeStreamResponse
    field range_response 1 etcdserverpb.RangeResponse
    message etcdserverpb.PutRequest
    field key 1 bytes
    field value 2 bytes
    field lease 3 int64
    field prev_kv 4 bool
    field ignore_value 5 bool
    field ignore_lease 6 bool
    message etcdserverpb.PutResponse
    field header 1 etcdserverpb.ResponseHeader
    field prev_kv 2 mvccpb.KeyValue
    message etcdserverpb.DeleteRangeRequest
    field key 1 bytes
    field range_end 2 bytes
    field prev_kv 3 bool
    message etcdserverpb.DeleteRangeResponse
    field header 1 etcdserverpb.ResponseHeader
    field deleted 2 int64
    repeated prev_kvs 3 mvccpb.KeyValue
    message etcdserverpb.RequestOp
    field request_range 1 etcdserverpb.RangeRequest 0
    field request_put 2 etcdserverpb.PutRequest 0
    field request_delete_range 3 etcdserverpb.DeleteRangeRequest 0
    field request_txn 4 etcdserverpb.TxnRequest 0
    message etcdserverpb.ResponseOp
    field response_range 1 etcdserverpb.RangeResponse 0
    field response_put 2 etcdserverpb.PutResponse 0
    field response_delete_range 3 etcdserverpb.DeleteRangeResponse 0
    field response_txn 4 etcdserverpb.TxnResponse 0
    message etcdserverpb.Compare
    field result 1 etcdserverpb.Compare_CompareResult
    field target 2 etcdserverpb.Compare_CompareTarget
    field key 3 bytes
    field version 4 int64 0
    field create_revision 5 int64 0
    field mod_revision 6 int64 0
    field value 7 bytes 0
    field lease 8 int64 0
    field range_end 64 bytes
    message etcdserverpb.TxnRequest
    repeated compare 1 etcdserverpb.Compare
    repeated success 2 etcdserverpb.RequestOp
    repeated failure 3 etcdserverpb.RequestOp
    message etcdserverpb.TxnResponse
    field header 1 etcdserverpb.ResponseHeader
    field succeeded 2 bool
    repeated responses 3 etcdserverpb.ResponseOp
    message etcdserverpb.CompactionRequest
    field revision 1 int64
    field physical 2 bool
    message etcdserverpb.CompactionResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.WatchRequest
    field create_request 1 etcdserverpb.WatchCreateRequest 0
    field cancel_request 2 etcdserverpb.WatchCancelRequest 0
    field progress_request 3 etcdserverpb.WatchProgressRequest 0
    message etcdserverpb.WatchCreateRequest
    field key 1 bytes
    field range_end 2 bytes
    field start_revision 3 int64
    field progress_notify 4 bool
    repeated filters 5 etcdserverpb.WatchCreateRequest_FilterType
    field prev_kv 6 bool
    field watch_id 7 int64
    field fragment 8 bool
    message etcdserverpb.WatchCancelRequest
    field watch_id 1 int64
    message etcdserverpb.WatchProgressRequest
    message etcdserverpb.WatchResponse
    field header 1 etcdserverpb.ResponseHeader
    field watch_id 2 int64
    field created 3 bool
    field canceled 4 bool
    field compact_revision 5 int64
    field cancel_reason 6 string
    field fragment 7 bool
    repeated events 11 mvccpb.Event
    message etcdserverpb.LeaseGrantRequest
    field TTL 1 int64
    field ID 2 int64
    message etcdserverpb.LeaseGrantResponse
    field header 1 etcdserverpb.ResponseHeader
    field ID 2 int64
    field TTL 3 int64
    field error 4 string
    message etcdserverpb.LeaseRevokeRequest
    field ID 1 int64
    message etcdserverpb.LeaseRevokeResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.LeaseCheckpoint
    field ID 1 int64
    field remaining_TTL 2 int64
    message etcdserverpb.LeaseCheckpointRequest
    repeated checkpoints 1 etcdserverpb.LeaseCheckpoint
    message etcdserverpb.LeaseCheckpointResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.LeaseKeepAliveRequest
    field ID 1 int64
    message etcdserverpb.LeaseKeepAliveResponse
    field header 1 etcdserverpb.ResponseHeader
    field ID 2 int64
    field TTL 3 int64
    message etcdserverpb.LeaseTimeToLiveRequest
    field ID 1 int64
    field keys 2 bool
    message etcdserverpb.LeaseTimeToLiveResponse
    field header 1 etcdserverpb.ResponseHeader
    field ID 2 int64
    field TTL 3 int64
    field grantedTTL 4 int64
    repeated keys 5 bytes
    message etcdserverpb.LeaseLeasesRequest
    message etcdserverpb.LeaseStatus
    field ID 1 int64
    message etcdserverpb.LeaseLeasesResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated leases 2 etcdserverpb.LeaseStatus
    message etcdserverpb.Member
    field ID 1 uint64
    field name 2 string
    repeated peerURLs 3 string
    repeated clientURLs 4 string
    field isLearner 5 bool
    message etcdserverpb.MemberAddRequest
    repeated peerURLs 1 string
    field isLearner 2 bool
    message etcdserverpb.MemberAddResponse
    field header 1 etcdserverpb.ResponseHeader
    field member 2 etcdserverpb.Member
    repeated members 3 etcdserverpb.Member
    message etcdserverpb.MemberRemoveRequest
    field ID 1 uint64
    message etcdserverpb.MemberRemoveResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated members 2 etcdserverpb.Member
    message etcdserverpb.MemberUpdateRequest
    field ID 1 uint64
    repeated peerURLs 2 string
    message etcdserverpb.MemberUpdateResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated members 2 etcdserverpb.Member
    message etcdserverpb.MemberListRequest
    field linearizable 1 bool
    message etcdserverpb.MemberListResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated members 2 etcdserverpb.Member
    message etcdserverpb.MemberPromoteRequest
    field ID 1 uint64
    message etcdserverpb.MemberPromoteResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated members 2 etcdserverpb.Member
    message etcdserverpb.DefragmentRequest
    message etcdserverpb.DefragmentResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.MoveLeaderRequest
    field targetID 1 uint64
    message etcdserverpb.MoveLeaderResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AlarmRequest
    field action 1 etcdserverpb.AlarmRequest_AlarmAction
    field memberID 2 uint64
    field alarm 3 etcdserverpb.AlarmType
    message etcdserverpb.AlarmMember
    field memberID 1 uint64
    field alarm 2 etcdserverpb.AlarmType
    message etcdserverpb.AlarmResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated alarms 2 etcdserverpb.AlarmMember
    message etcdserverpb.DowngradeRequest
    field action 1 etcdserverpb.DowngradeRequest_DowngradeAction
    field version 2 string
    message etcdserverpb.DowngradeResponse
    field header 1 etcdserverpb.ResponseHeader
    field version 2 string
    message etcdserverpb.DowngradeVersionTestRequest
    field ver 1 string
    message etcdserverpb.HashRequest
    message etcdserverpb.HashResponse
    field header 1 etcdserverpb.ResponseHeader
    field hash 2 uint32
    message etcdserverpb.HashKVRequest
    field revision 1 int64
    message etcdserverpb.HashKVResponse
    field header 1 etcdserverpb.ResponseHeader
    field hash 2 uint32
    field compact_revision 3 int64
    field hash_revision 4 int64
    message etcdserverpb.SnapshotRequest
    message etcdserverpb.SnapshotResponse
    field header 1 etcdserverpb.ResponseHeader
    field remaining_bytes 2 uint64
    field blob 3 bytes
    field version 4 string
    message etcdserverpb.StatusRequest
    message etcdserverpb.StatusResponse
    field header 1 etcdserverpb.ResponseHeader
    field version 2 string
    field dbSize 3 int64
    field leader 4 uint64
    field raftIndex 5 uint64
    field raftTerm 6 uint64
    field raftAppliedIndex 7 uint64
    repeated errors 8 string
    field dbSizeInUse 9 int64
    field isLearner 10 bool
    field storageVersion 11 string
    field dbSizeQuota 12 int64
    field downgradeInfo 13 etcdserverpb.DowngradeInfo
    message etcdserverpb.DowngradeInfo
    field enabled 1 bool
    field targetVersion 2 string
    message etcdserverpb.AuthEnableRequest
    message etcdserverpb.AuthDisableRequest
    message etcdserverpb.AuthStatusRequest
    message etcdserverpb.AuthenticateRequest
    field name 1 string
    field password 2 string
    message etcdserverpb.AuthUserAddRequest
    field name 1 string
    field password 2 string
    field options 3 authpb.UserAddOptions
    field hashedPassword 4 string
    message etcdserverpb.AuthUserGetRequest
    field name 1 string
    message etcdserverpb.AuthUserDeleteRequest
    field name 1 string
    message etcdserverpb.AuthUserChangePasswordRequest
    field name 1 string
    field password 2 string
    field hashedPassword 3 string
    message etcdserverpb.AuthUserGrantRoleRequest
    field user 1 string
    field role 2 string
    message etcdserverpb.AuthUserRevokeRoleRequest
    field name 1 string
    field role 2 string
    message etcdserverpb.AuthRoleAddRequest
    field name 1 string
    message etcdserverpb.AuthRoleGetRequest
    field role 1 string
    message etcdserverpb.AuthUserListRequest
    message etcdserverpb.AuthRoleListRequest
    message etcdserverpb.AuthRoleDeleteRequest
    field role 1 string
    message etcdserverpb.AuthRoleGrantPermissionRequest
    field name 1 string
    field perm 2 authpb.Permission
    message etcdserverpb.AuthRoleRevokePermissionRequest
    field role 1 string
    field key 2 bytes
    field range_end 3 bytes
    message etcdserverpb.AuthEnableResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthDisableResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthStatusResponse
    field header 1 etcdserverpb.ResponseHeader
    field enabled 2 bool
    field authRevision 3 uint64
    message etcdserverpb.AuthenticateResponse
    field header 1 etcdserverpb.ResponseHeader
    field token 2 string
    message etcdserverpb.AuthUserAddResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthUserGetResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated roles 2 string
    message etcdserverpb.AuthUserDeleteResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthUserChangePasswordResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthUserGrantRoleResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthUserRevokeRoleResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthRoleAddResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthRoleGetResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated perm 2 authpb.Permission
    message etcdserverpb.AuthRoleListResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated roles 2 string
    message etcdserverpb.AuthUserListResponse
    field header 1 etcdserverpb.ResponseHeader
    repeated users 2 string
    message etcdserverpb.AuthRoleDeleteResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthRoleGrantPermissionResponse
    field header 1 etcdserverpb.ResponseHeader
    message etcdserverpb.AuthRoleRevokePermissionResponse
    field header 1 etcdserverpb.ResponseHeader
    message v3lockpb.LockRequest
    field name 1 bytes
    field lease 2 int64
    message v3lockpb.LockResponse
    field header 1 etcdserverpb.ResponseHeader
    field key 2 bytes
    message v3lockpb.UnlockRequest
    field key 1 bytes
    message v3lockpb.UnlockResponse
    field header 1 etcdserverpb.ResponseHeader
    message v3electionpb.CampaignRequest
    field name 1 bytes
    field lease 2 int64
    field value 3 bytes
    message v3electionpb.CampaignResponse
    field header 1 etcdserverpb.ResponseHeader
    field leader 2 v3electionpb.LeaderKey
    message v3electionpb.LeaderKey
    field name 1 bytes
    field key 2 bytes
    field rev 3 int64
    field lease 4 int64
    message v3electionpb.LeaderRequest
    field name 1 bytes
    message v3electionpb.LeaderResponse
    field header 1 etcdserverpb.ResponseHeader
    field kv 2 mvccpb.KeyValue
    message v3electionpb.ResignRequest
    field leader 1 v3electionpb.LeaderKey
    message v3electionpb.ResignResponse
    field header 1 etcdserverpb.ResponseHeader
    message v3electionpb.ProclaimRequest
    field leader 1 v3electionpb.LeaderKey
    field value 2 bytes
    message v3electionpb.ProclaimResponse
    field header 1 etcdserverpb.ResponseHeader
    rpc /etcdserverpb.KV/Range etcdserverpb.RangeRequest etcdserverpb.RangeResponse
    rpc /etcdserverpb.KV/RangeStream etcdserverpb.RangeRequest etcdserverpb.RangeStreamResponse
    rpc /etcdserverpb.KV/Put etcdserverpb.PutRequest etcdserverpb.PutResponse
    rpc /etcdserverpb.KV/DeleteRange etcdserverpb.DeleteRangeRequest etcdserverpb.DeleteRangeResponse
    rpc /etcdserverpb.KV/Txn etcdserverpb.TxnRequest etcdserverpb.TxnResponse
    rpc /etcdserverpb.KV/Compact etcdserverpb.CompactionRequest etcdserverpb.CompactionResponse
    rpc /etcdserverpb.Watch/Watch etcdserverpb.WatchRequest etcdserverpb.WatchResponse
    rpc /etcdserverpb.Lease/LeaseGrant etcdserverpb.LeaseGrantRequest etcdserverpb.LeaseGrantResponse
    rpc /etcdserverpb.Lease/LeaseRevoke etcdserverpb.LeaseRevokeRequest etcdserverpb.LeaseRevokeResponse
    rpc /etcdserverpb.Lease/LeaseKeepAlive etcdserverpb.LeaseKeepAliveRequest etcdserverpb.LeaseKeepAliveResponse
    rpc /etcdserverpb.Lease/LeaseTimeToLive etcdserverpb.LeaseTimeToLiveRequest etcdserverpb.LeaseTimeToLiveResponse
    rpc /etcdserverpb.Lease/LeaseLeases etcdserverpb.LeaseLeasesRequest etcdserverpb.LeaseLeasesResponse
    rpc /etcdserverpb.Cluster/MemberAdd etcdserverpb.MemberAddRequest etcdserverpb.MemberAddResponse
    rpc /etcdserverpb.Cluster/MemberRemove etcdserverpb.MemberRemoveRequest etcdserverpb.MemberRemoveResponse
    rpc /etcdserverpb.Cluster/MemberUpdate etcdserverpb.MemberUpdateRequest etcdserverpb.MemberUpdateResponse
    rpc /etcdserverpb.Cluster/MemberList etcdserverpb.MemberListRequest etcdserverpb.MemberListResponse
    rpc /etcdserverpb.Cluster/MemberPromote etcdserverpb.MemberPromoteRequest etcdserverpb.MemberPromoteResponse
    rpc /etcdserverpb.Maintenance/Alarm etcdserverpb.AlarmRequest etcdserverpb.AlarmResponse
    rpc /etcdserverpb.Maintenance/Status etcdserverpb.StatusRequest etcdserverpb.StatusResponse
    rpc /etcdserverpb.Maintenance/Defragment etcdserverpb.DefragmentRequest etcdserverpb.DefragmentResponse
    rpc /etcdserverpb.Maintenance/Hash etcdserverpb.HashRequest etcdserverpb.HashResponse
    rpc /etcdserverpb.Maintenance/HashKV etcdserverpb.HashKVRequest etcdserverpb.HashKVResponse
    rpc /etcdserverpb.Maintenance/Snapshot etcdserverpb.SnapshotRequest etcdserverpb.SnapshotResponse
    rpc /etcdserverpb.Maintenance/MoveLeader etcdserverpb.MoveLeaderRequest etcdserverpb.MoveLeaderResponse
    rpc /etcdserverpb.Maintenance/Downgrade etcdserverpb.DowngradeRequest etcdserverpb.DowngradeResponse
    rpc /etcdserverpb.Auth/AuthEnable etcdserverpb.AuthEnableRequest etcdserverpb.AuthEnableResponse
    rpc /etcdserverpb.Auth/AuthDisable etcdserverpb.AuthDisableRequest etcdserverpb.AuthDisableResponse
    rpc /etcdserverpb.Auth/AuthStatus etcdserverpb.AuthStatusRequest etcdserverpb.AuthStatusResponse
    rpc /etcdserverpb.Auth/Authenticate etcdserverpb.AuthenticateRequest etcdserverpb.AuthenticateResponse
    rpc /etcdserverpb.Auth/UserAdd etcdserverpb.AuthUserAddRequest etcdserverpb.AuthUserAddResponse
    rpc /etcdserverpb.Auth/UserGet etcdserverpb.AuthUserGetRequest etcdserverpb.AuthUserGetResponse
    rpc /etcdserverpb.Auth/UserList etcdserverpb.AuthUserListRequest etcdserverpb.AuthUserListResponse
    rpc /etcdserverpb.Auth/UserDelete etcdserverpb.AuthUserDeleteRequest etcdserverpb.AuthUserDeleteResponse
    rpc /etcdserverpb.Auth/UserChangePassword etcdserverpb.AuthUserChangePasswordRequest etcdserverpb.AuthUserChangePasswordResponse
    rpc /etcdserverpb.Auth/UserGrantRole etcdserverpb.AuthUserGrantRoleRequest etcdserverpb.AuthUserGrantRoleResponse
    rpc /etcdserverpb.Auth/UserRevokeRole etcdserverpb.AuthUserRevokeRoleRequest etcdserverpb.AuthUserRevokeRoleResponse
    rpc /etcdserverpb.Auth/RoleAdd etcdserverpb.AuthRoleAddRequest etcdserverpb.AuthRoleAddResponse
    rpc /etcdserverpb.Auth/RoleGet etcdserverpb.AuthRoleGetRequest etcdserverpb.AuthRoleGetResponse
    rpc /etcdserverpb.Auth/RoleList etcdserverpb.AuthRoleListRequest etcdserverpb.AuthRoleListResponse
    rpc /etcdserverpb.Auth/RoleDelete etcdserverpb.AuthRoleDeleteRequest etcdserverpb.AuthRoleDeleteResponse
    rpc /etcdserverpb.Auth/RoleGrantPermission etcdserverpb.AuthRoleGrantPermissionRequest etcdserverpb.AuthRoleGrantPermissionResponse
    rpc /etcdserverpb.Auth/RoleRevokePermission etcdserverpb.AuthRoleRevokePermissionRequest etcdserverpb.AuthRoleRevokePermissionResponse
    rpc /v3lockpb.Lock/Lock v3lockpb.LockRequest v3lockpb.LockResponse
    rpc /v3lockpb.Lock/Unlock v3lockpb.UnlockRequest v3lockpb.UnlockResponse
    rpc /v3electionpb.Election/Campaign v3electionpb.CampaignRequest v3electionpb.CampaignResponse
    rpc /v3electionpb.Election/Proclaim v3electionpb.ProclaimRequest v3electionpb.ProclaimResponse
    rpc /v3electionpb.Election/Leader v3electionpb.LeaderRequest v3electionpb.LeaderResponse
    rpc /v3electionpb.Election/Observe v3electionpb.LeaderRequest v3electionpb.LeaderResponse
    rpc /v3electionpb.Election/Resign v3electionpb.ResignRequest v3electionpb.ResignResponse
    """
