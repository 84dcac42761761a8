import Auth
import Backend
import Disk
import EtcdAPI
import FoundationEssentials
import Lease
import MVCC
import Membership
import Password
import RaftMessages
import StoreV2
import SwiftProtobuf
import Testing
import WireFormat

@testable import Applier

/// Requests about users as log entries, and what auth does to all other entries. Members that apply the same entries come
/// to the same state, whoever asked for them.
@Suite struct AuthApplicationTests {
    /// A member: an applier on a disk of its own that can be restarted.
    private final class Replica {
        let disk = MemoryDisk()
        var applier: Applier
        var entries: [Entry] = []

        init(version: ClusterVersion) throws {
            try disk.createDirectory("d")
            applier = try Self.open(disk, version)
        }

        static func open(_ disk: MemoryDisk, _ version: ClusterVersion?) throws -> Applier {
            let backend = try Backend(disk: disk, path: "d/db")
            let lessor = Lessor(configuration: LeaseConfiguration(), storage: NoLeases())
            let store = try Store(backend: backend)
            var cluster = Cluster(id: 1, members: [Member(id: 2, name: "m", peerURLs: ["http://127.0.0.1:1"])])
            cluster.version = version
            return try Applier(
                backend: backend, store: store, lessor: lessor, cluster: cluster, keyTree: KeyTree(), memberID: 2)
        }

        /// What is in the database's buckets of auth, and the keys.
        var state: [String] {
            get throws {
                var lines: [String] = []
                for bucket in [BackendBucket.auth, .authUsers, .authRoles] {
                    lines += try applier.backend.all(bucket).map { "\(bucket) \($0.key): \($0.value)" }
                }
                applier.store.publish()
                let view = applier.store.publisher.latest()
                lines.append("hash \(try view.hashByRevision(0).hash)")
                return lines
            }
        }

        @discardableResult
        func apply(
            _ kind: RaftRequestView.Kind, _ request: [UInt8], _ caller: Caller = .nobody
        ) -> Applier.Reply? {
            var writer = WireWriter()
            let id = UInt64(entries.count + 1)
            let header = RaftRequestHeader(id: id, username: caller.user, authRevision: caller.revision)
            request.withUnsafeBytes { RaftRequestView.encode(kind, request: $0, header: header, into: &writer) }
            let entry = Entry(term: 2, index: id, type: .normal, data: writer.bytes)
            entries.append(entry)
            return applier.apply(entry, now: 0)?.reply
        }

        func apply(
            _ kind: RaftRequestView.Kind, _ message: some SwiftProtobuf.Message, _ caller: Caller = .nobody
        ) throws -> EtcdError? {
            if case .failure(let error) = apply(kind, try message.serializedBytes(), caller) { return error }
            return nil
        }
    }

    private final class NoLeases: LeaseStorage {
        func put(id: Int64, record: [UInt8]) {}
        func delete(id: Int64) {}
    }

    private func user(_ name: String, password: String = "", hashed: String = "") -> Etcdserverpb_AuthUserAddRequest {
        var request = Etcdserverpb_AuthUserAddRequest()
        request.name = name
        request.password = password
        request.hashedPassword = hashed
        return request
    }

    private func role(_ role: String, to user: String) -> Etcdserverpb_AuthUserGrantRoleRequest {
        var request = Etcdserverpb_AuthUserGrantRoleRequest()
        request.user = user
        request.role = role
        return request
    }

    private func furnish(_ replica: Replica) throws {
        let hash = Data(try Bcrypt.hash(Array("pw".utf8), cost: 4, salt: [UInt8](repeating: 7, count: 16)))
            .base64EncodedString()
        #expect(try replica.apply(.authUserAdd, user("root", hashed: hash)) == nil)
        #expect(try replica.apply(.authUserGrantRole, role("root", to: "root")) == nil)
        #expect(try replica.apply(.authUserAdd, user("bob", hashed: hash)) == nil)
        var add = Etcdserverpb_AuthRoleAddRequest()
        add.name = "r"
        #expect(try replica.apply(.authRoleAdd, add) == nil)
        var grant = Etcdserverpb_AuthRoleGrantPermissionRequest()
        grant.name = "r"
        grant.perm.permType = .readwrite
        grant.perm.key = Data("b".utf8)
        #expect(try replica.apply(.authRoleGrantPermission, grant) == nil)
        #expect(try replica.apply(.authUserGrantRole, role("r", to: "bob")) == nil)
        #expect(try replica.apply(.authEnable, Etcdserverpb_AuthEnableRequest()) == nil)
    }

    private func put(_ key: String) -> [UInt8] {
        var writer = WireWriter()
        PutRequest(key: Array(key.utf8), value: [1]).encode(into: &writer)
        return writer.bytes
    }

    private func refusal(_ reply: Applier.Reply?) -> EtcdError? {
        if case .failure(let error) = reply { return error }
        return nil
    }

    @Test func entriesAreCheckedByTheirCaller() throws {
        let replica = try Replica(version: ClusterVersion(3, 7))
        try furnish(replica)
        let revision = replica.applier.auth.state.revision
        for (key, caller, expected) in [
            ("b", Caller(user: "bob", revision: revision), nil),
            ("x", Caller(user: "bob", revision: revision), .permissionDenied),
            ("b", Caller(user: "bob", revision: revision - 1), .authOldRevision), ("b", .nobody, .userEmpty),
            ("x", Caller(user: "root", revision: revision), nil),
        ] as [(String, Caller, EtcdError?)] {
            #expect(refusal(replica.apply(.put, put(key), caller)) == expected, "\(key) by \(caller)")
        }
        let bob = Caller(user: "bob", revision: revision)
        #expect(try replica.apply(.authDisable, Etcdserverpb_AuthDisableRequest(), bob) == .permissionDenied)
        #expect(try replica.apply(.authUserAdd, user("eve"), .nobody) == .userEmpty)
        // Checkpoints, alarms and compactions that members propose have no caller.
        #expect(try replica.apply(.leaseCheckpoint, Etcdserverpb_LeaseCheckpointRequest()) == nil)
        #expect(try replica.apply(.alarm, Etcdserverpb_AlarmRequest()) == nil)
    }

    /// An entry of etcd 3.4 brings the password itself: members of this kind come to the same hash of it.
    @Test func passwordsOfVersion3_4() throws {
        let replicas = try (0..<2).map { _ in try Replica(version: ClusterVersion(3, 4)) }
        for replica in replicas {
            #expect(try replica.apply(.authUserAdd, user("ann", password: "secret")) == nil)
            #expect(try replica.apply(.authUserAdd, user("long", password: String(repeating: "x", count: 100))) == nil)
            #expect(try replica.apply(.authUserAdd, user("empty")) == nil)
        }
        #expect(try replicas[0].state == replicas[1].state)
        let state = replicas[0].applier.auth.state
        #expect(Bcrypt.verify("secret".utf8, against: state.user("ann")?.passwordHash ?? []))
        #expect(Bcrypt.verify("".utf8, against: state.user("empty")?.passwordHash ?? []))
        #expect(state.user("ann")?.passwordHash != state.user("empty")?.passwordHash)
    }

    /// Random requests of random callers: equal outcomes and equal state on members of which one restarts now and then.
    @Test(arguments: [ClusterVersion(3, 4), ClusterVersion(3, 7)])
    func membersAgree(_ version: ClusterVersion) throws {
        var random = Generator(state: 20_261_121)
        let steady = try Replica(version: version)
        let restarted = try Replica(version: version)
        for replica in [steady, restarted] { try furnish(replica) }
        let users = ["root", "bob", "eve", "", "none"]
        let roles = ["root", "r", "s", "none"]
        for step in 0..<1_500 {
            let current = steady.applier.auth.state.revision
            let caller = Caller(
                user: users.randomElement(using: &random) ?? "",
                revision: Bool.random(using: &random) ? current : UInt64.random(in: 0...current, using: &random))
            let (kind, request) = try request(users, roles, &random)
            let outcomes = [steady, restarted].map { "\(String(describing: $0.apply(kind, request, caller)))" }
            #expect(outcomes[0] == outcomes[1], "step \(step): \(kind) by \(caller)")
            if step % 97 == 0 {
                try restarted.applier.backend.commitNow()
                restarted.applier.backend.close()
                restarted.applier = try Replica.open(restarted.disk, version)
            }
        }
        #expect(try steady.state == restarted.state)
        #expect(steady.applier.auth.state.revision > 50)
    }

    private func request(
        _ users: [String], _ roles: [String], _ random: inout Generator
    ) throws -> (RaftRequestView.Kind, [UInt8]) {
        let user = users.randomElement(using: &random) ?? ""
        let role = roles.randomElement(using: &random) ?? ""
        let key = ["a", "b", "c"].randomElement(using: &random) ?? "a"
        switch Int.random(in: 0..<12, using: &random) {
        case 0:
            var request = self.user(user)
            request.options.noPassword = true
            return (.authUserAdd, try request.serializedBytes())
        case 1 where Int.random(in: 0..<4, using: &random) == 0:
            var request = Etcdserverpb_AuthUserDeleteRequest()
            request.name = user
            return (.authUserDelete, try request.serializedBytes())
        case 2: return (.authUserGrantRole, try self.role(role, to: user).serializedBytes())
        case 3:
            var request = Etcdserverpb_AuthUserRevokeRoleRequest()
            request.name = user
            request.role = role
            return (.authUserRevokeRole, try request.serializedBytes())
        case 4:
            var request = Etcdserverpb_AuthRoleAddRequest()
            request.name = role
            return (.authRoleAdd, try request.serializedBytes())
        case 5:
            var request = Etcdserverpb_AuthRoleGrantPermissionRequest()
            request.name = role
            request.perm.permType = .init(rawValue: Int.random(in: 0...2, using: &random)) ?? .read
            request.perm.key = Data(key.utf8)
            request.perm.rangeEnd = Data([[], [0], Array("c".utf8)].randomElement(using: &random) ?? [])
            return (.authRoleGrantPermission, try request.serializedBytes())
        case 6 where Int.random(in: 0..<4, using: &random) == 0:
            var request = Etcdserverpb_AuthRoleDeleteRequest()
            request.role = role
            return (.authRoleDelete, try request.serializedBytes())
        case 7 where Int.random(in: 0..<8, using: &random) == 0:
            return (.authDisable, try Etcdserverpb_AuthDisableRequest().serializedBytes())
        case 8: return (.authEnable, try Etcdserverpb_AuthEnableRequest().serializedBytes())
        case 9:
            let inner = TxnRequest(success: [.put(PutRequest(key: Array(key.utf8)))])
            var writer = WireWriter()
            TxnRequest(success: [.txn(inner), .range(RangeRequest(key: Array(key.utf8)))]).encode(into: &writer)
            return (.txn, writer.bytes)
        case 10:
            var writer = WireWriter()
            DeleteRangeRequest(key: Array(key.utf8), rangeEnd: [0]).encode(into: &writer)
            return (.deleteRange, writer.bytes)
        default: return (.put, put(key))
        }
    }

    /// SplitMix64.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }
}
