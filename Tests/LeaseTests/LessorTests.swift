import Lease
import Testing

/// What granting, renewing, attaching and revoking do. Times are in milliseconds, TTLs in seconds.
@Suite struct LessorTests {
    private let storage = MemoryLeaseStorage()
    private let lessor: Lessor

    init() {
        lessor = Lessor(configuration: LeaseConfiguration(), storage: storage)
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func theMinimumTTLOutlivesOneAndAHalfElectionTimeouts() {
        #expect(LeaseConfiguration.minimumTTL(electionTicks: 10, heartbeatMilliseconds: 100) == 2)
        #expect(LeaseConfiguration.minimumTTL(electionTicks: 10, heartbeatMilliseconds: 500) == 8)
        #expect(LeaseConfiguration.minimumTTL(electionTicks: 50, heartbeatMilliseconds: 100) == 8)
        #expect(LeaseConfiguration.minimumTTL(electionTicks: 3, heartbeatMilliseconds: 10) == 1)
    }

    @Test func grantsRaiseShortTTLsAndRefuseLongOnes() throws {
        #expect(try lessor.grant(id: 1, ttl: 10, now: 0) == 10)
        #expect(try lessor.grant(id: 2, ttl: 0, now: 0) == 2)
        #expect(try lessor.grant(id: 3, ttl: -5, now: 0) == 2)
        #expect(try lessor.grant(id: -4, ttl: 1, now: 0) == 2)
        #expect(try lessor.grant(id: 5, ttl: 9_000_000_000, now: 0) == 9_000_000_000)
        #expect(throws: LeaseError.ttlTooLarge(9_000_000_001)) { try lessor.grant(id: 6, ttl: 9_000_000_001, now: 0) }
        #expect(throws: LeaseError.leaseExists(1)) { try lessor.grant(id: 1, ttl: 10, now: 0) }
        #expect(throws: LeaseError.leaseNotFound(0)) { try lessor.grant(id: 0, ttl: 10, now: 0) }
        #expect(lessor.count == 5)
        #expect(lessor.contains(-4) && !lessor.contains(6))
    }

    @Test func aLeaseIsStoredUntilItIsRevoked() throws {
        try lessor.grant(id: 0x694d, ttl: 10, now: 0)
        #expect(storage.stored.map(\.key) == [[0, 0, 0, 0, 0, 0, 0x69, 0x4d]])
        // leasepb.Lease {ID: 0x694d, TTL: 10}
        #expect(storage.stored.map(\.value) == [[0x08, 0xcd, 0xd2, 0x01, 0x10, 10]])
        #expect(try lessor.revoke(id: 0x694d) == [])
        #expect(storage.stored.isEmpty)
        #expect(throws: LeaseError.leaseNotFound(0x694d)) { try lessor.revoke(id: 0x694d) }
    }

    @Test func revokeGivesTheKeysInOrder() throws {
        try lessor.grant(id: 1, ttl: 10, now: 0)
        for number in [5, 3, 12, 9, 1, 14, 7, 2, 11, 4] {
            try lessor.attach(id: 1, key: [UInt8(number)])
        }
        lessor.detach(key: [9])
        lessor.detach(key: [99])
        #expect(try lessor.revoke(id: 1) == [1, 2, 3, 4, 5, 7, 11, 12, 14].map { [$0] })
        #expect(lessor.lease(of: [1]) == 0)
    }

    @Test func aKeyHasOneLease() throws {
        try lessor.grant(id: 1, ttl: 10, now: 0)
        try lessor.grant(id: 2, ttl: 10, now: 0)
        try lessor.attach(id: 1, key: bytes("a"))
        try lessor.attach(id: 1, key: bytes("a"))
        #expect(lessor.lease(of: bytes("a")) == 1)
        try lessor.attach(id: 2, key: bytes("a"))
        #expect(lessor.lease(of: bytes("a")) == 2)
        #expect(throws: LeaseError.leaseNotFound(3)) { try lessor.attach(id: 3, key: bytes("a")) }
        #expect(lessor.lease(of: bytes("a")) == 2)
        #expect(try lessor.revoke(id: 1) == [])
        #expect(try lessor.revoke(id: 2) == [bytes("a")])
    }

    @Test func timeToLiveRoundsDown() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 10, now: 500)
        try lessor.attach(id: 1, key: bytes("b"))
        try lessor.attach(id: 1, key: bytes("a"))
        let table: [(now: Int64, remaining: Int64)] = [(500, 10), (501, 9), (9501, 0), (10_500, 0), (99_999, 0)]
        for (now, remaining) in table {
            let answer = try lessor.timeToLive(id: 1, now: now, keys: false)
            #expect(answer == LeaseTimeToLive(grantedTTL: 10, remainingTTL: remaining, keys: []))
        }
        #expect(try lessor.timeToLive(id: 1, now: 500, keys: true).keys == [bytes("a"), bytes("b")])
        #expect(throws: LeaseError.leaseNotFound(2)) { try lessor.timeToLive(id: 2, now: 0, keys: false) }
    }

    @Test func onlyThePrimaryRenewsAndEndsLeases() throws {
        try lessor.grant(id: 1, ttl: 10, now: 0)
        #expect(throws: LeaseError.notPrimary) { try lessor.renew(id: 1, now: 0) }
        #expect(lessor.nextExpiry(now: 0) == nil)
        #expect(lessor.expired(now: 1_000_000, limit: 10).isEmpty)
        #expect(try lessor.timeToLive(id: 1, now: 1_000_000, keys: false).remainingTTL == 10)

        lessor.promote(extend: 1000, now: 50_000)
        #expect(lessor.isPrimary)
        #expect(lessor.nextExpiry(now: 50_000) == 61_000)
        #expect(try lessor.renew(id: 1, now: 55_000).ttl == 10)
        #expect(lessor.nextExpiry(now: 55_000) == 65_000)
        #expect(throws: LeaseError.leaseNotFound(2)) { try lessor.renew(id: 2, now: 55_000) }

        lessor.demote()
        #expect(lessor.nextExpiry(now: 0) == nil)
        #expect(lessor.expired(now: 1_000_000, limit: 10).isEmpty)
    }

    @Test func anExpiredLeaseIsNotRenewedAndHandedOutUntilItIsRevoked() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 10, now: 0)
        #expect(lessor.expired(now: 9999, limit: 10).isEmpty)
        #expect(lessor.expired(now: 10_000, limit: 10) == [1])
        #expect(throws: LeaseError.leaseExpired(1)) { try lessor.renew(id: 1, now: 10_000) }
        #expect(lessor.expired(now: 12_999, limit: 10).isEmpty)
        #expect(lessor.nextExpiry(now: 12_999) == 13_000)
        #expect(lessor.expired(now: 13_000, limit: 10) == [1])
        _ = try lessor.revoke(id: 1)
        #expect(lessor.expired(now: 99_000, limit: 10).isEmpty)
        #expect(lessor.nextExpiry(now: 99_000) == nil)
    }

    @Test func leasesExpireInOrderAndSoManyAtATime() throws {
        lessor.promote(extend: 0, now: 0)
        for (id, ttl) in [(7, 5), (3, 4), (9, 3), (2, 5)] as [(Int64, Int64)] {
            try lessor.grant(id: id, ttl: ttl, now: 0)
        }
        #expect(lessor.leases() == [9, 3, 2, 7])
        #expect(lessor.expired(now: 6000, limit: 3) == [9, 3, 2])
        #expect(lessor.nextExpiry(now: 6000) == 6000)
        #expect(lessor.expired(now: 6000, limit: 3) == [7])
        #expect(lessor.nextExpiry(now: 6000) == 9000)
    }

    @Test func aNewPrimarySpreadsExpiries() throws {
        for id in Int64(1)...5000 { try lessor.grant(id: id, ttl: 10, now: 0) }
        try lessor.grant(id: 6000, ttl: 100, now: 0)
        lessor.promote(extend: 0, now: 0)
        var perSecond: [Int] = []
        for second in Int64(0)..<20 {
            let ids = lessor.expired(now: second * 1000, limit: Int.max)
            for id in ids { _ = try lessor.revoke(id: id) }
            perSecond.append(ids.count)
        }
        #expect(perSecond == Array(repeating: 0, count: 10) + [750, 750, 750, 750, 750, 750, 500, 0, 0, 0])
        #expect(lessor.nextExpiry(now: 0) == 100_000, "a lease that is alone in its second is not moved")
    }

    @Test func fewLeasesAreNotSpread() throws {
        for id in Int64(1)...750 { try lessor.grant(id: id, ttl: 10, now: 0) }
        lessor.promote(extend: 0, now: 0)
        #expect(lessor.expired(now: 10_000, limit: 1000).count == 750)
    }

    @Test func timesAtTheEndOfTheRangeDoNotOverflow() throws {
        lessor.promote(extend: Int64.max, now: Int64.max)
        try lessor.grant(id: 1, ttl: Lessor.maximumTTL, now: Int64.max - 1)
        #expect(lessor.nextExpiry(now: 0) == Int64.max - 1)
        lessor.promote(extend: Int64.max, now: 5)
        #expect(lessor.nextExpiry(now: 0) == Int64.max - 1)
    }

    @Test func errorsSayWhichLease() {
        #expect("\(LeaseError.leaseNotFound(0x694d))" == "lease 694d not found")
        #expect("\(LeaseError.leaseExists(-1))" == "lease ffffffffffffffff already exists")
        #expect("\(LeaseError.leaseExpired(16))" == "lease 10 has expired and is being revoked")
    }
}
