import Disk

/// What goes wrong in a run, when and for how long: all drawn from the seed.
final class Faults {
    /// The kinds of trouble.
    enum Kind: Int, CaseIterable {
        /// A process is killed and started again.
        case kill
        /// A machine loses power; what was not synchronised is lost in part.
        case powerLoss
        /// Power goes in the middle of one of the next calls to the disk.
        case powerLossInCall
        /// All machines lose power at once.
        case powerLossOfAll
        /// A member is cut off.
        case isolation
        /// The leader is cut off.
        case isolationOfLeader
        /// A member hears nothing, but is heard.
        case deafness
        /// A member is not heard, but hears.
        case muteness
        /// Two members do not reach each other.
        case cut
        /// A connection breaks.
        case brokenConnection
        /// The network is slow.
        case slowness
        /// The network loses much.
        case loss
        /// A synchronisation takes long.
        case stall
        /// A disk is slow for a while.
        case slowDisk
        /// A disk is full for a while.
        case fullDisk
        /// A call to a disk fails.
        case diskError
        /// A process stands still and then goes on.
        case pause
        /// The leader stands still and then goes on.
        case pauseOfLeader
        /// The leadership is handed on.
        case transfer
        /// A database file is rewritten.
        case defragmentation
        /// A database file is rewritten, and meanwhile power goes, a call to the disk fails, or the process is killed.
        case brokenDefragmentation
        /// A member is added: a voter, or a learner that is promoted later.
        case addition
        /// A member is removed.
        case removal
    }

    private unowned let world: World
    private var random: SimulationRandom
    private var kinds: [Kind] = []
    private var interval: Int64 = 0
    private var isOver = false
    /// How often each kind happened.
    private(set) var counts = [Int](repeating: 0, count: Kind.allCases.count)
    private let usualLatency: Int64
    private var transfers: UInt64 = 0

    init(world: World) {
        self.world = world
        random = world.simulator.makeRandom()
        usualLatency = world.network[0, 0].latency
        // Not all kinds in all runs: some bugs need many of one kind and none of another.
        kinds = Kind.allCases.filter { _ in random.one(in: 2) }
        if kinds.isEmpty { kinds = Kind.allCases }
        interval = random.pick([150_000, 400_000, 1_000_000])
    }

    func begin() {
        world.simulator.after(random.delay(around: interval)) { [self] in
            guard !isOver else { return }
            strike(random.pick(kinds))
            begin()
        }
    }

    private func strike(_ kind: Kind) {
        counts[kind.rawValue] += 1
        let machine = random.pick(world.members)
        world.recorder.note(.fault, machine.number, UInt64(kind.rawValue), 0, 0, "\(kind)")
        switch kind {
        case .kill: stop(machine) { $0.kill() }
        case .powerLoss: stop(machine) { $0.losePower() }
        case .powerLossInCall: machine.disk.faults.powerLoss = 1 + random.below(30)
        case .powerLossOfAll: for machine in world.members { stop(machine) { $0.losePower() } }
        case .isolation, .isolationOfLeader, .deafness, .muteness, .cut: partition(kind, machine)
        case .brokenConnection:
            let other = random.pick(world.machines)
            if other !== machine { world.network.breakStream(machine.number, other.number) }
        case .slowness, .loss: worsenNetwork(kind)
        case .stall, .slowDisk, .fullDisk, .diskError: troubleDisk(kind, machine)
        case .pause: machine.process?.pause(for: random.within(50_000...4_000_000))
        case .pauseOfLeader: leading?.process?.pause(for: random.within(50_000...4_000_000))
        case .transfer: transfer()
        case .defragmentation: machine.process?.send(.perform { $0.defragment() })
        case .brokenDefragmentation: breakDefragmentation(machine)
        case .addition: world.membership.add()
        case .removal: world.membership.remove()
        }
    }

    private var leading: SimulatedMachine? {
        world.machines.first { $0.process?.core.isLeader ?? false }
    }

    private func stop(_ machine: SimulatedMachine, _ how: (SimulatedMachine) -> Void) {
        guard machine.isRunning else { return }
        how(machine)
        machine.start(after: random.delay(around: 400_000))
    }

    private func transfer() {
        guard let process = leading?.process else { return }
        let target = random.pick(world.members).memberID
        transfers += 1
        let token = transfers
        process.send(.perform { try? $0.core.moveLeader(to: target, token: token, now: $0.now) })
    }

    // MARK: The network

    private func partition(_ kind: Kind, _ machine: SimulatedMachine) {
        var blocked: [(Int, Int)] = []
        let chosen = kind == .isolationOfLeader ? leading ?? machine : machine
        let others = world.machines.map(\.number).filter { $0 != chosen.number }
        switch kind {
        case .isolation, .isolationOfLeader:
            for other in others { blocked += [(chosen.number, other), (other, chosen.number)] }
        case .deafness: for other in others { blocked.append((other, chosen.number)) }
        case .muteness: for other in others { blocked.append((chosen.number, other)) }
        default:
            let other = random.pick(others)
            blocked = [(chosen.number, other), (other, chosen.number)]
        }
        for (from, to) in blocked { world.network[from, to].isBlocked = true }
        later { [self] in
            for (from, to) in blocked { world.network[from, to].isBlocked = false }
        }
    }

    private func worsenNetwork(_ kind: Kind) {
        let latency = kind == .slowness ? random.within(5_000...150_000) : usualLatency
        let loss = kind == .loss ? random.pick([2, 4, 20]) : 0
        setNetwork(latency: latency, lossOneIn: loss)
        later { [self] in setNetwork(latency: usualLatency, lossOneIn: 0) }
    }

    private func setNetwork(latency: Int64, lossOneIn: Int) {
        forEachLink { from, to in
            world.network[from, to].latency = latency
            world.network[from, to].lossOneIn = lossOneIn
        }
    }

    private func forEachLink(_ body: (Int, Int) -> Void) {
        for from in world.machines { for to in world.machines where from !== to { body(from.number, to.number) } }
    }

    // MARK: Disks

    private func troubleDisk(_ kind: Kind, _ machine: SimulatedMachine) {
        switch kind {
        case .stall:
            machine.diskSpeed.stalledUntil = world.simulator.now + random.within(100_000...4_000_000)
        case .slowDisk:
            let usual = machine.diskSpeed.synchronization
            machine.diskSpeed.synchronization = random.within(10_000...150_000)
            later { machine.diskSpeed.synchronization = min(usual, machine.diskSpeed.synchronization) }
        case .fullDisk:
            machine.diskIsFaulty = true
            machine.disk.faults.spaceLimit = machine.disk.bytesUsed + random.below(40_000)
            later { machine.disk.faults.spaceLimit = nil }
        default:
            machine.diskIsFaulty = true
            machine.disk.faults.failing = (1 + random.below(60), random.pick([5, 28]))
        }
    }

    /// Something goes wrong within the next calls to the disk from the first step on.
    private func breakDefragmentation(_ machine: SimulatedMachine) {
        let call = 1 + random.below(60)
        let delay = random.within(0...60_000)
        let way = random.below(3)
        let code: Int32 = random.pick([5, 28])
        machine.process?.send(
            .perform { [self] process in
                process.defragment { [self] in
                    guard !isOver else { return }
                    switch way {
                    case 0: machine.disk.faults.powerLoss = call
                    case 1:
                        machine.diskIsFaulty = true
                        machine.disk.faults.failing = (call, code)
                    default:
                        process.later(delay) { [self] in
                            if !isOver { stop(machine) { $0.kill() } }
                        }
                    }
                }
            })
    }

    // MARK: The end of trouble

    /// Plans the end of a fault.
    private func later(_ undo: @escaping () -> Void) {
        world.simulator.after(random.within(100_000...4_000_000)) { [self] in
            if !isOver { undo() }
        }
    }

    /// Everything works from now on, and every member that is down is started.
    func end() {
        isOver = true
        world.recorder.note(.healed, 0)
        forEachLink { from, to in world.network[from, to].isBlocked = false }
        setNetwork(latency: usualLatency, lossOneIn: 0)
        for machine in world.machines {
            machine.diskSpeed.stalledUntil = 0
            machine.diskSpeed.synchronization = min(machine.diskSpeed.synchronization, 8_000)
            machine.disk.faults.failing = nil
            machine.disk.faults.spaceLimit = nil
            if machine.disk.faults.powerLoss != nil { machine.disk.faults.powerLoss = nil }
            machine.process?.resume()
            if machine.memberID != 0 { machine.start(after: 0) }
        }
    }
}
