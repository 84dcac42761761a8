import Backend
import Configuration
import Member
import Membership
import RaftMessages

/// Everything in a simulated run that is not a client: machines, network, and those who watch them.
final class World {
    let settings: SimulationSettings
    let recorder: Recorder
    let simulator: Simulator
    let network: SimulatedNetwork
    let observer: RaftObserver
    let leases: LeaseObserver
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
            simulator: simulator, capacity: settings.members, latency: random.pick([150, 400, 1_000, 4_000]))
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
        for (number, name) in names.enumerated() {
            let url = "http://127.0.0.1:\(2380 + number)"
            let arguments = [
                "--name", name, "--data-dir", "data", "--initial-cluster", cluster,
                "--initial-advertise-peer-urls", url, "--snapshot-count", "\(snapshotCount)",
                "--snapshot-catchup-entries", "\(catchUpEntries)",
            ]
            guard case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: [:])
            else { throw StartError("the arguments do not start a member") }
            let members = try configuration.initialCluster().members(token: configuration.initialClusterToken)
            guard let id = members.first(where: { $0.name == name })?.id else {
                throw StartError("the initial cluster does not name \(name)")
            }
            numbers[id] = number
            machines.append(
                SimulatedMachine(
                    number: number, name: name, memberID: id, configuration: configuration, world: self,
                    synchronization: synchronization))
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
