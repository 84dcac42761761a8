import Lease
import Testing

/// Random grants, renewals, revokes and restarts against a model that looks at every lease each time.
@Suite struct LeaseModelTests {
    @Test(arguments: 1...40) func behavesAsTheModel(seed: UInt64) throws {
        var schedule = LeaseSchedule(seed: seed)
        for _ in 0..<800 {
            try schedule.step()
            schedule.check()
        }
    }
}

/// What the model knows of a lease.
private struct ModelLease {
    var ttl: Int64
    /// nil while there is no primary.
    var expiry: Int64?
    /// When it is handed out again; nil before the first time.
    var retry: Int64?
    var keys: Set<UInt8> = []

    /// When it is to be handed out next.
    var due: Int64? { retry ?? expiry }
}

private struct LeaseSchedule {
    private let seed: UInt64
    private var random: SplitMix64
    private let storage = MemoryLeaseStorage()
    private var lessor: Lessor
    private var leases: [Int64: ModelLease] = [:]
    private var isPrimary = false
    private var now: Int64 = 0

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix64(seed: seed)
        lessor = Lessor(configuration: LeaseConfiguration(), storage: storage)
    }

    mutating func step() throws {
        now += Int64.random(in: 0...1500, using: &random)
        let id = Int64.random(in: 1...30, using: &random)
        let key = UInt8.random(in: 0...40, using: &random)
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30: grant(id)
        case 30..<40:
            let keys = try? lessor.revoke(id: id)
            #expect(keys == leases.removeValue(forKey: id)?.keys.sorted().map { [$0] })
        case 40..<60: renew(id)
        case 60..<75: attach(key, to: id)
        case 75..<80:
            lessor.detach(key: [key])
            for other in leases.keys { leases[other]?.keys.remove(key) }
        case 80..<94: expire(limit: Int.random(in: 1...4, using: &random))
        case 94..<96:
            lessor.promote(extend: 700, now: now)
            setPrimary(true) { [now] in now + 700 + $0 * 1000 }
        case 96..<97:
            lessor.demote()
            setPrimary(false) { _ in nil }
        default: try restart()
        }
    }

    private mutating func grant(_ id: Int64) {
        let ttl = Int64.random(in: -1...20, using: &random)
        let granted = try? lessor.grant(id: id, ttl: ttl, now: now)
        #expect((granted == nil) == (leases[id] != nil))
        guard let granted else { return }
        #expect(granted == max(ttl, 2))
        leases[id] = ModelLease(ttl: granted, expiry: isPrimary ? now + granted * 1000 : nil)
    }

    private mutating func renew(_ id: Int64) {
        let renewed = try? lessor.renew(id: id, now: now)
        #expect((renewed != nil) == (isPrimary && (leases[id]?.expiry ?? 0) > now), "seed \(seed)")
        guard let renewed else { return }
        leases[id]?.expiry = now + renewed.ttl * 1000
        leases[id]?.retry = nil
    }

    private mutating func attach(_ key: UInt8, to id: Int64) {
        let isAttached = (try? lessor.attach(id: id, key: [key])) != nil
        #expect(isAttached == (leases[id] != nil))
        guard isAttached else { return }
        for other in leases.keys { leases[other]?.keys.remove(key) }
        leases[id]?.keys.insert(key)
    }

    private mutating func expire(limit: Int) {
        #expect(lessor.nextExpiry(now: now) == leases.values.compactMap(\.due).min().map { max($0, now) })
        let due = leases.filter { ($0.value.due ?? .max) <= now }
            .sorted { ($0.value.due ?? 0, $0.key) < ($1.value.due ?? 0, $1.key) }.prefix(limit).map(\.key)
        for id in due { leases[id]?.retry = now + 3000 }
        #expect(lessor.expired(now: now, limit: limit) == due, "seed \(seed)")
    }

    private mutating func setPrimary(_ primary: Bool, expiry: (Int64) -> Int64?) {
        isPrimary = primary
        for (id, lease) in leases {
            leases[id]?.expiry = expiry(lease.ttl)
            leases[id]?.retry = nil
        }
    }

    /// The leases come from the storage, the keys from the store, expiry with the next primary.
    private mutating func restart() throws {
        lessor = Lessor(configuration: LeaseConfiguration(), storage: storage)
        try lessor.restore(storage.stored)
        for (id, lease) in leases {
            for key in lease.keys { try lessor.attach(id: id, key: [key]) }
        }
        setPrimary(false) { _ in nil }
    }

    func check() {
        #expect(lessor.count == leases.count)
        let order = leases.sorted { ($0.value.expiry ?? 0, $0.key) < ($1.value.expiry ?? 0, $1.key) }
        #expect(lessor.leases() == order.map(\.key))
        #expect(storage.records.count == leases.count)
        for (id, lease) in leases {
            let remaining = lease.expiry.map { max(0, $0 - now) / 1000 } ?? lease.ttl
            let expected = LeaseTimeToLive(
                grantedTTL: lease.ttl, remainingTTL: remaining, keys: lease.keys.sorted().map { [$0] })
            if (try? lessor.timeToLive(id: id, now: now, keys: true)) != expected || storage.records[id] == nil {
                Issue.record("seed \(seed): lease \(id) is not \(expected)")
            }
            for key in lease.keys where lessor.lease(of: [key]) != id { Issue.record("key \(key) is not of \(id)") }
        }
    }
}
