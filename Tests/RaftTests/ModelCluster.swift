import RaftMessages

@testable import Raft

/// What a schedule may do to a cluster.
struct ModelOptions {
    var asynchronous = false
    var preVote = true
    var checkQuorum = true
    var changes = true
    var crashes = true
    var loss = true
    /// Elections at every turn, so that many leaders leave entries behind that no one else has.
    var elections = false
}

/// A property that did not hold.
struct ModelViolation: Error, CustomStringConvertible {
    var description: String
}

/// A cluster on a network that loses, duplicates and reorders, driven by a seeded random schedule. After every step the
/// properties of the Raft paper (figure 3) are checked against what any member ever did.
final class ModelCluster {
    private var random: SplitMix64
    private let options: ModelOptions
    private(set) var members: [ModelMember] = []
    private var network: [Message] = []
    private var separated: Set<UInt64> = []
    /// Whether all faults have ended.
    private var isMended = false
    private var proposals: UInt64 = 0
    private var oracle = ModelOracle()

    /// The network holds no more than this; then the oldest message is lost.
    private static let capacity = 400

    init(seed: UInt64, options: ModelOptions) throws {
        random = SplitMix64(seed: seed)
        self.options = options
        let voters: [UInt64] = [1, 2, 3]
        let digest = HistoryDigest()
        let first = Snapshot(
            data: digest.bytes,
            metadata: SnapshotMetadata(confState: ConfState(voters: voters), index: 2, term: 1))
        for id in UInt64(1)...5 {
            var timeouts = SplitMix64(seed: seed &* 31 &+ id)
            var configuration = Configuration(id: id, electionTicks: 5) { bound in
                Int.random(in: 0..<bound, using: &timeouts)
            }
            configuration.asynchronousStorageWrites = options.asynchronous
            configuration.preVote = options.preVote
            configuration.checkQuorum = options.checkQuorum
            configuration.maximumInflightMessages = 4
            configuration.maximumMessageSize = 60
            configuration.maximumCommittedSize = 200
            configuration.maximumUncommittedSize = 400
            configuration.stepDownOnRemoval = id % 2 == 0
            members.append(try ModelMember(configuration, first: id <= 3 ? first : nil))
        }
    }

    private func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    private func anyMember() -> ModelMember { members[Int.random(in: 0..<members.count, using: &random)] }

    private func member(_ id: UInt64) -> ModelMember? {
        members.first { $0.id == id }
    }

    // MARK: Schedule

    /// Does one thing by chance, and checks.
    func step() throws {
        switch Int.random(in: 0..<200, using: &random) {
        case 0..<26: anyMember().node.tick()
        case 26..<86: try deliverAny()
        case 86..<150: try work(anyMember())
        case 150..<164: propose(at: anyMember())
        case 164..<172: if options.changes { proposeChange(at: anyMember()) }
        case 172..<180: read(at: anyMember())
        case 180..<186: try anyMember().compact(keeping: UInt64.random(in: 0..<4, using: &random))
        case 186..<188: if options.crashes { try crash(anyMember()) }
        case 188..<190: if options.loss { separate() }
        case 190: separated = []
        case 191: anyMember().node.transferLeadership(to: anyMember().id)
        case 192: anyMember().node.forgetLeader()
        case 193: anyMember().node.campaign()
        default: if options.elections { anyMember().node.campaign() }
        }
        try check()
    }

    private func crash(_ member: ModelMember) throws {
        try member.crash()
        oracle.noteRestart(member)
    }

    /// Cuts the members in two groups; what is on its way between them still arrives.
    private func separate() {
        separated = []
        for member in members where chance(50) { separated.insert(member.id) }
    }

    private func propose(at member: ModelMember) {
        proposals += 1
        let count = UInt64.random(in: 1...3, using: &random)
        let batch = (0..<count).map { part in
            withUnsafeBytes(of: proposals.bigEndian) { Array($0.suffix(4)) } + [UInt8(part)]
        }
        // A member without a leader refuses, which is as good as not having asked.
        try? member.node.propose(batch)
    }

    private func proposeChange(at member: ModelMember) {
        let types: [ConfigurationChangeType] = [.addNode, .addNode, .removeNode, .addLearnerNode]
        var changes: [ConfigurationChangeSingle] = []
        for _ in 0..<Int.random(in: 0...2, using: &random) {
            let type = types[Int.random(in: 0..<types.count, using: &random)]
            changes.append(ConfigurationChangeSingle(type: type, nodeID: anyMember().id))
        }
        let transitions: [ConfigurationChangeTransition] = [.auto, .jointImplicit, .jointExplicit]
        let transition = changes.isEmpty ? .auto : transitions[Int.random(in: 0..<3, using: &random)]
        try? member.node.proposeConfigurationChange(
            ConfigurationChangeV2(transition: transition, changes: changes))
    }

    private func read(at member: ModelMember) {
        let context = oracle.beginRead(at: members.map { $0.log.committed }.max() ?? 0)
        member.node.readIndex(context)
    }

    // MARK: Network

    private func isCut(_ message: Message) -> Bool {
        separated.contains(message.from) != separated.contains(message.to)
    }

    private func send(_ messages: [Message]) {
        for message in messages {
            if message.to == message.from || LocalThread.isLocal(message.from) {
                member(message.to)?.innerMessages.append(message)
                continue
            }
            if isCut(message) {
                lose(message)
                continue
            }
            network.append(message)
            if network.count > ModelCluster.capacity { lose(network.removeFirst()) }
        }
    }

    private func lose(_ message: Message) {
        guard let sender = member(message.from) else { return }
        if message.type == .snapshot {
            sender.node.reportSnapshot(message.to, succeeded: false)
        } else if chance(20) {
            sender.node.reportUnreachable(message.to)
        }
    }

    private func deliverAny() throws {
        guard !network.isEmpty else { return }
        let position = chance(60) ? 0 : Int.random(in: 0..<network.count, using: &random)
        let message = network.remove(at: position)
        if options.loss && chance(5) { return lose(message) }
        if options.loss && chance(5) { network.append(message) }
        deliver(message)
    }

    private func deliver(_ message: Message) {
        // Members refuse what comes from outside of their configuration.
        try? member(message.to)?.node.step(message)
        // The fate of every snapshot must be reported: nothing else is sent to its receiver until then.
        if message.type == .snapshot { member(message.from)?.node.reportSnapshot(message.to, succeeded: true) }
    }

    // MARK: Work

    private func work(_ member: ModelMember) throws {
        if !member.innerMessages.isEmpty && chance(50) {
            stepInner(member)
        } else if !member.appendWork.isEmpty && chance(50) {
            try processAppend(member)
        } else if !member.applyWork.isEmpty && chance(50) {
            try processApply(member)
        } else if member.node.hasReady {
            try processReady(member)
        }
    }

    private func stepInner(_ member: ModelMember) {
        // A member that was removed meanwhile refuses its own acknowledgements like any stranger's.
        try? member.node.step(member.innerMessages.removeFirst())
    }

    private func processReady(_ member: ModelMember) throws {
        let ready = member.node.ready()
        try oracle.note(ready.readStates)
        if options.asynchronous {
            for message in ready.messages {
                switch message.to {
                case LocalThread.append: member.appendWork.append(message)
                case LocalThread.apply: member.applyWork.append(message)
                default: send([message])
                }
            }
            return
        }
        let mayCrash = options.crashes && !isMended
        if mayCrash && chance(1) { return try crash(member) }
        try member.store(ready.hardState, ready.entries, ready.snapshot, sync: ready.mustSync || chance(50))
        if mayCrash && chance(1) { return try crash(member) }
        send(ready.messages)
        for entry in ready.committedEntries { try apply(entry, member) }
        member.node.advance()
    }

    private func processAppend(_ member: ModelMember) throws {
        let message = member.appendWork.removeFirst()
        let state = HardState(term: message.term, vote: message.vote, commit: message.commit)
        let sync = !message.responses.isEmpty || chance(50)
        try member.store(state.isEmpty ? nil : state, message.entries, message.snapshot, sync: sync)
        send(message.responses)
    }

    private func processApply(_ member: ModelMember) throws {
        let message = member.applyWork.removeFirst()
        // A snapshot may have been taken over meanwhile.
        for entry in message.entries where entry.index > member.appliedIndex { try apply(entry, member) }
        send(message.responses)
    }

    private func apply(_ entry: Entry, _ member: ModelMember) throws {
        try member.apply(entry)
        try oracle.noteApplied(entry, by: member)
    }

    // MARK: Checks

    private func check() throws {
        for member in members { try oracle.check(member) }
    }

    /// Mends everything and lets the cluster come to rest.
    /// - Returns: Whether what is proposed after that reaches every member of the configuration.
    func recovers() throws -> Bool {
        separated = []
        isMended = true
        for _ in 0..<300 {
            for member in members { member.node.tick() }
            try settle()
            if let leader = members.first(where: { $0.node.basicStatus.softState.role == .leader && isCurrent($0) }) {
                try? leader.node.propose([[0xff]])
                try settle()
                // A member that was added needs a snapshot whose configuration it is in.
                try leader.compact(keeping: 3)
                let status = leader.node.status
                let ids = status.configuration.voters.ids + Array(status.configuration.learners)
                let reached = ids.compactMap { member($0)?.appliedIndex }.min() ?? 0
                if !status.configuration.isJoint || !status.configuration.autoLeave,
                    reached == leader.log.lastIndex, reached == leader.log.committed
                {
                    return true
                }
            }
        }
        return false
    }

    private func isCurrent(_ leader: ModelMember) -> Bool {
        members.allSatisfy { $0.node.basicStatus.hardState.term <= leader.node.basicStatus.hardState.term }
    }

    private func settle() throws {
        for _ in 0..<200 {
            var isBusy = false
            for member in members {
                while member.node.hasReady || !member.appendWork.isEmpty || !member.applyWork.isEmpty
                    || !member.innerMessages.isEmpty
                {
                    try finish(member)
                    isBusy = true
                }
            }
            let messages = network
            network = []
            for message in messages {
                deliver(message)
                isBusy = true
            }
            try check()
            if !isBusy { return }
        }
    }

    private func finish(_ member: ModelMember) throws {
        if !member.innerMessages.isEmpty { stepInner(member) }
        if !member.appendWork.isEmpty { try processAppend(member) }
        if !member.applyWork.isEmpty { try processApply(member) }
        if member.node.hasReady { try processReady(member) }
    }

    /// The highest index that any member applied, to see that a schedule did something.
    var progress: UInt64 { members.map(\.appliedIndex).max() ?? 0 }
}
