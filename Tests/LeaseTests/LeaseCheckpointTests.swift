import Lease
import Testing

/// Checkpoints carry the remaining TTL of long leases over a change of primary.
@Suite struct LeaseCheckpointTests {
    private let storage = MemoryLeaseStorage()
    private let lessor: Lessor

    init() {
        var configuration = LeaseConfiguration()
        configuration.checkpointInterval = 300_000
        lessor = Lessor(configuration: configuration, storage: storage)
        lessor.recordsCheckpoints = true
    }

    @Test func longLeasesAreRecordedEachInterval() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 1000, now: 0)
        try lessor.grant(id: 2, ttl: 300, now: 0)
        #expect(lessor.nextCheckpoint(now: 0) == 300_000)
        #expect(lessor.dueCheckpoints(now: 299_999).isEmpty)
        #expect(lessor.dueCheckpoints(now: 300_500) == [LeaseCheckpoint(id: 1, remainingTTL: 700)])
        #expect(lessor.nextCheckpoint(now: 0) == nil, "the next one is planned when this one is applied")

        lessor.checkpoint(id: 1, remainingTTL: 700, now: 301_000)
        #expect(lessor.nextCheckpoint(now: 0) == 601_000)
        lessor.checkpoint(id: 1, remainingTTL: 300, now: 700_000)
        #expect(lessor.nextCheckpoint(now: 0) == nil, "no more than an interval is left")
        lessor.checkpoint(id: 99, remainingTTL: 1, now: 0)
    }

    @Test func aCheckpointOutlivesRestartAndChangeOfPrimary() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 1000, now: 0)
        lessor.checkpoint(id: 1, remainingTTL: 400, now: 600_000)

        let restarted = Lessor(configuration: LeaseConfiguration(), storage: storage)
        try restarted.restore(storage.stored)
        restarted.promote(extend: 0, now: 0)
        #expect(try restarted.timeToLive(id: 1, now: 0, keys: false).remainingTTL == 400)
        #expect(try restarted.timeToLive(id: 1, now: 0, keys: false).grantedTTL == 1000)
    }

    @Test func renewingAsksForTheCheckpointToBeCleared() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 1000, now: 0)
        #expect(try lessor.renew(id: 1, now: 1) == LeaseRenewal(ttl: 1000, clearsCheckpoint: false))
        lessor.checkpoint(id: 1, remainingTTL: 400, now: 600_000)
        #expect(try lessor.renew(id: 1, now: 600_001) == LeaseRenewal(ttl: 1000, clearsCheckpoint: true))
        lessor.checkpoint(id: 1, remainingTTL: 0, now: 600_002)
        #expect(try lessor.renew(id: 1, now: 600_003) == LeaseRenewal(ttl: 1000, clearsCheckpoint: false))
    }

    @Test func aLeaseRenewedMeanwhileIsRecordedLater() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 1000, now: 0)
        _ = try lessor.renew(id: 1, now: 300_000)
        #expect(lessor.dueCheckpoints(now: 300_000).isEmpty, "nothing is gone of it")
        #expect(lessor.nextCheckpoint(now: 300_000) == 600_000)
        #expect(lessor.dueCheckpoints(now: 600_000) == [LeaseCheckpoint(id: 1, remainingTTL: 700)])
    }

    @Test func aLeaseThatIsRenewedInTimeIsNeverRecorded() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 1000, now: 0)
        for now in stride(from: Int64(0), to: 5_000_000, by: 250_000) {
            _ = try lessor.renew(id: 1, now: now)
            #expect(lessor.dueCheckpoints(now: now + 249_999).isEmpty)
        }
    }

    @Test func theFeatureMayComeAndGo() throws {
        lessor.recordsCheckpoints = false
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 1000, now: 0)
        #expect(lessor.dueCheckpoints(now: 350_000).isEmpty)
        lessor.recordsCheckpoints = true
        #expect(lessor.dueCheckpoints(now: 350_000) == [LeaseCheckpoint(id: 1, remainingTTL: 650)])
        lessor.checkpoint(id: 1, remainingTTL: 650, now: 350_000)
        lessor.recordsCheckpoints = false
        #expect(lessor.nextCheckpoint(now: 0) == nil)
        // What was recorded is cleared all the same, or the next primary would end a lease that was renewed.
        #expect(try lessor.renew(id: 1, now: 400_000).clearsCheckpoint)
    }

    @Test func aCheckpointThatDoesNotPersistIsGoneAfterARestart() throws {
        lessor.promote(extend: 0, now: 0)
        try lessor.grant(id: 1, ttl: 1000, now: 0)
        lessor.checkpoint(id: 1, remainingTTL: 400, persists: false, now: 600_000)
        lessor.demote()
        lessor.promote(extend: 0, now: 0)
        #expect(try lessor.timeToLive(id: 1, now: 0, keys: false).remainingTTL == 400)
        let restarted = Lessor(configuration: LeaseConfiguration(), storage: storage)
        try restarted.restore(storage.stored)
        restarted.promote(extend: 0, now: 0)
        #expect(try restarted.timeToLive(id: 1, now: 0, keys: false).remainingTTL == 1000)
    }

    @Test func checkpointsComeInBoundedBatches() throws {
        lessor.promote(extend: 0, now: 0)
        for id in Int64(1)...2500 { try lessor.grant(id: id, ttl: 10_000, now: 0) }
        #expect((0..<4).map { _ in lessor.dueCheckpoints(now: 400_000).count } == [1000, 1000, 500, 0])
    }

    @Test func withoutTheFeatureNothingIsPlanned() throws {
        let plain = Lessor(configuration: LeaseConfiguration(), storage: storage)
        plain.promote(extend: 0, now: 0)
        try plain.grant(id: 1, ttl: 1000, now: 0)
        #expect(plain.nextCheckpoint(now: 0) == nil)
        #expect(plain.dueCheckpoints(now: 900_000).isEmpty)
    }
}
