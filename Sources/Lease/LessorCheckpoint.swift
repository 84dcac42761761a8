// Checkpoints: the remaining TTL of long leases, recorded through the log so that a new primary does not give every
// lease its full term again.

/// A remaining TTL to be recorded through the log.
public struct LeaseCheckpoint: Equatable, Sendable {
    /// The lease.
    public var id: Int64
    /// The seconds left, rounded up.
    public var remainingTTL: Int64

    /// A checkpoint of lease `id` with `remainingTTL` seconds left.
    public init(id: Int64, remainingTTL: Int64) {
        self.id = id
        self.remainingTTL = remainingTTL
    }
}

extension Lessor {
    /// The checkpoints that are due, at most `limit` of them (one log entry's worth).
    public func dueCheckpoints(now: Int64, limit: Int = 1000) -> [LeaseCheckpoint] {
        var due: [LeaseCheckpoint] = []
        let interval = max(1, configuration.checkpointInterval)
        while due.count < limit, let first = checkpoints.first, first.deadline <= now {
            let row = rows[Int(first.slot)]
            // From when on a new primary would give an interval more than is left.
            let time = row.expiry.adding(seconds: -(row.remainingTTL > 0 ? row.remainingTTL : row.ttl))
                .adding(milliseconds: interval)
            if row.expiry <= now {
                checkpoints.remove(slot: first.slot)
            } else if time <= now {
                // The next one is scheduled when this one is applied.
                checkpoints.remove(slot: first.slot)
                due.append(LeaseCheckpoint(id: row.id, remainingTTL: (row.expiry - now + 999) / 1000))
            } else {
                checkpoints.set(slot: first.slot, deadline: time, tie: first.tie)
            }
        }
        return due
    }

    /// When a checkpoint is due, in milliseconds and not before `now`; nil when none is planned.
    public func nextCheckpoint(now: Int64) -> Int64? {
        checkpoints.first.map { max($0.deadline, now) }
    }

    /// Applies a checkpoint from the log: notes the remaining TTL (0 clears it), for good when it `persists`. An unknown
    /// lease is passed over, as it may have been revoked meanwhile.
    public func checkpoint(id: Int64, remainingTTL: Int64, persists: Bool = true, now: Int64) {
        guard let slot = slots[id] else { return }
        rows[Int(slot)].remainingTTL = min(max(0, remainingTTL), Self.maximumTTL)
        if persists { store(slot) }
        if isPrimary { scheduleCheckpoint(slot, now: now) }
    }

    /// Plans the next checkpoint of a lease that has more time left than the interval.
    func scheduleCheckpoint(_ slot: Int32, now: Int64) {
        guard recordsCheckpoints else { return }
        let row = rows[Int(slot)]
        let remaining = row.remainingTTL > 0 ? row.remainingTTL : row.ttl
        guard remaining > configuration.checkpointInterval / 1000 else {
            checkpoints.remove(slot: slot)
            return
        }
        let next = now.adding(milliseconds: max(1, configuration.checkpointInterval))
        checkpoints.set(slot: slot, deadline: next, tie: row.id)
    }

    /// Plans the checkpoints of all leases, or none.
    func planCheckpoints() {
        checkpoints.removeAll()
        guard recordsCheckpoints, isPrimary else { return }
        for slot in slots.values { scheduleCheckpoint(slot, now: plannedAt) }
    }
}
