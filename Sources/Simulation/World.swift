import Backend
import Configuration
import Linearizability
import Member
import Membership
import RaftMessages

/// Everything in a simulated run that is not a client: machines, network, and those who watch them.
final class World {
    /// For how much longer than in truth members pass for connected, in milliseconds.
    private static let connectedBefore: Int64 = 10_000

    let settings: SimulationSettings
    let recorder: Recorder
    let simulator: Simulator
    let network: SimulatedNetwork
    let observer: RaftObserver
    let leases: LeaseObserver
    /// What the register clients asked and were told.
    var history = History()
    private(set) lazy var membership = MembershipChanger(world: self)
    private(set) var machines: [SimulatedMachine] = []
    private var numbers: [UInt64: Int] = [:]
    /// The newest revision that any client was told of: whoever asks from now on must be told no older one.
    private(set) var newestRevision: Int64 = 1
    private var random: SimulationRandom

    init(seed: UInt64, settings: SimulationSettings, trace: ((String) -> Void)?) throws {
        self.settings = settings
        recorder = Recorder(trace: trace)
        simulator = Simulator(seed: seed, recorder: recorder)
        random = simulator.makeRandom()
        network = SimulatedNetwork(
            simulator: simulator, capacity: settings.members + settings.spares,
            latency: random.pick([150, 400, 1_000, 4_000]))
        observer = RaftObserver(recorder: recorder)
        leases = LeaseObserver(simulator: simulator)
        network.deliver = { [unowned self] to, message in deliver(message, to: to) }
        network.unreachable = { [unowned self] from, to in
            machines[from].process?.send(.unreachable(machines[to].memberID))
        }
        observer.revoked = { [unowned self] in leases.revoked($0) }
        try makeMachines()
    }

    private func makeMachines() throws {
        let names = (0..<settings.members).map { "m\($0)" }
        let cluster = names.enumerated().map { "\($1)=http://127.0.0.1:\(2380 + $0)" }.joined(separator: ",")
        // A database commit is two synchronisations, and elections must not wait for many of them.
        let synchronization: Int64 = random.pick([100, 500, 2_000, 8_000])
        // Few, so that members that were away need a snapshot.
        let snapshotCount = random.pick([30, 100, 100_000])
        let catchUpEntries = random.pick([1, 10, 50])
        for number in 0..<(settings.members + settings.spares) {
            let name = "m\(number)"
            let isSpare = number >= settings.members
            let url = Self.url(number)
            let arguments = [
                "--name", name, "--data-dir", "data", "--initial-cluster", isSpare ? "\(name)=\(url)" : cluster,
                "--initial-cluster-state", isSpare ? "existing" : "new",
                "--initial-advertise-peer-urls", url, "--snapshot-count", "\(snapshotCount)",
                "--snapshot-catchup-entries", "\(catchUpEntries)",
            ]
            guard case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: [:])
            else { throw StartError("the arguments do not start a member") }
            let members = try configuration.initialCluster().members(token: configuration.initialClusterToken)
            let id = isSpare ? 0 : members.first { $0.name == name }?.id ?? 0
            if !isSpare { numbers[id] = number }
            machines.append(
                SimulatedMachine(
                    number: number, name: name, memberID: id, configuration: configuration, world: self,
                    synchronization: synchronization))
        }
    }

    static func url(_ number: Int) -> String { "http://127.0.0.1:\(2380 + number)" }

    /// The machines whose members are in the cluster, as far as anyone knows.
    var members: [SimulatedMachine] { machines.filter { $0.memberID != 0 && $0.retired == nil } }

    /// A machine has a member now.
    func note(member id: UInt64, on machine: SimulatedMachine) {
        machine.memberID = id
        numbers[id] = machine.number
    }

    /// The cluster that the member of a machine joins when it is new.
    func joining(_ machine: SimulatedMachine) -> (cluster: RunningCluster, own: Membership.Member)? {
        guard machine.number >= settings.members, let cluster = newestCluster,
            let own = cluster.members[machine.memberID]
        else { return nil }
        return (RunningCluster(id: cluster.id, members: cluster.sortedMembers), own)
    }

    /// The list of members on the member that has applied most.
    var newestCluster: Cluster? {
        machines.compactMap(\.process).max { $0.core.appliedIndex < $1.core.appliedIndex }?.core.applier.cluster
    }

    /// Since when a member is connected with another, in milliseconds on the clock of the former.
    func activeSince(_ id: UInt64, on process: MemberProcess) -> Int64? {
        guard let number = numbers[id], let other = machines[number].process else { return nil }
        let own = process.machine.number
        guard !network[own, number].isBlocked, !network[number, own].isBlocked else { return nil }
        // A run is shorter than the time for which a member must be connected to count as healthy.
        return process.machine.clockOffset + other.startedAt / 1_000 - Self.connectedBefore
    }

    /// The others notice soon that a process has ended, unless the way to it is barred.
    func announceEnd(of machine: SimulatedMachine) {
        for other in machines where other !== machine {
            guard !network[other.number, machine.number].isBlocked, !network[machine.number, other.number].isBlocked
            else { continue }
            other.process?.later(2_000) { [unowned self] in
                if machine.process == nil { machines[other.number].process?.send(.gone(machine.memberID)) }
            }
        }
    }

    /// A client was told of a revision.
    func note(revision: Int64) { newestRevision = max(newestRevision, revision) }

    /// Takes a message of a member to the network.
    func send(_ message: Message, from machine: SimulatedMachine) {
        guard let to = numbers[message.to] else { return }
        network.send(message, from: machine.number, to: to)
    }

    /// Takes a leader's snapshot with its database to another member, which keeps the file before it takes the message.
    func send(_ message: Message, with database: BackendSnapshot, from process: MemberProcess) {
        guard let to = numbers[message.to] else { return }
        recorder.note(.snapshotSent, process.machine.number, UInt64(to), message.snapshot?.metadata.index ?? 0)
        let target = machines[to]
        network.transfer(from: process.machine.number, to: to) { [unowned self] isWhole in
            var succeeded = false
            if isWhole, let receiver = target.process, !receiver.isPaused {
                succeeded = receiver.receive(message, database)
                if succeeded { receiver.send(.message(message)) }
            }
            simulator.after(1_000) {
                if process.isAlive { process.send(.snapshotReported(to: message.to, succeeded: succeeded)) }
            }
        }
    }

    private func deliver(_ message: Message, to number: Int) -> Bool {
        guard let process = machines[number].process else { return false }
        if process.core.applier.cluster.removed.contains(message.from) {
            // As the transport refuses a removed member, and says so.
            if let sender = numbers[message.from] {
                simulator.after(1_000) { [unowned self] in machines[sender].retire() }
            }
            return true
        }
        process.send(.message(message))
        return true
    }

    // MARK: What is the case

    /// The member that leads, as it and a quorum see it, and that has applied an entry of its term.
    var leader: MemberProcess? {
        let processes = machines.compactMap(\.process)
        guard let leader = processes.filter({ $0.core.isLeader }).max(by: { $0.core.term < $1.core.term }) else {
            return nil
        }
        let followers = processes.filter {
            $0.core.term == leader.core.term && $0.core.leader == leader.core.settings.memberID
        }
        guard leader.core.hasAppliedInTerm, followers.count * 2 > leader.core.confState.voters.count else { return nil }
        return leader
    }
}
