import Applier
import Auth
import AuthToken
import EtcdAPI
import FoundationEssentials
import GRPC
import MVCC
import Member
import SwiftProtobuf

/// `etcdserverpb.Auth`.
///
/// Changes go through the log. Questions are answered here once this member has all that was committed, which says the
/// same as an entry of their own and costs none; members of 3.4 do not know some of those entries.
final class AuthService: Sendable {
    /// Logins are checked anew when users or roles change meanwhile, but not for ever.
    private static let attempts = 10

    private let gateways: Gateways
    private let status: MemberStatus
    private let passwords: PasswordPool
    private let requestLimit: Int
    private var authority: Authority { gateways.authority }

    init(
        gateways: Gateways, status: MemberStatus, passwords: PasswordPool, requestLimit: Int
    ) {
        self.gateways = gateways
        self.status = status
        self.passwords = passwords
        self.requestLimit = requestLimit
    }

    var methods: [String: Method] {
        [
            EtcdMethod.authEnable.path: change(.authEnable, Etcdserverpb_AuthEnableRequest.self),
            EtcdMethod.authDisable.path: change(.authDisable, Etcdserverpb_AuthDisableRequest.self),
            EtcdMethod.userAdd.path: .unary { [self] call, message in addUser(call, message) },
            EtcdMethod.userDelete.path: change(.authUserDelete, Etcdserverpb_AuthUserDeleteRequest.self),
            EtcdMethod.userChangePassword.path: .unary { [self] call, message in changePassword(call, message) },
            EtcdMethod.userGrantRole.path: change(.authUserGrantRole, Etcdserverpb_AuthUserGrantRoleRequest.self),
            EtcdMethod.userRevokeRole.path: change(.authUserRevokeRole, Etcdserverpb_AuthUserRevokeRoleRequest.self),
            EtcdMethod.roleAdd.path: change(.authRoleAdd, Etcdserverpb_AuthRoleAddRequest.self),
            EtcdMethod.roleDelete.path: change(.authRoleDelete, Etcdserverpb_AuthRoleDeleteRequest.self),
            EtcdMethod.roleGrantPermission.path: .unary { [self] call, message in grantPermission(call, message) },
            EtcdMethod.roleRevokePermission.path: change(
                .authRoleRevokePermission, Etcdserverpb_AuthRoleRevokePermissionRequest.self),
            EtcdMethod.authStatus.path: question(Etcdserverpb_AuthStatusRequest.self) { _, _, state, header in
                try AuthAnswers.status(state, header)
            },
            EtcdMethod.userGet.path: question(Etcdserverpb_AuthUserGetRequest.self) { request, caller, state, header in
                if !request.name.utf8.elementsEqual(caller.user.utf8) { try state.requireRoot(caller) }
                return try AuthAnswers.user(request.name, state, header)
            },
            EtcdMethod.userList.path: question(Etcdserverpb_AuthUserListRequest.self) { _, caller, state, header in
                try state.requireRoot(caller)
                return try AuthAnswers.users(state, header)
            },
            EtcdMethod.roleGet.path: question(Etcdserverpb_AuthRoleGetRequest.self) { request, caller, state, header in
                if !state.hasRole(caller, request.role) { try state.requireRoot(caller) }
                return try AuthAnswers.role(request.role, state, header)
            },
            EtcdMethod.roleList.path: question(Etcdserverpb_AuthRoleListRequest.self) { _, caller, state, header in
                try state.requireRoot(caller)
                return try AuthAnswers.roles(state, header)
            },
            EtcdMethod.authenticate.path: .unary { [self] call, message in authenticate(call, message) },
        ]
    }

    // MARK: Changes

    private func change<Request: SwiftProtobuf.Message>(
        _ kind: RaftRequestView.Kind, _ type: Request.Type
    ) -> Method {
        .unary { [self] call, message in
            call.answering {
                _ = try Request(serializedBytes: message)
                try propose(kind, message, call)
            }
        }
    }

    private func propose(_ kind: RaftRequestView.Kind, _ message: [UInt8], _ call: UnaryCall) throws(EtcdError) {
        try gateways.propose(kind, message, cost: 0, call, limit: requestLimit, status: status)
    }

    /// What is proposed after the turn in which the call came is sent on at once.
    private func proposeLater(
        _ kind: RaftRequestView.Kind, _ request: some SwiftProtobuf.Message, _ call: UnaryCall
    ) {
        call.answering {
            try propose(kind, try request.serializedBytes(), call)
            gateways[call.eventLoop].flush()
        }
    }

    private func grantPermission(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_AuthRoleGrantPermissionRequest(serializedBytes: message)
            // Neither gets into the log: a member of 3.4 stops at the one, and members do not agree on the other.
            guard request.hasPerm else { throw EtcdError.permissionNotGiven }
            guard try Permission(request.perm).isValid else { throw EtcdError.invalidAuthManagement }
            try propose(.authRoleGrantPermission, message, call)
        }
    }

    private func addUser(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            var request = try Etcdserverpb_AuthUserAddRequest(serializedBytes: message)
            // A hash from outside could be one that costs nothing to check.
            request.hashedPassword = ""
            if request.options.noPassword {
                request.password = ""
                try propose(.authUserAdd, try request.serializedBytes(), call)
                return
            }
            let asked = request
            passwords.hash(request.password, on: call.eventLoop) { [self] hash in
                withHash(hash, call) { hash in
                    var request = asked
                    request.hashedPassword = hash
                    if !isPasswordNeeded { request.password = "" }
                    proposeLater(.authUserAdd, request, call)
                }
            }
        }
    }

    private func changePassword(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            var request = try Etcdserverpb_AuthUserChangePasswordRequest(serializedBytes: message)
            request.hashedPassword = ""
            if request.password.isEmpty && !isPasswordNeeded {
                try propose(.authUserChangePassword, try request.serializedBytes(), call)
                return
            }
            let asked = request
            passwords.hash(request.password, on: call.eventLoop) { [self] hash in
                withHash(hash, call) { hash in
                    var request = asked
                    request.hashedPassword = hash
                    if !isPasswordNeeded { request.password = "" }
                    proposeLater(.authUserChangePassword, request, call)
                }
            }
        }
    }

    /// Members of etcd 3.4 do not know hashes in entries: they hash the password that is there, or the empty one. So in a
    /// cluster with one of them passwords go into the log as they do there.
    private var isPasswordNeeded: Bool { authority.hasLenientMembers }

    private func withHash(_ hash: Result<[UInt8], EtcdError>, _ call: UnaryCall, _ body: (String) -> Void) {
        switch hash {
        case .success(let bytes): body(Data(bytes).base64EncodedString())
        case .failure(let error): call.fail(Status(error))
        }
    }

    // MARK: Questions

    private func question<Request: SwiftProtobuf.Message & Sendable>(
        _ type: Request.Type,
        _ answer: @escaping @Sendable (Request, Caller, AuthState, ResponseHeader) throws -> [UInt8]
    ) -> Method {
        .unary { [self] call, message in
            call.answering {
                let request = try Request(serializedBytes: message)
                gateways[call.eventLoop].readLinearizably { [self] view in
                    call.answering {
                        let caller = try authority.caller(of: call) ?? .nobody
                        call.respond(try answer(request, caller, authority.publisher.latest, header(try view.get())))
                    }
                }
            }
        }
    }

    private func header(_ view: StoreView) -> ResponseHeader {
        ResponseHeader(
            clusterID: status.clusterID, memberID: status.memberID, revision: view.currentRevision,
            raftTerm: status.term.load(ordering: .relaxed))
    }

    // MARK: Logins

    private func authenticate(_ call: UnaryCall, _ message: [UInt8]) {
        call.answering {
            let request = try Etcdserverpb_AuthenticateRequest(serializedBytes: message)
            gateways[call.eventLoop].readLinearizably { [self] view in
                switch view {
                case .success(let view): logIn(call, request, header(view), attempts: Self.attempts)
                case .failure(let error): call.fail(Status(error))
                }
            }
        }
    }

    /// Checks the password and gives out a token for the revision at which it was right. When users or roles have changed
    /// meanwhile, it begins anew.
    private func logIn(
        _ call: UnaryCall, _ request: Etcdserverpb_AuthenticateRequest, _ header: ResponseHeader, attempts: Int
    ) {
        let state = authority.publisher.latest
        guard attempts > 0 else { return call.fail(Status(.authOldRevision)) }
        guard state.isEnabled else { return call.fail(Status(.authNotEnabled)) }
        guard let user = state.user(request.name) else { return call.fail(Status(.authFailed)) }
        if user.hasNoPassword { return call.fail(Status(.passwordForPasswordlessUser)) }
        passwords.verify(request.password, of: user, on: call.eventLoop) { [self] result in
            switch result {
            case .failure(let error): call.fail(Status(error))
            case .success(false): call.fail(Status(.authFailed))
            case .success(true):
                issueToken(call, Caller(user: request.name, revision: state.revision), header) { [self] in
                    logIn(call, request, header, attempts: attempts - 1)
                }
            }
        }
    }

    private func issueToken(
        _ call: UnaryCall, _ caller: Caller, _ header: ResponseHeader, again: @escaping @Sendable () -> Void
    ) {
        switch authority.provider {
        case .none: call.fail(Status(.authFailed))
        case .simple: proposeToken(call, caller, again: again)
        case .web(let tokens):
            passwords.submit(on: call.eventLoop) { [self] (result: Result<String, EtcdError>) in
                call.answering {
                    let token = try result.get()
                    if authority.revision != caller.revision { return again() }
                    call.respond(try AuthAnswers.token(token, header))
                }
            } _: {
                do {
                    return .success(try tokens.token(for: caller, now: Int64(Clock.unixMilliseconds / 1_000)))
                } catch {
                    return .failure(EtcdError(.unknown, "\(error)"))
                }
            }
        }
    }

    /// Makes a token known to all members. The entry names the user and the token's random part, and no password.
    private func proposeToken(_ call: UnaryCall, _ caller: Caller, again: @escaping @Sendable () -> Void) {
        var generator = SystemRandomNumberGenerator()
        var request = Etcdserverpb_InternalAuthenticateRequest()
        request.name = caller.user
        request.simpleToken = SimpleTokens.prefix(using: &generator)
        call.answering {
            let message: [UInt8] = try request.serializedBytes()
            try gateways.propose(
                .authenticate, message, cost: 0, call, limit: requestLimit, status: status
            ) { [self] reply in
                switch reply {
                case .success where authority.revision != caller.revision: again()
                case .success(let message): call.respond(message)
                case .failure(let error): call.fail(Status(error))
                }
            }
            gateways[call.eventLoop].flush()
        }
    }
}
