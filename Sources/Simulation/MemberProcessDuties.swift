import Backend
import EtcdAPI
import Lease
import Member
import Membership
import RaftMessages

/// What the member's thread does besides its turns: commits of the backend, snapshots, leases, and changes of the members.
extension MemberProcess {
    // MARK: The backend's commits

    func commitIfDue() {
        switch schedule.beginIfDue(core, now: now) {
        case nil: return
        case .nothing(let bodies):
            for body in bodies { body(self) }
        case .commit(let job, let plan): order(.commit(job, plan?.snapshot()))
        }
    }

    func finishCommit(_ job: CommitJob, _ snapshot: Snapshot?) {
        for body in schedule.finishCommit(job, of: core) { body(self) }
        if let snapshot { order(.saveSnapshot(snapshot)) }
        takeWritten()
    }

    /// Rewrites the database file while the member goes on, as `Maintenance.Defragment` does. `begins` is called right
    /// before the first step.
    func defragment(_ begins: @escaping () -> Void = {}) {
        guard !isDefragmenting else { return }
        isDefragmenting = true
        // Databases are small here, and are to take many steps all the same.
        let piece = (bytes: 1 + random.below(4_000), records: 1 + random.below(40))
        schedule.await { process in
            process.order(.defragment(process.core.applier.backend.beginDefragmentation(piece: piece), begins))
        }
        wake(at: world.simulator.now)
    }

    func finishDefragmentation(_ work: Defragmentation, isDone: Bool) {
        isDefragmenting = false
        guard isDone else { return }
        core.applier.backend.finishDefragmentation(work)
        core.applier.store.publish()
        world.recorder.note(.defragmented, machine.number)
    }

    // MARK: Changes of the members

    /// Has `propose` propose a change of the members; `answer` is told whether it was made.
    func change(
        _ propose: (MemberCore, _ now: Int64) throws(MembershipChangeError) -> UInt64,
        _ answer: @escaping (Bool) -> Void
    ) {
        do throws(MembershipChangeError) {
            changes[try propose(core, now)] = answer
        } catch {
            answer(false)
        }
    }

    func finishMembership(_ output: MemberCore.Output) {
        for result in output.changes {
            guard let answer = changes.removeValue(forKey: result.id) else { continue }
            if case .success = result.members { answer(true) } else { answer(false) }
        }
        if output.removedSelf && stopsAt == nil { stopsAt = now + Self.removalDelay }
    }

    // MARK: Snapshots of a leader

    func sendSnapshot(_ message: Message) {
        do {
            world.send(message, with: try core.applier.backend.snapshot(), from: self)
        } catch {
            world.recorder.violate("m\(machine.number) cannot read its database for a snapshot: \(error)")
        }
    }

    /// Tells the core what is written; a snapshot is opened by the backend's thread first.
    func takeWritten() {
        while isAlive, let written = schedule.nextWritten() {
            switch written {
            case .tell(let message): tellWritten(message)
            case .restore(let snapshot):
                order(.restore(snapshot, core.stateMachine, core.applier.store.publisher))
            }
        }
    }

    func tellWritten(_ message: Message, restored: RestoredState? = nil) {
        do throws(SnapshotInstallationError) {
            try core.appended(message, restored: restored)
        } catch {
            world.recorder.violate("m\(machine.number) cannot install a snapshot: \(error)")
        }
    }

    /// The state machine is another one than before.
    func followRestoration() {
        world.recorder.note(.snapshotInstalled, machine.number, core.appliedIndex)
        watch.hasMissed = true
        sendToWatch(nil)
        order(.removeSentDatabases(below: core.snapshotIndex))
    }

    // MARK: Leases

    /// A leader that was replaced without knowing it would promise time that its successor does not give, so it
    /// confirms first that it still leads.
    func renew(_ lease: Int64, _ reply: @escaping (Reply) -> Void) {
        guard core.isLeader else { return reply(.failure(.noLeader)) }
        whenCurrent { [self] error in
            if let error { reply(.failure(error)) } else { renewHere(lease, reply) }
        }
    }

    private func renewHere(_ lease: Int64, _ reply: (Reply) -> Void) {
        guard core.isLeader, core.applier.lessor.isPrimary else { return reply(.failure(.noLeader)) }
        var ttl = (try? core.applier.lessor.timeToLive(id: lease, now: now, keys: false))?.grantedTTL ?? 0
        if world.settings.sabotage != .renewsNothing {
            ttl = (try? core.applier.lessor.renew(id: lease, now: now))?.ttl ?? 0
        }
        var response = Etcdserverpb_LeaseKeepAliveResponse()
        response.id = lease
        response.ttl = ttl
        guard let bytes: [UInt8] = try? response.serializedBytes() else { return }
        reply(.success(bytes))
    }
}
