import EtcdAPI
import SwiftProtobuf
import Testing

@testable import AuditLog

/// What the audit log tells of each kind of request, and what it never tells.
@Suite struct AuditLineTests {
    private func line(
        _ method: EtcdMethod, _ request: some SwiftProtobuf.Message, keys: AuditKeys = .plain, code: String? = "OK",
        user: String? = nil, certificate: String? = nil
    ) throws -> String {
        let event = AuditEvent(
            .call, time: 1_763_715_600_123, method: method.path, request: try request.serializedBytes(),
            peer: "127.0.0.1:4000", user: user, certificate: certificate, code: code, microseconds: 42)
        return String(decoding: AuditLine.bytes(of: event, keys: keys), as: UTF8.self)
    }

    @Test func aLineSaysWhoFromWhereWhatAndHowItEnded() throws {
        var put = Etcdserverpb_PutRequest()
        put.key = Array("a\"\n\u{1}é".utf8).data
        put.value = Array("secret".utf8).data
        let text = try line(.put, put, code: "PermissionDenied", user: "ann", certificate: "client")
        #expect(
            text == """
                {"ts":"2025-11-21T09:00:00.123Z","stage":"call","user":"ann","cn":"client","remote":"127.0.0.1:4000",\
                "method":"/etcdserverpb.KV/Put","about":[{"op":"put","key":"a\\"\\n\\u0001é"}],\
                "code":"PermissionDenied","us":42}

                """)
    }

    @Test func keysAreToldAsHashesWhenAsked() throws {
        var range = Etcdserverpb_RangeRequest()
        range.key = Array("abc".utf8).data
        range.rangeEnd = Array("abd".utf8).data
        let text = try line(.range, range, keys: .hash)
        // SHA-256("abc"), from FIPS 180-2.
        #expect(text.contains("{\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}"))
        #expect(!text.contains("abc") && !text.contains("abd"))
    }

    @Test func keysThatAreNoTextOrLongAreToldByTheirBytes() throws {
        var put = Etcdserverpb_PutRequest()
        put.key = [0xff, 0x00].data
        #expect(try line(.put, put).contains("\"key\":{\"hex\":\"ff00\",\"bytes\":2}"))
        put.key = [UInt8](repeating: 0x61, count: 5000).data
        let long = try line(.put, put)
        #expect(long.contains("\"bytes\":5000}"))
        #expect(long.utf8.count < 3000)
    }

    @Test func aTransactionTellsItsKeysAndHowManyMoreThereAre() throws {
        var put = Etcdserverpb_RequestOp()
        put.requestPut.key = Array("p".utf8).data
        put.requestPut.value = Array("secret".utf8).data
        var nested = Etcdserverpb_RequestOp()
        nested.requestTxn.failure = [put]
        var txn = Etcdserverpb_TxnRequest()
        var compare = Etcdserverpb_Compare()
        compare.key = Array("c".utf8).data
        compare.value = Array("secret".utf8).data
        txn.compare = [compare]
        txn.success = [nested]
        let text = try line(.txn, txn)
        #expect(text.contains("\"about\":[{\"op\":\"compare\",\"key\":\"c\"},{\"op\":\"put\",\"key\":\"p\"}]"))
        #expect(!text.contains("secret"))
        txn.success = Array(repeating: put, count: 100)
        #expect(try line(.txn, txn).contains(",\"more\":37,"))
    }

    @Test func passwordsAndTokensAreNeverTold() throws {
        var add = Etcdserverpb_AuthUserAddRequest()
        add.name = "ann"
        add.password = "secret"
        add.hashedPassword = "secret"
        var change = Etcdserverpb_AuthUserChangePasswordRequest()
        change.name = "ann"
        change.password = "secret"
        change.hashedPassword = "secret"
        var login = Etcdserverpb_AuthenticateRequest()
        login.name = "ann"
        login.password = "secret"
        let lines = [
            try line(.userAdd, add), try line(.userChangePassword, change), try line(.authenticate, login),
        ]
        for text in lines {
            #expect(text.contains("\"about\":[{\"name\":\"ann\"}]"))
            #expect(!text.contains("secret"))
        }
    }

    @Test func requestsOfTheOtherServicesSayWhatTheyAreAbout() throws {
        var grant = Etcdserverpb_AuthRoleGrantPermissionRequest()
        grant.name = "r"
        grant.perm.key = Array("a".utf8).data
        grant.perm.rangeEnd = Array("b".utf8).data
        grant.perm.permType = .readwrite
        #expect(
            try line(.roleGrantPermission, grant).contains(
                "{\"op\":\"grant\",\"key\":\"a\",\"end\":\"b\",\"role\":\"r\",\"permission\":\"readwrite\"}"))
        var lease = Etcdserverpb_LeaseGrantRequest()
        lease.id = 255
        lease.ttl = 5
        #expect(try line(.leaseGrant, lease).contains("{\"lease\":\"ff\",\"ttl\":5}"))
        var watch = Etcdserverpb_WatchRequest()
        watch.createRequest.key = Array("w".utf8).data
        #expect(try line(.watch, watch).contains("{\"op\":\"watch\",\"key\":\"w\"}"))
        var lock = V3lockpb_LockRequest()
        lock.name = Array("l".utf8).data
        #expect(try line(.lock, lock).contains("{\"name\":\"l\"}"))
        var alarm = Etcdserverpb_AlarmRequest()
        alarm.action = .deactivate
        alarm.alarm = .nospace
        alarm.memberID = 10
        #expect(
            try line(.alarm, alarm).contains("{\"op\":\"deactivate\",\"alarm\":\"nospace\",\"member\":\"a\"}"))
        #expect(try !line(.status, Etcdserverpb_StatusRequest()).contains("about"))
    }

    @Test(arguments: EtcdMethod.allCases)
    func bytesThatAreNoRequestAreNoTrouble(method: EtcdMethod) {
        for request in [[0xff, 0xff], [0x0a, 0x7f], [UInt8](repeating: 0x0a, count: 64)] as [[UInt8]] {
            let event = AuditEvent(
                .call, time: 0, method: method.path, request: request, peer: "", user: nil, certificate: nil,
                code: "Internal", microseconds: 0)
            let text = String(decoding: AuditLine.bytes(of: event, keys: .plain), as: UTF8.self)
            #expect(text.hasSuffix("\"code\":\"Internal\",\"us\":0}\n"))
        }
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ])
    func timesAreTextInUTC(time: UInt64, text: String) {
        #expect(Timestamp.text(time) == text)
    }
}
