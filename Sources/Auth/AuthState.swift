import EtcdAPI
import Synchronization

/// Users, roles and whether they count, at one auth revision. It never changes, so any thread may ask it.
public final class AuthState: Sendable {
    /// Whether permissions are checked.
    public let isEnabled: Bool
    /// Counts every change of users and roles.
    public let revision: UInt64
    let users: [[UInt8]: User]
    let roles: [[UInt8]: Role]
    /// What each user may do, once it was asked.
    private let permissions = Mutex<[[UInt8]: UserPermissions]>([:])

    struct UserPermissions: Sendable {
        var reads: KeyIntervals
        var writes: KeyIntervals
    }

    /// What is asked for keys.
    public enum Access: Sendable {
        case read
        case write
    }

    init(isEnabled: Bool, revision: UInt64, users: [[UInt8]: User], roles: [[UInt8]: Role]) {
        self.isEnabled = isEnabled
        self.revision = revision
        self.users = users
        self.roles = roles
    }

    /// Nobody and nothing, and nothing checked.
    public static let empty = AuthState(isEnabled: false, revision: 0, users: [:], roles: [:])

    /// The user `name`.
    public func user(_ name: String) -> User? { users[Array(name.utf8)] }

    /// The role `name`.
    public func role(_ name: String) -> Role? { roles[Array(name.utf8)] }

    /// The names of all users in the order of their bytes.
    public var userNames: [[UInt8]] { users.keys.sorted { $0.lexicographicallyPrecedes($1) } }

    /// The names of all roles in the order of their bytes.
    public var roleNames: [[UInt8]] { roles.keys.sorted { $0.lexicographicallyPrecedes($1) } }

    // MARK: Checks

    /// Refuses `caller` when it may not read or write `key`, or the range up to `rangeEnd`, which is empty for the key
    /// alone and a zero byte for all keys from it on.
    public func check(
        _ caller: Caller, _ access: Access, _ key: [UInt8], _ rangeEnd: [UInt8] = []
    ) throws(EtcdError) {
        guard isEnabled else { return }
        if caller.revision == 0 { throw .userEmpty }
        if caller.revision < revision { throw .authOldRevision }
        guard let user = user(caller.user) else { throw .permissionDenied }
        if user.isRoot { return }
        let allowed = permissions(of: user)
        let keys = access == .read ? allowed.reads : allowed.writes
        let isAllowed =
            rangeEnd.isEmpty
            ? keys.contains(key) : keys.covers(key, rangeEnd == Permission.openEnd ? nil : rangeEnd)
        if !isAllowed { throw .permissionDenied }
    }

    /// Refuses whoever is no user: one who has shown nothing, and one whose name, as a certificate or an old token has it, no
    /// user has.
    public func requireUser(_ caller: Caller) throws(EtcdError) {
        guard isEnabled else { return }
        if caller.user.isEmpty { throw .userEmpty }
        if user(caller.user) == nil { throw .permissionDenied }
    }

    /// Refuses whoever has not the root role.
    public func requireRoot(_ caller: Caller) throws(EtcdError) {
        guard isEnabled else { return }
        if caller.user.isEmpty { throw .userEmpty }
        guard let user = user(caller.user) else { throw .userNotFound }
        if !user.isRoot { throw .permissionDenied }
    }

    /// Whether `caller` has the root role, or need not.
    public func isRoot(_ caller: Caller) -> Bool {
        guard isEnabled else { return true }
        return user(caller.user)?.isRoot ?? false
    }

    /// Whether `caller` was granted `role`.
    public func hasRole(_ caller: Caller, _ role: String) -> Bool {
        user(caller.user)?.roles.contains(Array(role.utf8)) ?? false
    }

    private func permissions(of user: User) -> UserPermissions {
        permissions.withLock { cache in
            if let known = cache[user.name] { return known }
            let all = user.roles.flatMap { roles[$0]?.permissions ?? [] }
            let found = UserPermissions(
                reads: KeyIntervals(all.filter(\.kind.reads)), writes: KeyIntervals(all.filter(\.kind.writes)))
            cache[user.name] = found
            return found
        }
    }
}
