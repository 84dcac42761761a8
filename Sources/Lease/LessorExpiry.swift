// The part of the lessor that only the primary uses: renewal, expiry, and taking the primary's office.

/// What renewing a lease gives.
public struct LeaseRenewal: Equatable, Sendable {
    /// The TTL that the lease has again, in seconds.
    public var ttl: Int64
    /// Whether a checkpoint of the lease is recorded that must be cleared through the log (a remaining TTL of 0).
    public var clearsCheckpoint: Bool

    /// A renewal to `ttl` seconds.
    public init(ttl: Int64, clearsCheckpoint: Bool) {
        self.ttl = ttl
        self.clearsCheckpoint = clearsCheckpoint
    }
}

extension Lessor {
    /// The most expiries per second that a new primary plans. Fewer than can be revoked, so that leases which pile up
    /// for other reasons still find room.
    static let plannedExpiriesPerSecond = revokesPerSecond * 3 / 4

    /// Gives the lease its full TTL again.
    ///
    /// A lease that has run out is refused even when its revoke is not applied yet: clients may already have seen it
    /// end.
    public func renew(id: Int64, now: Int64) throws(LeaseError) -> LeaseRenewal {
        guard isPrimary else { throw .notPrimary }
        guard let slot = slots[id] else { throw .leaseNotFound(id) }
        let row = rows[Int(slot)]
        guard row.expiry > now else { throw .leaseExpired(id) }
        let renewed = now.adding(seconds: row.ttl)
        rows[Int(slot)].expiry = renewed
        expiries.set(slot: slot, deadline: renewed, tie: id)
        return LeaseRenewal(ttl: row.ttl, clearsCheckpoint: row.remainingTTL > 0)
    }

    /// Makes this lessor the primary: every lease starts again with its TTL (what was left at its last checkpoint)
    /// and `extend` milliseconds on top, the time in which nobody could renew.
    ///
    /// Leases that would run out together are spread: no second sees more than three quarters of the revoke rate.
    public func promote(extend: Int64, now: Int64) {
        isPrimary = true
        plannedAt = now
        for slot in slots.values { start(slot, extend: extend, now: now) }
        guard slots.count > Self.plannedExpiriesPerSecond else { return }
        let order = slots.values.sorted { expiryOrder($0) < expiryOrder($1) }
        for index in Self.plannedExpiriesPerSecond..<order.count {
            let slot = order[index]
            let earliest = rows[Int(order[index - Self.plannedExpiriesPerSecond])].expiry.adding(seconds: 1)
            guard rows[Int(slot)].expiry < earliest else { continue }
            rows[Int(slot)].expiry = earliest
            expiries.set(slot: slot, deadline: earliest, tie: rows[Int(slot)].id)
        }
    }

    /// Makes this lessor one that only follows the log: no lease runs out here any more.
    public func demote() {
        isPrimary = false
        for slot in slots.values { rows[Int(slot)].expiry = Self.forever }
        expiries.removeAll()
        checkpoints.removeAll()
    }

    /// At most `limit` leases that have run out, the earliest first, for their revokes to be proposed.
    ///
    /// A lease is handed out again after the retry interval for as long as its revoke is not applied.
    public func expired(now: Int64, limit: Int) -> [Int64] {
        var ids: [Int64] = []
        let retry = now.adding(milliseconds: max(1, configuration.revokeRetryInterval))
        while ids.count < limit, let first = expiries.first, first.deadline <= now {
            ids.append(first.tie)
            expiries.set(slot: first.slot, deadline: retry, tie: first.tie)
        }
        return ids
    }

    /// When ``expired(now:limit:)`` has something to give, in milliseconds and not before `now`; nil while nothing can
    /// run out.
    public func nextExpiry(now: Int64) -> Int64? {
        expiries.first.map { max($0.deadline, now) }
    }

    /// Sets the expiry of a lease whose term begins now.
    func start(_ slot: Int32, extend: Int64, now: Int64) {
        let row = rows[Int(slot)]
        let seconds = row.remainingTTL > 0 ? row.remainingTTL : row.ttl
        let expiry = now.adding(milliseconds: max(0, extend)).adding(seconds: seconds)
        rows[Int(slot)].expiry = expiry
        expiries.set(slot: slot, deadline: expiry, tie: row.id)
        scheduleCheckpoint(slot, now: now)
    }

    private func expiryOrder(_ slot: Int32) -> (Int64, Int64) {
        (rows[Int(slot)].expiry, rows[Int(slot)].id)
    }
}

extension Int64 {
    /// This time and `milliseconds`, at most the last time that is not ``Lessor/forever``.
    func adding(milliseconds: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(milliseconds)
        return overflow ? Lessor.forever - 1 : Swift.min(sum, Lessor.forever - 1)
    }

    /// This time and `seconds`, at most the last time that is not ``Lessor/forever``.
    func adding(seconds: Int64) -> Int64 {
        let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        return adding(milliseconds: overflow ? Int64.max : milliseconds)
    }
}
