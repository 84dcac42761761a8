import Backend
import Disk
import EtcdAPI
import Synchronization
import Testing

@testable import Auth

/// Users and roles over a backend in memory: what each change does, what it refuses, and what is found again.
@Suite struct AuthStoreTests {
    private let disk = MemoryDisk()

    private func name(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func open(publisher: AuthPublisher = AuthPublisher()) throws -> (AuthStore, Backend) {
        if !disk.exists("d") { try disk.createDirectory("d") }
        let backend = try Backend(disk: disk, path: "d/db")
        return (try AuthStore(backend: backend, publisher: publisher), backend)
    }

    /// Root with its role, and bob with the role r1, which reads from b to d.
    private func furnish(_ store: AuthStore) throws {
        try store.addUser(name("root"), passwordHash: name("h"), hasNoPassword: false)
        try store.grantRole(name("root"), to: name("root"))
        try store.addUser(name("bob"), passwordHash: name("h"), hasNoPassword: false)
        try store.addRole(name("r1"))
        try store.grantPermission(Permission(.read, key: name("b"), rangeEnd: name("d")), to: name("r1"))
        try store.grantRole(name("r1"), to: name("bob"))
    }

    @Test func everyChangeCountsARevision() throws {
        let (store, _) = try open()
        #expect(store.state.revision == 1)
        try furnish(store)
        #expect(store.state.revision == 7)
        // What changes nothing counts none.
        try store.grantRole(name("r1"), to: name("bob"))
        try store.enable()
        try store.enable()
        #expect(store.state.revision == 7)
        store.disable()
        store.disable()
        #expect(store.state.revision == 8)
    }

    @Test func allIsFoundAgain() throws {
        let (store, backend) = try open()
        try furnish(store)
        try store.addUser(name("cert"), passwordHash: [], hasNoPassword: true)
        try store.enable()
        try backend.commitNow()
        backend.close()
        let (again, _) = try open()
        #expect(again.state.isEnabled)
        #expect(again.state.revision == store.state.revision)
        #expect(again.state.users == store.state.users)
        #expect(again.state.roles == store.state.roles)
        #expect(again.state.user("cert")?.hasNoPassword == true)
    }

    @Test func recordsAreThoseOfEtcd() throws {
        // authpb.User{name: "bob", password: "h", roles: ["r1"], options: {}} as Go writes it: the options are there.
        var user = User(name: name("bob"), passwordHash: name("h"), hasNoPassword: false)
        user.roles = [name("r1")]
        #expect(
            user.encoded == [0x0a, 3] + name("bob") + [0x12, 1] + name("h") + [0x1a, 2] + name("r1") + [0x22, 0])
        user.hasNoPassword = true
        #expect(user.encoded.suffix(4) == [0x22, 2, 0x08, 1])
        var role = Role(name: name("r1"))
        role.permissions = [
            Permission(.readWrite, key: name("b"), rangeEnd: name("d")), Permission(.read, key: name("x")),
        ]
        let first: [UInt8] = [0x08, 2, 0x12, 1, 0x62, 0x1a, 1, 0x64]
        #expect(role.encoded == [0x0a, 2] + name("r1") + [0x12, 8] + first + [0x12, 3, 0x12, 1, 0x78])
        let decoded = try role.encoded.withUnsafeBytes { try Role(decoding: $0) }
        #expect(decoded == role)
    }

    @Test func enablingTakesRootAndItsRole() throws {
        let (store, _) = try open()
        #expect(throws: EtcdError.rootUserNotExist) { try store.enable() }
        try store.addUser(name("root"), passwordHash: name("h"), hasNoPassword: false)
        #expect(throws: EtcdError.rootRoleNotExist) { try store.enable() }
        try store.grantRole(name("root"), to: name("root"))
        try store.enable()
        for change in [
            { try store.deleteUser(self.name("root")) }, { try store.deleteRole(self.name("root")) },
            { try store.revokeRole(self.name("root"), from: self.name("root")) },
        ] as [() throws -> Void] {
            #expect(throws: EtcdError.invalidAuthManagement, performing: change)
        }
        store.disable()
        try store.revokeRole(name("root"), from: name("root"))
    }

    @Test func refusals() throws {
        let (store, _) = try open()
        try furnish(store)
        let revision = store.state.revision
        let none = name("none")
        let permission = Permission(.read, key: name("a"))
        let cases: [(EtcdError, () throws -> Void)] = [
            (.userEmpty, { try store.addUser([], passwordHash: [], hasNoPassword: false) }),
            (.userAlreadyExists, { try store.addUser(name("bob"), passwordHash: [], hasNoPassword: false) }),
            (.userNotFound, { try store.deleteUser(none) }),
            (.userNotFound, { try store.changePassword(none, passwordHash: []) }),
            (.userNotFound, { try store.grantRole(name("r1"), to: none) }),
            (.roleNotFound, { try store.grantRole(none, to: name("bob")) }),
            (.userNotFound, { try store.revokeRole(name("r1"), from: none) }),
            (.roleNotGranted, { try store.revokeRole(none, from: name("bob")) }),
            (.roleEmpty, { try store.addRole([]) }),
            (.roleAlreadyExists, { try store.addRole(name("r1")) }),
            (.roleNotFound, { try store.deleteRole(none) }),
            (.roleNotFound, { try store.grantPermission(permission, to: none) }),
            (.roleNotFound, { try store.revokePermission(key: name("b"), rangeEnd: [], from: none) }),
            (.permissionNotGranted, { try store.revokePermission(key: name("b"), rangeEnd: [], from: name("r1")) }),
        ]
        for (error, change) in cases { #expect(throws: error, performing: change) }
        #expect(store.state.revision == revision)
    }

    @Test func spellingsOfOneLetterAreTwoNames() throws {
        let (store, _) = try open()
        try store.addUser(Array("\u{e9}".utf8), passwordHash: [], hasNoPassword: true)
        try store.addUser(Array("e\u{301}".utf8), passwordHash: [], hasNoPassword: true)
        #expect(store.state.userNames.count == 2)
        #expect(store.state.user("\u{e9}")?.name == Array("\u{e9}".utf8))
    }

    @Test func aRoleThatGoesLeavesItsUsers() throws {
        let (store, backend) = try open()
        try furnish(store)
        try store.deleteRole(name("r1"))
        #expect(store.state.user("bob")?.roles == [])
        let stored = try #require(try backend.get(.authUsers, name("bob")))
        #expect(try stored.withUnsafeBytes { try User(decoding: $0) }.roles == [])
    }

    /// What the keeper of tokens was told.
    private final class Told: TokenKeeper {
        let lines = Mutex<[String]>([])

        func assign(_ token: String, user: String, now: Int64) {
            lines.withLock { $0.append("assign \(token) \(user)") }
        }
        func invalidate(user: String) { lines.withLock { $0.append("invalidate \(user)") } }
        func invalidateAll() { lines.withLock { $0.append("all") } }
    }

    @Test func tokensFollowTheirUsers() throws {
        let told = Told()
        let (store, _) = try open(publisher: AuthPublisher(tokens: told))
        try furnish(store)
        try store.addUser(name("cert"), passwordHash: [], hasNoPassword: true)
        #expect(throws: EtcdError.authNotEnabled) { try store.authenticate("bob", token: "t", now: 0) }
        try store.enable()
        try store.authenticate("bob", token: "t.1", now: 0)
        #expect(throws: EtcdError.authFailed) { try store.authenticate("cert", token: "t", now: 0) }
        #expect(throws: EtcdError.authFailed) { try store.authenticate("none", token: "t", now: 0) }
        try store.changePassword(name("bob"), passwordHash: name("i"))
        // Permissions do not end a login.
        try store.revokeRole(name("r1"), from: name("bob"))
        try store.deleteUser(name("bob"))
        store.disable()
        #expect(told.lines.withLock { $0 } == ["assign t.1 bob", "invalidate bob", "invalidate bob", "all"])
    }

    /// A leader's snapshot brings what this member was not told of, a changed password among it.
    @Test func aNewerStateTakesTheTokensBack() throws {
        let told = Told()
        let publisher = AuthPublisher(tokens: told)
        let (older, _) = try open(publisher: publisher)
        try furnish(older)
        let (newer, _) = try AuthStoreTests().open()
        try furnish(newer)
        newer.publish(through: publisher)
        #expect(told.lines.withLock { $0 } == [])
        let (newest, _) = try AuthStoreTests().open()
        try furnish(newest)
        try newest.changePassword(name("bob"), passwordHash: name("i"))
        newest.publish(through: publisher)
        #expect(told.lines.withLock { $0 } == ["all"])
    }

    @Test func otherThreadsSeeWhatIsPublished() throws {
        let publisher = AuthPublisher()
        let (store, _) = try open(publisher: publisher)
        try furnish(store)
        #expect(!publisher.isEnabled)
        try store.enable()
        #expect(publisher.isEnabled)
        #expect(publisher.latest === store.state)
    }

    @Test func damagedRecordsAreNamed() throws {
        let (_, backend) = try open()
        backend.put(.authUsers, name("bob"), [0xff])
        #expect(throws: BackendError.self) { try AuthStore(backend: backend) }
    }
}
