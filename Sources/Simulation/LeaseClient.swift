import EtcdAPI

/// A client that holds a lease with a key on it: keeps it alive for a while, then lets it run out or revokes it.
final class LeaseClient: SimulatedClient {
    private var lease: Int64 = 0
    private var ttl: Int64 = 0
    private var renewals = 0
    private var count: Int64 = 0

    override func begin() {
        afterPause(around: 200_000) { [self] in grant() }
    }

    private func grant() {
        count += 1
        lease = Int64(number) * 1_000 + count
        ttl = random.within(2...4)
        renewals = random.below(12)
        let (lease, ttl) = (lease, ttl)
        let sent = world.simulator.now
        call { process, reply in
            process.propose(.leaseGrant, Requests.grant(lease, ttl: ttl), takesSpace: true, reply: reply)
        } completion: { [self] outcome in
            guard case .success = outcome else {
                move()
                return begin()
            }
            world.leases.kept(lease, until: sent + ttl * 1_000_000)
            world.recorder.note(.leaseGranted, -number, UInt64(lease), UInt64(ttl))
            attach()
        }
    }

    private func attach() {
        let (lease, number) = (lease, number)
        call { process, reply in
            process.propose(.put, Requests.put("l\(number)", "\(lease)", lease: lease), takesSpace: true, reply: reply)
        } completion: { [self] _ in
            afterPause(around: 100_000) { [self] in renew() }
        }
    }

    private func renew() {
        guard renewals > 0 else { return end() }
        renewals -= 1
        let (lease, ttl) = (lease, ttl)
        let sent = world.simulator.now
        call { process, reply in
            process.send(.keepAlive(lease, reply: reply))
        } completion: { [self] outcome in
            guard case .success(let bytes) = outcome,
                let response = try? Etcdserverpb_LeaseKeepAliveResponse(serializedBytes: bytes)
            else {
                move()
                return afterPause(around: 100_000) { [self] in renew() }
            }
            guard response.ttl > 0 else {
                world.recorder.note(.leaseGone, -number, UInt64(lease))
                return begin()
            }
            world.leases.kept(lease, until: sent + response.ttl * 1_000_000)
            world.recorder.note(.leaseRenewed, -number, UInt64(lease))
            afterPause(around: ttl * 1_000_000 / 4) { [self] in renew() }
        }
    }

    private func end() {
        let lease = lease
        if random.one(in: 2) {
            // It runs out.
            afterPause(around: (ttl + 2) * 1_000_000) { [self] in grant() }
        } else {
            world.leases.letGo(lease)
            call { process, reply in
                process.propose(.leaseRevoke, Requests.revoke(lease), takesSpace: false, reply: reply)
            } completion: { [self] _ in
                begin()
            }
        }
    }
}

/// What clients know of their leases, and what that says about when they may end.
final class LeaseObserver {
    private let simulator: Simulator
    private var keptUntil: [Int64: Int64] = [:]
    private var revokedAt: [Int64: Int64] = [:]
    private var letGo: Set<Int64> = []

    init(simulator: Simulator) {
        self.simulator = simulator
    }

    /// A client was told at a time when it could not be past that the lease lives until then, in microseconds.
    func kept(_ lease: Int64, until time: Int64) {
        keptUntil[lease] = max(keptUntil[lease] ?? 0, time)
        check(lease)
    }

    /// The client revokes the lease itself.
    func letGo(_ lease: Int64) { letGo.insert(lease) }

    /// The cluster revoked the lease.
    func revoked(_ lease: Int64) {
        revokedAt[lease] = simulator.now
        check(lease)
    }

    private func check(_ lease: Int64) {
        guard let kept = keptUntil[lease], let revoked = revokedAt[lease], !letGo.contains(lease) else { return }
        simulator.recorder.check(
            revoked >= kept,
            "lease \(lease) was revoked at \(Recorder.text(revoked)), though it was kept alive until \(Recorder.text(kept))"
        )
    }
}
