import EtcdAPI
import Testing

@testable import Auth

/// The walk over requests: every key that a request touches counts, wherever in it.
@Suite struct AuthorisationTests {
    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// bob reads and writes b, reads r, writes w; x hangs on lease 1, b on lease 2.
    private static let state: AuthState = {
        var bob = User(name: bytes("bob"), passwordHash: [], hasNoPassword: false)
        bob.roles = [bytes("role")]
        var root = User(name: bytes("admin"), passwordHash: [], hasNoPassword: false)
        root.roles = [bytes("root")]
        var role = Role(name: bytes("role"))
        role.permissions = [
            Permission(.readWrite, key: bytes("b")), Permission(.read, key: bytes("r")),
            Permission(.write, key: bytes("w")),
        ]
        return AuthState(
            isEnabled: true, revision: 7, users: [bob.name: bob, root.name: root], roles: [role.name: role])
    }()

    private func walk(
        _ user: String = "bob", revision: UInt64 = 7, rules: Authorisation.Rules = .complete
    ) -> Authorisation {
        Authorisation(Self.state, caller: Caller(user: user, revision: revision), rules: rules) { lease in
            switch lease {
            case 1: [Self.bytes("x")]
            case 2: [Self.bytes("b")]
            default: []
            }
        }
    }

    private func put(_ key: String, lease: Int64 = 0, previous: Bool = false) -> PutRequest {
        var request = PutRequest(key: Self.bytes(key), lease: lease)
        request.prevKV = previous
        return request
    }

    private func outcome(_ body: () throws(EtcdError) -> Void) -> EtcdError? {
        do throws(EtcdError) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test func putsAndDeletes() {
        for (request, refusal) in [
            (put("b"), nil), (put("w"), nil), (put("r"), .permissionDenied), (put("x"), .permissionDenied),
            (put("b", previous: true), nil), (put("w", previous: true), .permissionDenied),
            (put("b", lease: 1), .permissionDenied), (put("b", lease: 2), nil), (put("b", lease: 3), nil),
        ] as [(PutRequest, EtcdError?)] {
            #expect(outcome { () throws(EtcdError) in try walk().check(request) } == refusal, "\(request)")
            #expect(outcome { () throws(EtcdError) in try walk("admin").check(request) } == nil)
        }
        var delete = DeleteRangeRequest(key: Self.bytes("w"))
        #expect(outcome { () throws(EtcdError) in try walk().check(delete) } == nil)
        delete.prevKV = true
        #expect(outcome { () throws(EtcdError) in try walk().check(delete) } == .permissionDenied)
        delete = DeleteRangeRequest(key: Self.bytes("b"), rangeEnd: [0])
        #expect(outcome { () throws(EtcdError) in try walk().check(delete) } == .permissionDenied)
    }

    /// An operation that is refused by itself is refused in either branch, at any depth, and so is a comparison.
    @Test func transactions() {
        let refused: [RequestOp] = [
            .range(RangeRequest(key: Self.bytes("w"))), .range(RangeRequest(key: Self.bytes("b"), rangeEnd: [0])),
            .put(put("r")), .put(put("w", previous: true)), .put(put("b", lease: 1)),
            .deleteRange(DeleteRangeRequest(key: Self.bytes("r"))),
        ]
        let allowed: [RequestOp] = [
            .none, .range(RangeRequest(key: Self.bytes("r"))), .put(put("w")), .put(put("b", lease: 2, previous: true)),
        ]
        for (operations, refusal) in [(refused, EtcdError.permissionDenied), (allowed, nil)]
            as [([RequestOp], EtcdError?)]
        {
            for operation in operations {
                var request = TxnRequest(success: [operation])
                for _ in 0..<4 {
                    #expect(outcome { () throws(EtcdError) in try walk().check(request) } == refusal, "\(request)")
                    let turned = TxnRequest(success: request.failure, failure: request.success)
                    #expect(outcome { () throws(EtcdError) in try walk().check(turned) } == refusal, "\(turned)")
                    request = TxnRequest(success: [.put(put("b"))], failure: [.txn(request)])
                }
            }
        }
        let comparison = TxnRequest(compare: [Compare(key: Self.bytes("w"))])
        #expect(outcome { () throws(EtcdError) in try walk().check(comparison) } == .permissionDenied)
        let nested = TxnRequest(success: [.txn(comparison)])
        #expect(outcome { () throws(EtcdError) in try walk().check(nested) } == .permissionDenied)
    }

    /// With members of 3.4 in the cluster all pass over what those pass over, or their data would differ.
    @Test func rulesOfVersion3_4() {
        let lenient = walk(rules: .version3_4)
        for operation in [
            .txn(TxnRequest(success: [.put(put("r"))])), .put(put("w", previous: true)), .put(put("b", lease: 1)),
        ] as [RequestOp] {
            #expect(outcome { () throws(EtcdError) in try lenient.check(TxnRequest(success: [operation])) } == nil)
        }
        #expect(outcome { () throws(EtcdError) in try lenient.check(put("b", lease: 1)) } == .permissionDenied)
        #expect(
            outcome { () throws(EtcdError) in try lenient.check(TxnRequest(success: [.put(put("r"))])) }
                == .permissionDenied)
        // Root's revision counts there when a lease is ended.
        let late = walk("admin", revision: 6, rules: .version3_4)
        #expect(outcome { () throws(EtcdError) in try late.checkLease(1) } == .authOldRevision)
        #expect(outcome { () throws(EtcdError) in try walk("admin", revision: 6).checkLease(1) } == nil)
    }

    @Test func callersThatAreNoneOrLate() {
        let range = RangeRequest(key: Self.bytes("b"))
        for (user, revision, refusal) in [
            ("", 0, .userEmpty), ("bob", 6, .authOldRevision), ("none", 7, .permissionDenied), ("bob", 8, nil),
            ("admin", 6, .authOldRevision),
        ] as [(String, UInt64, EtcdError?)] {
            #expect(outcome { () throws(EtcdError) in try walk(user, revision: revision).check(range) } == refusal)
        }
        let state = Self.state
        #expect(outcome { () throws(EtcdError) in try state.requireRoot(.nobody) } == .userEmpty)
        #expect(
            outcome { () throws(EtcdError) in try state.requireRoot(Caller(user: "bob", revision: 7)) }
                == .permissionDenied)
        #expect(
            outcome { () throws(EtcdError) in try state.requireRoot(Caller(user: "none", revision: 7)) }
                == .userNotFound)
        #expect(outcome { () throws(EtcdError) in try state.requireRoot(Caller(user: "admin", revision: 1)) } == nil)
    }

    /// A certificate may name nobody, or one who is no user; a signed token may outlive its user.
    @Test func onlyUsersCountAsLoggedIn() {
        let state = Self.state
        for (name, refusal) in [("", .userEmpty), ("none", .permissionDenied), ("bob", nil)] as [(String, EtcdError?)] {
            #expect(
                outcome { () throws(EtcdError) in try state.requireUser(Caller(user: name, revision: 7)) } == refusal)
        }
        let off = AuthState(isEnabled: false, revision: 7, users: [:], roles: [:])
        #expect(outcome { () throws(EtcdError) in try off.requireUser(.nobody) } == nil)
    }

    @Test func nothingIsCheckedWhileAuthIsOff() {
        let off = AuthState(isEnabled: false, revision: 7, users: [:], roles: [:])
        let walk = Authorisation(off, caller: .nobody) { _ in [Self.bytes("x")] }
        #expect(outcome { () throws(EtcdError) in try walk.check(put("x", lease: 1, previous: true)) } == nil)
        #expect(outcome { () throws(EtcdError) in try off.requireRoot(.nobody) } == nil)
    }

    @Test func leasesOfATransaction() {
        let request = TxnRequest(
            success: [.put(put("a", lease: 1)), .txn(TxnRequest(failure: [.put(put("b", lease: 2))]))],
            failure: [.put(put("c")), .range(RangeRequest(key: [1]))])
        #expect(request.leases == [1, 2])
    }
}
