import Lease
import Testing

/// Random grants, renewals, revokes and restarts against a model that looks at every lease each time.
@Suite struct LeaseModelTests {
    private struct Model {
        struct Lease {
            var ttl: Int64
            var expiry: Int64?
            var retry: Int64?
            var keys: Set<UInt8> = []

            /// When it is to be handed out next.
            var due: Int64? { retry ?? expiry }
        }

        var leases: [Int64: Lease] = [:]
        var isPrimary = false

        mutating func expired(now: Int64, limit: Int) -> [Int64] {
            let due = leases.filter { ($0.value.due ?? .max) <= now }
                .sorted { ($0.value.due ?? 0, $0.key) < ($1.value.due ?? 0, $1.key) }.prefix(limit).map(\.key)
            for id in due { leases[id]?.retry = now + 3000 }
            return due
        }
    }

    @Test(arguments: 1...60) func behavesAsTheModel(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let storage = MemoryLeaseStorage()
        var lessor = Lessor(configuration: LeaseConfiguration(), storage: storage)
        var model = Model()
        var now: Int64 = 0
        for step in 0..<800 {
            now += Int64.random(in: 0...1500, using: &random)
            let id = Int64.random(in: 1...30, using: &random)
            let key = UInt8.random(in: 0...40, using: &random)
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<30:
                let ttl = Int64.random(in: -1...20, using: &random)
                let granted = try? lessor.grant(id: id, ttl: ttl, now: now)
                #expect((granted == nil) == (model.leases[id] != nil))
                guard let granted else { break }
                #expect(granted == max(ttl, 2))
                model.leases[id] = Model.Lease(ttl: granted, expiry: model.isPrimary ? now + granted * 1000 : nil)
            case 30..<40:
                let keys = try? lessor.revoke(id: id)
                #expect(keys == model.leases.removeValue(forKey: id)?.keys.sorted().map { [$0] })
            case 40..<60:
                let renewed = try? lessor.renew(id: id, now: now)
                let isRenewable = model.isPrimary && (model.leases[id]?.expiry ?? 0) > now
                #expect((renewed != nil) == isRenewable, "seed \(seed), step \(step)")
                guard let renewed else { break }
                model.leases[id]?.expiry = now + renewed.ttl * 1000
                model.leases[id]?.retry = nil
            case 60..<75:
                guard (try? lessor.attach(id: id, key: [key])) != nil else {
                    #expect(model.leases[id] == nil)
                    break
                }
                for other in model.leases.keys { model.leases[other]?.keys.remove(key) }
                model.leases[id]?.keys.insert(key)
            case 75..<80:
                lessor.detach(key: [key])
                for other in model.leases.keys { model.leases[other]?.keys.remove(key) }
            case 80..<94:
                let limit = Int.random(in: 1...4, using: &random)
                let next = lessor.nextExpiry(now: now)
                #expect(next == model.leases.values.compactMap(\.due).min().map { max($0, now) })
                #expect(lessor.expired(now: now, limit: limit) == model.expired(now: now, limit: limit))
            case 94..<96:
                lessor.promote(extend: 700, now: now)
                model.isPrimary = true
                for (id, lease) in model.leases {
                    model.leases[id]?.expiry = now + 700 + lease.ttl * 1000
                    model.leases[id]?.retry = nil
                }
            case 96..<97:
                lessor.demote()
                model.isPrimary = false
                for id in model.leases.keys {
                    model.leases[id]?.expiry = nil
                    model.leases[id]?.retry = nil
                }
            default:
                // A restart: the leases come from the storage, the keys from the store, expiry with the primary.
                lessor = Lessor(configuration: LeaseConfiguration(), storage: storage)
                try lessor.restore(storage.stored)
                for (id, lease) in model.leases {
                    for key in lease.keys { try lessor.attach(id: id, key: [key]) }
                    model.leases[id]?.expiry = nil
                    model.leases[id]?.retry = nil
                }
                model.isPrimary = false
            }
            check(lessor, model, storage, now: now)
        }
    }

    private func check(_ lessor: Lessor, _ model: Model, _ storage: MemoryLeaseStorage, now: Int64) {
        #expect(lessor.count == model.leases.count)
        #expect(
            lessor.leases()
                == model.leases.sorted { ($0.value.expiry ?? 0, $0.key) < ($1.value.expiry ?? 0, $1.key) }
                .map(\.key))
        #expect(Set(storage.records.keys) == Set(model.leases.keys))
        for (id, lease) in model.leases {
            let remaining = lease.expiry.map { max(0, $0 - now) / 1000 } ?? lease.ttl
            let expected = LeaseTimeToLive(
                grantedTTL: lease.ttl, remainingTTL: remaining, keys: lease.keys.sorted().map { [$0] })
            #expect((try? lessor.timeToLive(id: id, now: now, keys: true)) == expected)
            for key in lease.keys where lessor.lease(of: [key]) != id { Issue.record("key \(key) is not of \(id)") }
        }
    }
}
