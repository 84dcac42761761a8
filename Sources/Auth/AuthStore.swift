import Backend
import EtcdAPI
import WireFormat

/// The users and roles of the cluster: part of the state machine, changed by log entries alone, kept in the backend's
/// buckets `auth`, `authUsers` and `authRoles` as etcd keeps them.
///
/// Synchronous and owned by the thread that applies. Each change makes a new ``AuthState`` and publishes it.
public final class AuthStore {
    private static let enabledKey = Array("authEnabled".utf8)
    private static let revisionKey = Array("authRevision".utf8)

    /// The users and roles as the applied entries say.
    public private(set) var state: AuthState
    /// Where other threads see them.
    public private(set) var publisher: AuthPublisher
    private let backend: Backend

    /// The users and roles in `backend`. They are not shown through `publisher` until ``publish()``.
    public init(backend: Backend, publisher: AuthPublisher = AuthPublisher()) throws(BackendError) {
        self.backend = backend
        self.publisher = publisher
        var users: [[UInt8]: User] = [:]
        for (name, bytes) in try backend.all(.authUsers) {
            users[name] = try Self.decode("user", backend) { () throws(WireError) in
                try bytes.span.withUnsafeBytes { (bytes) throws(WireError) in try User(decoding: bytes) }
            }
        }
        var roles: [[UInt8]: Role] = [:]
        for (name, bytes) in try backend.all(.authRoles) {
            roles[name] = try Self.decode("role", backend) { () throws(WireError) in
                try bytes.span.withUnsafeBytes { (bytes) throws(WireError) in try Role(decoding: bytes) }
            }
        }
        let revision = try backend.get(.auth, Self.revisionKey) ?? []
        guard revision.isEmpty || revision.count == 8 else {
            throw .corrupt(path: backend.path, what: "the auth revision has \(revision.count) bytes instead of 8")
        }
        // A store that was never used is at 1; 0 is for callers that have not logged in.
        state = AuthState(
            isEnabled: try backend.get(.auth, Self.enabledKey) == [1],
            revision: max(1, revision.reduce(0) { $0 << 8 | UInt64($1) }), users: users, roles: roles)
    }

    private static func decode<Record>(
        _ what: String, _ backend: Backend, _ body: () throws(WireError) -> Record
    ) throws(BackendError) -> Record {
        do throws(WireError) {
            return try body()
        } catch {
            throw .corrupt(path: backend.path, what: "a \(what) in the backend: \(error)")
        }
    }

    /// Shows the state to other threads; called once the state machine is the one that counts.
    public func publish() { publisher.publish(state) }

    /// Shows the state through `publisher` from here on. When that showed an older one, as after a leader's snapshot, all
    /// tokens are taken back: what would have taken some of them back lies among the entries that were skipped.
    public func publish(through publisher: AuthPublisher) {
        if publisher.latest.revision != state.revision { publisher.tokens?.invalidateAll() }
        self.publisher = publisher
        publish()
    }

    // MARK: On and off

    /// Has permissions checked from here on. The user root must exist and have the role root.
    public func enable() throws(EtcdError) {
        if state.isEnabled { return }
        guard let root = state.users[User.root] else { throw .rootUserNotExist }
        guard root.isRoot else { throw .rootRoleNotExist }
        backend.put(.auth, Self.enabledKey, [1])
        // etcd writes it when it first opens the file.
        storeRevision(state.revision)
        set(isEnabled: true)
    }

    /// Ends the checking of permissions, and all tokens.
    public func disable() {
        guard state.isEnabled else { return }
        backend.put(.auth, Self.enabledKey, [0])
        set(isEnabled: false, revision: nextRevision())
        publisher.tokens?.invalidateAll()
    }

    // MARK: Users

    /// Adds a user with a hashed password, or one that has none.
    public func addUser(_ name: [UInt8], passwordHash: [UInt8], hasNoPassword: Bool) throws(EtcdError) {
        if name.isEmpty { throw .userEmpty }
        guard state.users[name] == nil else { throw .userAlreadyExists }
        put(User(name: name, passwordHash: hasNoPassword ? [] : passwordHash, hasNoPassword: hasNoPassword))
    }

    /// Removes a user and its tokens; not root while auth is enabled.
    public func deleteUser(_ name: [UInt8]) throws(EtcdError) {
        if state.isEnabled && name == User.root { throw .invalidAuthManagement }
        guard state.users[name] != nil else { throw .userNotFound }
        backend.delete(.authUsers, name)
        var users = state.users
        users[name] = nil
        set(revision: nextRevision(), users: users)
        invalidateTokens(of: name)
    }

    /// Gives a user another password and ends its tokens. A user without password keeps having none.
    public func changePassword(_ name: [UInt8], passwordHash: [UInt8]) throws(EtcdError) {
        guard var user = state.users[name] else { throw .userNotFound }
        user.passwordHash = user.hasNoPassword ? [] : passwordHash
        put(user)
        invalidateTokens(of: name)
    }

    /// Gives a user a role; the role root need not exist. One that the user has already changes nothing.
    public func grantRole(_ role: [UInt8], to name: [UInt8]) throws(EtcdError) {
        guard var user = state.users[name] else { throw .userNotFound }
        guard role == Role.root || state.roles[role] != nil else { throw .roleNotFound }
        if user.roles.contains(role) { return }
        user.roles.append(role)
        user.roles.sort { $0.lexicographicallyPrecedes($1) }
        put(user)
    }

    /// Takes a role from a user; not root's from root while auth is enabled.
    public func revokeRole(_ role: [UInt8], from name: [UInt8]) throws(EtcdError) {
        if state.isEnabled && name == User.root && role == Role.root { throw .invalidAuthManagement }
        guard var user = state.users[name] else { throw .userNotFound }
        guard user.roles.contains(role) else { throw .roleNotGranted }
        user.roles.removeAll { $0 == role }
        put(user)
    }

    // MARK: Roles

    /// Adds a role without permissions.
    public func addRole(_ name: [UInt8]) throws(EtcdError) {
        if name.isEmpty { throw .roleEmpty }
        guard state.roles[name] == nil else { throw .roleAlreadyExists }
        put(Role(name: name))
    }

    /// Removes a role, from its users too; not root while auth is enabled.
    public func deleteRole(_ name: [UInt8]) throws(EtcdError) {
        if state.isEnabled && name == Role.root { throw .invalidAuthManagement }
        guard state.roles[name] != nil else { throw .roleNotFound }
        backend.delete(.authRoles, name)
        var roles = state.roles
        roles[name] = nil
        var users = state.users
        for (userName, user) in state.users where user.roles.contains(name) {
            var user = user
            user.roles.removeAll { $0 == name }
            users[userName] = user
            backend.put(.authUsers, userName, user.encoded)
        }
        set(revision: nextRevision(), users: users, roles: roles)
    }

    /// Gives a role a permission, in the place of one that it has for the same range.
    public func grantPermission(_ permission: Permission, to name: [UInt8]) throws(EtcdError) {
        guard var role = state.roles[name] else { throw .roleNotFound }
        // etcd looks at the first permission for the key alone, so that a second range from it is added each time.
        let first = role.permissions.firstIndex { !$0.key.lexicographicallyPrecedes(permission.key) }
        if let first, role.permissions[first].key == permission.key,
            role.permissions[first].rangeEnd == permission.rangeEnd
        {
            role.permissions[first].kind = permission.kind
        } else {
            role.permissions.append(permission)
            role.permissions.sort { $0.key.lexicographicallyPrecedes($1.key) }
        }
        put(role)
    }

    /// Takes a range from a role.
    public func revokePermission(
        key: [UInt8], rangeEnd: [UInt8], from name: [UInt8]
    ) throws(EtcdError) {
        guard var role = state.roles[name] else { throw .roleNotFound }
        let before = role.permissions.count
        role.permissions.removeAll { $0.key == key && $0.rangeEnd == rangeEnd }
        if role.permissions.count == before { throw .permissionNotGranted }
        put(role)
    }

    // MARK: Logins

    /// Notes that `name` has logged in under `token`. The password was checked before it was proposed.
    public func authenticate(_ name: String, token: String, now: Int64) throws(EtcdError) {
        guard state.isEnabled else { throw .authNotEnabled }
        guard let user = state.user(name), !user.hasNoPassword else { throw .authFailed }
        publisher.tokens?.assign(token, user: name, now: now)
    }

    // MARK: Changes

    private func put(_ user: User) {
        backend.put(.authUsers, user.name, user.encoded)
        var users = state.users
        users[user.name] = user
        set(revision: nextRevision(), users: users)
    }

    private func put(_ role: Role) {
        backend.put(.authRoles, role.name, role.encoded)
        var roles = state.roles
        roles[role.name] = role
        set(revision: nextRevision(), roles: roles)
    }

    private func nextRevision() -> UInt64 {
        storeRevision(state.revision + 1)
        return state.revision + 1
    }

    private func storeRevision(_ revision: UInt64) {
        backend.put(.auth, Self.revisionKey, (0..<8).map { UInt8(truncatingIfNeeded: revision >> (56 - 8 * $0)) })
    }

    private func set(
        isEnabled: Bool? = nil, revision: UInt64? = nil, users: [[UInt8]: User]? = nil, roles: [[UInt8]: Role]? = nil
    ) {
        state = AuthState(
            isEnabled: isEnabled ?? state.isEnabled, revision: revision ?? state.revision,
            users: users ?? state.users, roles: roles ?? state.roles)
        publish()
    }

    private func invalidateTokens(of name: [UInt8]) {
        publisher.tokens?.invalidate(user: String(decoding: name, as: UTF8.self))
    }
}
