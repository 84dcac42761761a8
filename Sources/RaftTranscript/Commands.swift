import Raft
import RaftMessages

extension TranscriptGroup {
    /// Carries out one command.
    func run(_ command: TranscriptCommand, input: [String]) throws {
        switch command.name {
        case "_breakpoint": break
        case "add-nodes": try addNodes(command)
        case "campaign": try first(command).node.campaign()
        case "compact":
            let member = try first(command)
            try member.storage.log.compact(to: number(command, 1))
            try writeLog(member)
        case "deliver-msgs": try deliverMessages(command)
        case "forget-leader": try first(command).node.forgetLeader()
        case "log-level": try setLevel(command.arguments.first?.key ?? "")
        case "process-ready": try forEach(command, "handling Ready", processReady)
        case "process-append-thread": try forEach(command, "processing append thread", processAppendThread)
        case "process-apply-thread": try forEach(command, "processing apply thread", processApplyThread)
        case "propose": try propose(command)
        case "propose-conf-change": try proposeChange(command, input)
        case "raft-log": try writeLog(first(command))
        case "raft-state": writeStates()
        case "report-unreachable": try first(command).node.reportUnreachable(number(command, 1))
        case "send-snapshot": try sendSnapshot(command)
        case "set-randomized-election-timeout": try setElectionTimeout(command)
        case "stabilize": try stabilize(command)
        case "status": output.write(Description.of(try first(command).node.status.progress))
        case "tick": try tick(first(command), Int(number(command, 1)))
        case "tick-election": try tick(first(command), first(command).configuration.electionTicks)
        case "tick-heartbeat": try tick(first(command), first(command).configuration.heartbeatTicks)
        case "transfer-leadership": try transferLeadership(command)
        default: throw TranscriptError("unknown command")
        }
    }

    // MARK: Arguments

    private func number(_ text: String) throws -> UInt64 {
        guard let number = UInt64(text) else { throw TranscriptError("\(text) is not a number") }
        return number
    }

    /// The plain word at `position` as a number.
    private func number(_ command: TranscriptCommand, _ position: Int) throws -> UInt64 {
        guard position < command.arguments.count else { throw TranscriptError("too few arguments") }
        return try number(command.arguments[position].key)
    }

    private func flag(_ text: String) throws -> Bool {
        switch text {
        case "true": return true
        case "false": return false
        default: throw TranscriptError("\(text) is neither true nor false")
        }
    }

    private func first(_ command: TranscriptCommand) throws -> TranscriptMember { try member(number(command, 0)) }

    /// The members that the plain words name.
    private func named(_ command: TranscriptCommand) throws -> [TranscriptMember] {
        try command.arguments.filter(\.values.isEmpty).map { try member(number($0.key)) }
    }

    /// Does `work` for each named member, under a heading each if there are several.
    private func forEach(
        _ command: TranscriptCommand, _ heading: String, _ work: (TranscriptMember) throws -> Void
    ) throws {
        let group = try named(command)
        for member in group {
            if group.count == 1 {
                try work(member)
            } else {
                output.write("> \(member.id) \(heading)\n")
                try output.indented { try work(member) }
            }
        }
    }

    // MARK: Members

    private func addNodes(_ command: TranscriptCommand) throws {
        let count = try Int(number(command, 0))
        var configuration = Configuration(id: 1, electionTicks: 3, heartbeatTicks: 1) { _ in 0 }
        configuration.maximumMessageSize = .max
        configuration.maximumCommittedSize = .max
        configuration.maximumInflightMessages = Int(Int32.max)
        configuration.preVote = false
        configuration.checkQuorum = false
        var snapshot = Snapshot()
        for argument in command.arguments.dropFirst() {
            for value in argument.values {
                switch argument.key {
                case "voters": snapshot.metadata.confState.voters.append(try number(value))
                case "learners": snapshot.metadata.confState.learners.append(try number(value))
                case "index":
                    snapshot.metadata.index = try number(value)
                    configuration.applied = snapshot.metadata.index
                case "content": snapshot.data = Array(value.utf8)
                default: try set(argument.key, value, in: &configuration)
                }
            }
        }
        try addMembers(count, configuration, snapshot)
    }

    private func set(_ key: String, _ value: String, in configuration: inout Configuration) throws {
        switch key {
        case "inflight": configuration.maximumInflightMessages = try Int(number(value))
        case "async-storage-writes": configuration.asynchronousStorageWrites = try flag(value)
        case "prevote": configuration.preVote = try flag(value)
        case "checkquorum": configuration.checkQuorum = try flag(value)
        case "max-committed-size-per-ready": configuration.maximumCommittedSize = try number(value)
        case "disable-conf-change-validation":
            configuration.disableConfigurationChangeValidation = try flag(value)
        case "step-down-on-removal": configuration.stepDownOnRemoval = try flag(value)
        case "read-only":
            switch value {
            case "safe": configuration.readIndexMode = .safe
            case "lease-based": configuration.readIndexMode = .leaseBased
            default: throw TranscriptError("invalid read-only option \"\(value)\"")
            }
        default: break
        }
    }

    private func setElectionTimeout(_ command: TranscriptCommand) throws {
        let member = try first(command)
        for argument in command.arguments where argument.key == "timeout" {
            for value in argument.values { try member.node.setRandomizedElectionTimeout(Int(number(value))) }
        }
    }

    private func tick(_ member: TranscriptMember, _ count: Int) throws {
        for _ in 0..<count { member.node.tick() }
    }

    private func transferLeadership(_ command: TranscriptCommand) throws {
        var from: UInt64?
        var to: UInt64?
        for argument in command.arguments {
            switch argument.key {
            case "from": from = try argument.values.first.map(number)
            case "to": to = try argument.values.first.map(number)
            default: break
            }
        }
        guard let from, let to else { throw TranscriptError("transfer-leadership needs from= and to=") }
        try member(from).node.transferLeadership(to: to)
    }

    // MARK: Proposals

    private func propose(_ command: TranscriptCommand) throws {
        guard command.arguments.count == 2 else { throw TranscriptError("expected exactly one key with no vals") }
        try first(command).node.propose([Array(command.arguments[1].key.utf8)])
    }

    private func proposeChange(_ command: TranscriptCommand, _ input: [String]) throws {
        let member = try first(command)
        var isV1 = false
        var transition = ConfigurationChangeTransition.auto
        for argument in command.arguments.dropFirst() {
            for value in argument.values {
                switch (argument.key, value) {
                case ("v1", _): isV1 = try flag(value)
                case ("transition", "auto"): transition = .auto
                case ("transition", "implicit"): transition = .jointImplicit
                case ("transition", "explicit"): transition = .jointExplicit
                case ("transition", _): throw TranscriptError("unknown transition \(value)")
                default: throw TranscriptError("unknown command \(argument.key)")
                }
            }
        }
        let changes = try input.flatMap { $0.split(separator: " ") }.map(change)
        guard isV1 else {
            try member.node.proposeConfigurationChange(
                ConfigurationChangeV2(transition: transition, changes: changes))
            return
        }
        guard changes.count == 1, transition == .auto else {
            throw TranscriptError("v1 conf change can only have one operation and no transition")
        }
        try member.node.proposeConfigurationChange(
            ConfigurationChange(type: changes[0].type, nodeID: changes[0].nodeID))
    }

    /// Reads `v1`, `l2`, `r3` or `u4`.
    private func change(_ word: Substring) throws -> ConfigurationChangeSingle {
        let types: [Character: ConfigurationChangeType] = [
            "v": .addNode, "l": .addLearnerNode, "r": .removeNode, "u": .updateNode,
        ]
        guard let letter = word.first, let type = types[letter], word.count > 1 else {
            throw TranscriptError("unknown input: \(word)")
        }
        return ConfigurationChangeSingle(type: type, nodeID: try number(String(word.dropFirst())))
    }

    // MARK: Messages

    private func deliverMessages(_ command: TranscriptCommand) throws {
        var recipients: [(id: UInt64, drop: Bool)] = []
        var type: MessageType?
        for argument in command.arguments {
            if argument.values.isEmpty { recipients.append((try number(argument.key), false)) }
            for value in argument.values {
                switch argument.key {
                case "drop": recipients.append((try number(value), true))
                case "type":
                    type = MessageType.allCases.first { $0.name == value }
                    if type == nil { throw TranscriptError("unknown message type \(value)") }
                default: break
                }
            }
        }
        var count = 0
        for (id, drop) in recipients { count += try deliver(to: id, type: type, drop: drop) }
        if count == 0 { output.write("no messages\n") }
    }

    private func sendSnapshot(_ command: TranscriptCommand) throws {
        let from = try first(command)
        let message = Message(
            type: .snapshot, to: try number(command, 1), from: from.id, term: from.node.basicStatus.hardState.term,
            snapshot: from.storage.latest)
        messages.append(message)
        output.write(Description.of(message))
    }

    private func stabilize(_ command: TranscriptCommand) throws {
        let level = output.level
        defer { output.level = level }
        for argument in command.arguments where argument.key == "log-level" {
            for value in argument.values { try setLevel(value) }
        }
        let group = try named(command)
        try stabilize(group.isEmpty ? members : group)
    }

    // MARK: Output

    private func setLevel(_ name: String) throws {
        guard
            let position = TranscriptOutput.names.firstIndex(of: name.uppercased()),
            let level = TranscriptOutput.Level(rawValue: position)
        else {
            throw TranscriptError(
                "log levels must be either of [\(TranscriptOutput.names.joined(separator: " "))]")
        }
        output.level = level
    }

    private func writeLog(_ member: TranscriptMember) throws {
        let log = member.storage.log
        guard log.lastIndex >= log.firstIndex else {
            output.write("log is empty: first index=\(log.firstIndex), last index=\(log.lastIndex)")
            return
        }
        let entries = try log.entries(log.firstIndex..<(log.lastIndex + 1), maximumSize: .max)
        output.write(Description.of(entries))
    }

    private func writeStates() {
        for member in members {
            let status = member.node.status
            let isVoter = status.configuration.voters.contains(member.id)
            output.write(
                "\(member.id): \(status.basic.softState.role.rawValue) (\(isVoter ? "Voter" : "Non-Voter")) "
                    + "Term:\(status.basic.hardState.term) Lead:\(status.basic.softState.leader)\n")
        }
    }
}
