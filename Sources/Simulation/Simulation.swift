import Backend
import Bolt
import Linearizability
import MVCC

/// One run of a cluster from a seed: trouble for a while, then peace, and a look at what is left.
public struct Simulation {
    /// How much the linearizability checker may look at for one set of keys; few histories need more.
    private static let searchLimit = 20_000

    private let seed: UInt64
    private let world: World
    private let faults: Faults
    private let clients: [SimulatedClient]

    /// A run that is decided by `seed`; `trace` gets a line for each thing that happens.
    public init(
        seed: UInt64, settings: SimulationSettings = SimulationSettings(), trace: ((String) -> Void)? = nil
    ) throws {
        self.seed = seed
        let world = try World(seed: seed, settings: settings, trace: trace)
        self.world = world
        faults = Faults(world: world)
        var clients: [SimulatedClient] = []
        func add(_ count: Int, _ make: (Int) -> SimulatedClient) {
            for _ in 0..<count { clients.append(make(clients.count + 1)) }
        }
        add(settings.registerClients) { RegisterClient(number: $0, world: world) }
        add(settings.leaseClients) { LeaseClient(number: $0, world: world) }
        add(settings.watchClients) { WatchClient(number: $0, world: world) }
        add(1) { CompactionClient(number: $0, world: world) }
        self.clients = clients
    }

    /// Runs to the end and says what came of it.
    public func run() -> SimulationReport {
        for machine in world.members { machine.start() }
        for client in clients { client.begin() }
        faults.begin()
        world.simulator.run(until: world.settings.duration)
        let election = heal()
        settle()
        if world.recorder.violation == nil { compareMembers() }
        let check =
            world.recorder.violation == nil
            ? HistoryCheck(world.history, limit: Self.searchLimit) : HistoryCheck(History())
        if let found = check.violations.first { world.recorder.violate("the history is not linearizable: \(found)") }
        var report = SimulationReport(seed: seed, recorder: world.recorder)
        report.operations = world.recorder.count(.invoked)
        report.undecidedHistories = check.undecided.count
        report.elections = world.recorder.count(.becameLeader)
        report.entries = world.observer.committed.count
        report.electionMilliseconds = election / 1_000
        report.slowElection = election > 2 * SimulationSettings.electionTimeout
        for kind in Faults.Kind.allCases { report.faults["\(kind)"] = faults.counts[kind.rawValue] }
        for machine in world.machines { machine.discard() }
        world.simulator.end()
        return report
    }

    private func runUntil(_ limit: Int64, _ condition: () -> Bool) -> Bool {
        let end = world.simulator.now + limit
        while world.recorder.violation == nil {
            if condition() { return true }
            if world.simulator.now >= end { return false }
            world.simulator.run(until: world.simulator.now + 10_000)
        }
        return true
    }

    /// Ends all trouble; returns how long it took until there was a leader.
    private func heal() -> Int64 {
        faults.end()
        let healed = world.simulator.now
        let isLed = runUntil(SimulationSettings.longestElection) { world.leader != nil }
        world.recorder.check(
            isLed, "no leader \(SimulationSettings.longestElection / 1_000) ms after everything healed")
        return world.simulator.now - healed
    }

    /// Lets everything come to rest: a last write through each member, and all members and watchers at the same point.
    private func settle() {
        // Clients go on for a moment with a healthy cluster.
        world.simulator.run(until: world.simulator.now + 1_000_000)
        for client in clients { client.stop() }
        let last = world.members.map { machine in
            let write = LastWrite(number: 100 + machine.number, world: world)
            write.begin(through: machine)
            return write
        }
        let isQuiet = runUntil(SimulationSettings.longestSettling) {
            guard last.allSatisfy({ $0.isDone || $0.machine.retired != nil }) else { return false }
            guard membersAgree else { return false }
            let applied = Set(world.members.map { $0.process?.core.appliedIndex ?? 0 })
            guard applied == [UInt64(world.observer.committed.count)] else { return false }
            let revision = world.observer.model.revision
            guard clients.allSatisfy({ ($0 as? WatchClient)?.hasSeen(revision) ?? true }) else { return false }
            return world.observer.model.leases.isEmpty
        }
        world.recorder.check(isQuiet, "the cluster does not come to rest: \(restlessness(last))")
    }

    /// Whether those run that are in the cluster, and no others.
    private var membersAgree: Bool {
        guard let cluster = world.newestCluster else { return false }
        let running = world.machines.filter(\.isRunning).map(\.memberID)
        return Set(running) == Set(cluster.members.keys) && !cluster.members.values.contains(where: \.isLearner)
    }

    private func restlessness(_ last: [LastWrite]) -> String {
        let applied = world.members.map { $0.process.map { "\($0.core.appliedIndex)" } ?? "down" }
        let writes = last.map { $0.isDone ? "done" : "waiting" }
        let members = world.newestCluster?.sortedMembers.map { "\($0.id)\($0.isLearner ? "L" : "")" } ?? []
        return
            "members \(members) on \(world.members.map { "m\($0.number) \($0.memberID)" }), applied \(applied) of \(world.observer.committed.count), last writes \(writes), "
            + "leases \(world.observer.model.leases.keys.sorted()), revision \(world.observer.model.revision)"
    }

    // MARK: The members at the end

    /// All members hold the same, it is what the model says, and their databases are sound.
    private func compareMembers() {
        let model = world.observer.model
        let expected = model.contents(at: model.revision)
        var hashes: [RevisionHash] = []
        for machine in world.machines {
            guard let process = machine.process else { continue }
            do {
                let store = process.core.applier.store
                while store.compactionStep() {}
                hashes.append(try store.view().hashByRevision(0))
                world.recorder.check(
                    try process.contents() == expected, "m\(machine.number) holds other keys than the model")
                try process.commitAll()
                let findings = try Check.findings(in: process.core.applier.backend.database)
                world.recorder.check(findings.isEmpty, "m\(machine.number)'s database is damaged: \(findings)")
            } catch {
                world.recorder.violate("m\(machine.number) cannot be read: \(error)")
            }
        }
        for hash in hashes {
            world.recorder.check(hash == hashes[0], "the members' hashes differ: \(hashes)")
            world.recorder.mix(UInt64(hash.hash))
        }
    }
}

/// A write and a read through one member that must succeed once nothing is broken.
private final class LastWrite: SimulatedClient {
    private(set) var isDone = false
    private var target: SimulatedMachine?

    func begin(through machine: SimulatedMachine) {
        stay(with: machine)
        call { process, reply in
            process.propose(
                .put, Requests.put("x\(process.machine.number)", "last"), takesSpace: true, reply: reply)
        } completion: { [self] outcome in
            if case .success = outcome { isDone = true } else { begin(through: machine) }
        }
    }
}
