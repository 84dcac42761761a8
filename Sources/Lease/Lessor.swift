/// Owns the leases of a member: grants and revokes them as entries are applied, and on the primary watches over their
/// expiry.
///
/// Every member holds the same leases, but only the lessor of the leader, the primary, has expiry times: on the others
/// a lease lasts until its revoke arrives through the log. The lessor has no clock; each call that needs the time is
/// given `now`, in milliseconds of a monotonic clock. It has one owner and no locks.
///
/// Memory per lease is a fixed row, an entry in a dictionary and one in a heap; grant, renew and revoke take O(log n).
public final class Lessor {
    /// The largest TTL that can be granted, in seconds.
    public static let maximumTTL: Int64 = 9_000_000_000
    /// The most leases that should be revoked in a second; expiries of a new primary are spread to stay below it.
    public static let revokesPerSecond = 1000

    /// The most checkpoints that should be recorded in a second.
    public static let checkpointsPerSecond = 1000

    /// A lease. The row of a revoked lease is used again.
    struct Row {
        var id: Int64
        var ttl: Int64
        /// Seconds left at the last checkpoint, 0 when there was none.
        var remainingTTL: Int64
        /// When the lease runs out, in milliseconds; ``Lessor/forever`` when this is not the primary.
        var expiry: Int64
        var keys: LeasedKeys
    }

    /// The expiry of a lease that only its revoke ends.
    static let forever = Int64.max

    /// What this lessor was made with.
    public let configuration: LeaseConfiguration
    private let storage: any LeaseStorage
    var rows: [Row] = []
    private var freeSlots: [Int32] = []
    var slots: [Int64: Int32] = [:]
    private var leaseOfKey: [LeasedKey: Int64] = [:]
    /// When each lease is to be revoked, or to be revoked again.
    var expiries = DeadlineHeap()
    /// When the remaining TTL of each long lease is to be recorded.
    var checkpoints = DeadlineHeap()
    /// Whether this lessor decides about expiry.
    public internal(set) var isPrimary = false
    /// Whether the remaining TTL of long leases is recorded through the log (etcd's feature `LeaseCheckpoint`).
    public var recordsCheckpoints = false {
        didSet { if recordsCheckpoints != oldValue { planCheckpoints() } }
    }
    /// When the checkpoints were last planned for all leases.
    var plannedAt: Int64 = 0

    /// A lessor without leases that is not the primary.
    public init(configuration: LeaseConfiguration, storage: any LeaseStorage) {
        self.configuration = configuration
        self.storage = storage
    }

    /// The number of leases.
    public var count: Int { slots.count }

    /// Whether there is a lease `id`.
    public func contains(_ id: Int64) -> Bool { slots[id] != nil }

    /// Replaces all leases by the stored `records`, without keys and without expiry.
    ///
    /// The keys are attached one by one as the store finds them; ``promote(extend:now:)`` sets the expiries.
    public func restore(_ records: some Sequence<(key: [UInt8], value: [UInt8])>) throws(LeaseRecordError) {
        rows = []
        freeSlots = []
        slots = [:]
        leaseOfKey = [:]
        expiries.removeAll()
        checkpoints.removeAll()
        isPrimary = false
        for (key, value) in records {
            let record = try LeaseRecord(key: key, value: value)
            guard slots[record.id] == nil else { throw LeaseRecordError(key: key, reason: .duplicate) }
            insert(id: record.id, ttl: max(record.ttl, configuration.minimumTTL), remainingTTL: record.remainingTTL)
        }
    }

    /// Grants a lease of `ttl` seconds and returns the TTL it got, which is at least the minimum.
    ///
    /// The caller has chosen the id: 0 means none and is refused.
    @discardableResult
    public func grant(id: Int64, ttl: Int64, now: Int64) throws(LeaseError) -> Int64 {
        guard id != 0 else { throw .leaseNotFound(id) }
        guard ttl <= Self.maximumTTL else { throw .ttlTooLarge(ttl) }
        guard slots[id] == nil else { throw .leaseExists(id) }
        let granted = max(ttl, configuration.minimumTTL)
        let slot = insert(id: id, ttl: granted, remainingTTL: 0)
        store(slot)
        if isPrimary { start(slot, extend: 0, now: now) }
        return granted
    }

    /// Ends a lease and returns its keys in order, for the store to delete in one revision.
    ///
    /// The keys are no longer attached when this returns.
    public func revoke(id: Int64) throws(LeaseError) -> [[UInt8]] {
        guard let slot = slots.removeValue(forKey: id) else { throw .leaseNotFound(id) }
        let keys = rows[Int(slot)].keys
        keys.forEach { leaseOfKey[$0] = nil }
        rows[Int(slot)].keys = LeasedKeys()
        expiries.remove(slot: slot)
        checkpoints.remove(slot: slot)
        freeSlots.append(slot)
        storage.delete(id: id)
        return keys.sorted()
    }

    /// Attaches `key` to lease `id`, taking it off the lease that it was attached to before.
    public func attach(id: Int64, key: [UInt8]) throws(LeaseError) {
        guard let slot = slots[id] else { throw .leaseNotFound(id) }
        let key = LeasedKey(bytes: key)
        if let earlier = leaseOfKey.updateValue(id, forKey: key) {
            if earlier == id { return }
            if let earlierSlot = slots[earlier] { rows[Int(earlierSlot)].keys.remove(key) }
        }
        rows[Int(slot)].keys.insert(key)
    }

    /// Takes `key` off its lease, when it has one.
    public func detach(key: [UInt8]) {
        let key = LeasedKey(bytes: key)
        guard let id = leaseOfKey.removeValue(forKey: key), let slot = slots[id] else { return }
        rows[Int(slot)].keys.remove(key)
    }

    /// The lease that `key` is attached to, 0 when there is none.
    public func lease(of key: [UInt8]) -> Int64 {
        leaseOfKey[LeasedKey(bytes: key)] ?? 0
    }

    /// The TTLs of a lease and, when `keys` asks for them, its keys.
    public func timeToLive(id: Int64, now: Int64, keys: Bool) throws(LeaseError) -> LeaseTimeToLive {
        guard let slot = slots[id] else { throw .leaseNotFound(id) }
        let row = rows[Int(slot)]
        let remaining = isPrimary ? max(0, row.expiry - now) / 1000 : row.ttl
        return LeaseTimeToLive(grantedTTL: row.ttl, remainingTTL: remaining, keys: keys ? row.keys.sorted() : [])
    }

    /// All leases, the one that runs out first at the front.
    public func leases() -> [Int64] {
        slots.values.map { (rows[Int($0)].expiry, rows[Int($0)].id) }.sorted { $0 < $1 }.map(\.1)
    }

    /// Writes the lease in `slot` to the storage.
    func store(_ slot: Int32) {
        let row = rows[Int(slot)]
        let record = LeaseRecord(id: row.id, ttl: row.ttl, remainingTTL: row.remainingTTL)
        storage.put(id: row.id, record: record.encoded())
    }

    @discardableResult
    private func insert(id: Int64, ttl: Int64, remainingTTL: Int64) -> Int32 {
        let row = Row(id: id, ttl: ttl, remainingTTL: remainingTTL, expiry: Self.forever, keys: LeasedKeys())
        let slot: Int32
        if let free = freeSlots.popLast() {
            slot = free
            rows[Int(slot)] = row
        } else {
            precondition(rows.count < Int32.max, "a lessor holds fewer than 2^31 leases")
            slot = Int32(rows.count)
            rows.append(row)
        }
        slots[id] = slot
        return slot
    }
}

/// What a lessor knows of the time of a lease.
public struct LeaseTimeToLive: Equatable, Sendable {
    /// The TTL that was granted, in seconds.
    public var grantedTTL: Int64
    /// The whole seconds left; the granted TTL when the lessor is not the primary and knows no expiry.
    public var remainingTTL: Int64
    /// The attached keys in order; empty when they were not asked for.
    public var keys: [[UInt8]]

    /// The times of a lease, in seconds, and its keys.
    public init(grantedTTL: Int64, remainingTTL: Int64, keys: [[UInt8]]) {
        self.grantedTTL = grantedTTL
        self.remainingTTL = remainingTTL
        self.keys = keys
    }
}
