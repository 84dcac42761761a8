import Auth
import EtcdAPI
import FoundationEssentials
import Membership
import Password
import SwiftProtobuf
import WireFormat

/// Users, roles and logins, and whether a request may be applied at all.
extension Applier {
    /// From here on no member of the cluster skips checks as etcd 3.4.23 does.
    private static let completeChecks = ClusterVersion(3, 5)
    /// From here on every member refuses permissions for ranges that hold no key.
    private static let validRanges = ClusterVersion(3, 6)

    /// Which checks all members of the cluster make alike.
    public var authorisationRules: Authorisation.Rules {
        cluster.version.map { $0 < Self.completeChecks } ?? false ? .version3_4 : .complete
    }

    /// The walk over a request of `caller` as it is applied.
    public func authorisation(of caller: Caller, rules: Authorisation.Rules) -> Authorisation {
        Authorisation(auth.state, caller: caller, rules: rules) { [lessor] id in
            (try? lessor.timeToLive(id: id, now: 0, keys: true))?.keys ?? []
        }
    }

    /// Refuses a request that its caller may not make. Every member comes to the same answer.
    func authorise(_ kind: RaftRequestView.Kind, _ request: RaftRequestView) throws(EtcdError) {
        let caller = Caller(user: request.header.username, revision: request.header.authRevision)
        switch kind {
        case .put:
            // What has no space is refused for that first, as in etcd.
            if alarms.isOutOfSpace { throw .noSpace }
            try authorisation(of: caller, rules: authorisationRules).check(
                try decode { () throws(WireError) in try PutRequest(decoding: request.request) })
        case .deleteRange:
            try authorisation(of: caller, rules: authorisationRules).check(
                try decode { () throws(WireError) in try DeleteRangeRequest(decoding: request.request) })
        case .range:
            try authorisation(of: caller, rules: authorisationRules).check(
                try decode { () throws(WireError) in try RangeRequest(decoding: request.request) })
        case .txn:
            let txn = try decode { () throws(WireError) in try TxnRequest(decoding: request.request) }
            if alarms.isOutOfSpace && RequestCost.appliedTxn(txn) > 0 { throw .noSpace }
            try authorisation(of: caller, rules: authorisationRules).check(txn)
        case .leaseRevoke:
            let revoke: Etcdserverpb_LeaseRevokeRequest = try message(request.request)
            try authorisation(of: caller, rules: authorisationRules).checkLease(revoke.id)
        case .authEnable, .authDisable, .authStatus, .authUserAdd, .authUserDelete, .authUserChangePassword,
            .authUserGrantRole, .authUserRevokeRole, .authUserList, .authRoleList, .authRoleAdd, .authRoleDelete,
            .authRoleGrantPermission, .authRoleRevokePermission:
            try auth.state.requireRoot(caller)
        case .authUserGet:
            let get: Etcdserverpb_AuthUserGetRequest = try message(request.request)
            if Array(get.name.utf8) != Array(caller.user.utf8) { try auth.state.requireRoot(caller) }
        case .authRoleGet:
            let get: Etcdserverpb_AuthRoleGetRequest = try message(request.request)
            if !auth.state.hasRole(caller, get.role) { try auth.state.requireRoot(caller) }
        default: break
        }
    }

    /// Applies a request about users, roles or logins.
    func applyAuth(
        _ kind: RaftRequestView.Kind, _ request: UnsafeRawBufferPointer, place: (index: UInt64, term: UInt64),
        now: Int64
    ) throws(EtcdError) -> [UInt8] {
        switch kind {
        case .authEnable: try auth.enable()
        case .authDisable: auth.disable()
        case .authStatus: return try AuthAnswers.status(auth.state, header())
        case .authenticate: return try authenticate(request, index: place.index, now: now)
        case .authUserAdd: try addUser(request, place: place)
        case .authUserDelete:
            let request: Etcdserverpb_AuthUserDeleteRequest = try message(request)
            try auth.deleteUser(Array(request.name.utf8))
        case .authUserChangePassword: try changePassword(request, place: place)
        case .authUserGrantRole:
            let request: Etcdserverpb_AuthUserGrantRoleRequest = try message(request)
            try auth.grantRole(Array(request.role.utf8), to: Array(request.user.utf8))
        case .authUserRevokeRole:
            let request: Etcdserverpb_AuthUserRevokeRoleRequest = try message(request)
            try auth.revokeRole(Array(request.role.utf8), from: Array(request.name.utf8))
        case .authRoleAdd:
            let request: Etcdserverpb_AuthRoleAddRequest = try message(request)
            try auth.addRole(Array(request.name.utf8))
        case .authRoleDelete:
            let request: Etcdserverpb_AuthRoleDeleteRequest = try message(request)
            try auth.deleteRole(Array(request.role.utf8))
        case .authRoleGrantPermission: try grantPermission(request)
        case .authRoleRevokePermission:
            let request: Etcdserverpb_AuthRoleRevokePermissionRequest = try message(request)
            try auth.revokePermission(
                key: [UInt8](request.key), rangeEnd: [UInt8](request.rangeEnd), from: Array(request.role.utf8))
        case .authUserGet:
            let request: Etcdserverpb_AuthUserGetRequest = try message(request)
            return try AuthAnswers.user(request.name, auth.state, header())
        case .authUserList: return try AuthAnswers.users(auth.state, header())
        case .authRoleGet:
            let request: Etcdserverpb_AuthRoleGetRequest = try message(request)
            return try AuthAnswers.role(request.role, auth.state, header())
        case .authRoleList: return try AuthAnswers.roles(auth.state, header())
        default: throw EtcdError(.unimplemented, "etcdserver: request \(kind) is not supported")
        }
        // The answers to all changes have a header and nothing else.
        return try AuthAnswers.done(header())
    }

    private func authenticate(
        _ bytes: UnsafeRawBufferPointer, index: UInt64, now: Int64
    ) throws(EtcdError) -> [UInt8] {
        let request: Etcdserverpb_InternalAuthenticateRequest = try message(bytes)
        let token = "\(request.simpleToken).\(index)"
        try auth.authenticate(request.name, token: token, now: now)
        return try AuthAnswers.token(token, header())
    }

    private func addUser(
        _ bytes: UnsafeRawBufferPointer, place: (index: UInt64, term: UInt64)
    ) throws(EtcdError) {
        let request: Etcdserverpb_AuthUserAddRequest = try message(bytes)
        let name = Array(request.name.utf8)
        // What is refused anyway need not be hashed.
        guard !name.isEmpty, auth.state.user(request.name) == nil, !request.options.noPassword else {
            try auth.addUser(name, passwordHash: [], hasNoPassword: request.options.noPassword)
            return
        }
        let hash = try passwordHash(request.password, hashed: request.hashedPassword, place: place)
        try auth.addUser(name, passwordHash: hash, hasNoPassword: false)
    }

    private func changePassword(
        _ bytes: UnsafeRawBufferPointer, place: (index: UInt64, term: UInt64)
    ) throws(EtcdError) {
        let request: Etcdserverpb_AuthUserChangePasswordRequest = try message(bytes)
        let name = Array(request.name.utf8)
        guard let user = auth.state.user(request.name), !user.hasNoPassword else {
            try auth.changePassword(name, passwordHash: [])
            return
        }
        let hash = try passwordHash(request.password, hashed: request.hashedPassword, place: place)
        try auth.changePassword(name, passwordHash: hash)
    }

    /// The hash that an entry brings, or that of the password in an entry of etcd 3.4, which brings none.
    ///
    /// Hashing takes its time here, in the way of other entries; only a member of 3.4 asks for it. The salt follows from
    /// the entry's place, which is unique, so that members of this kind come to the same bytes.
    private func passwordHash(
        _ password: String, hashed: String, place: (index: UInt64, term: UInt64)
    ) throws(EtcdError) -> [UInt8] {
        if password.isEmpty && hashed.isEmpty && authorisationRules == .complete { return [] }
        guard hashed.isEmpty else {
            guard let hash = Data(base64Encoded: hashed) else { throw .passwordForPasswordlessUser }
            return [UInt8](hash)
        }
        var salt: [UInt8] = []
        for word in [place.index &* 0x9e37_79b9_7f4a_7c15, place.term &* 0xbf58_476d_1ce4_e5b9 ^ cluster.id] {
            salt += (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
        }
        do throws(Bcrypt.Failure) {
            return try Bcrypt.hashCut(password.utf8, cost: Bcrypt.defaultCost, salt: salt)
        } catch {
            throw EtcdError(.unknown, "\(error)")
        }
    }

    private func grantPermission(_ bytes: UnsafeRawBufferPointer) throws(EtcdError) {
        let request: Etcdserverpb_AuthRoleGrantPermissionRequest = try message(bytes)
        guard request.hasPerm else { throw .permissionNotGiven }
        let permission = try Permission(request.perm)
        // Members that accept such a range and members that refuse it would not agree on the auth revision.
        if let version = cluster.version, version >= Self.validRanges, !permission.isValid {
            throw .invalidAuthManagement
        }
        try auth.grantPermission(permission, to: Array(request.name.utf8))
    }
}

extension Permission {
    /// The permission that a request brings.
    public init(_ message: Authpb_Permission) throws(EtcdError) {
        guard let number = UInt64(exactly: message.permType.rawValue), let kind = Kind(rawValue: number) else {
            throw .permissionNotGiven
        }
        self.init(kind, key: [UInt8](message.key), rangeEnd: [UInt8](message.rangeEnd))
    }
}
