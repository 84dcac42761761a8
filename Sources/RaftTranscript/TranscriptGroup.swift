import Raft
import RaftMessages

/// The group of members that a transcript drives, with the messages on their way between them.
public final class TranscriptGroup {
    var members: [TranscriptMember] = []
    var messages: [Message] = []
    let output = TranscriptOutput()

    public init() {}

    /// Carries out the command of `step`.
    /// - Returns: Its output, in lines.
    public func run(_ step: Transcript.Step) -> [String] {
        output.clear()
        var failure: String?
        do {
            try run(step.command, input: step.input)
            // Input lines are further commands, except where they say how to change the configuration.
            if step.command.name != "propose-conf-change" { try runEach(step.input, line: step.line + 1) }
        } catch {
            failure = "\(error)"
        }
        if let failure {
            if output.isQuiet { return lines(failure) }
            output.write(failure)
        }
        return output.text.isEmpty ? ["ok"] : lines(output.text)
    }

    private func runEach(_ commands: [String], line: Int) throws {
        for (offset, text) in commands.enumerated() {
            let command = try TranscriptCommand(text, line: line + offset)
            do {
                try run(command, input: [])
            } catch {
                if output.isQuiet { throw error }
                output.write("\(error)")
            }
        }
    }

    private func lines(_ text: String) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        return lines
    }

    func member(_ id: UInt64) throws -> TranscriptMember {
        guard id > 0, id <= UInt64(members.count) else { throw TranscriptError("no node \(id)") }
        return members[Int(id - 1)]
    }

    // MARK: Adding members

    /// Adds `count` members that start from `snapshot`, with the next free ids.
    func addMembers(_ count: Int, _ template: Configuration, _ snapshot: Snapshot) throws {
        var snapshot = snapshot
        let bootstrap = snapshot != Snapshot()
        if bootstrap {
            guard snapshot.metadata.index > 1 else {
                throw TranscriptError("index must be specified as > 1 due to bootstrap")
            }
            snapshot.metadata.term = 1
        }
        for _ in 0..<count {
            let storage = TranscriptStorage(first: snapshot)
            if bootstrap { try storage.log.applySnapshot(snapshot) }
            var configuration = template
            configuration.id = UInt64(members.count + 1)
            configuration.log = { [output] in output.log($0, $1) }
            configuration.logLevel = .debug
            members.append(try TranscriptMember(configuration, storage: storage))
        }
    }

    // MARK: Work

    func processReady(_ member: TranscriptMember) throws {
        let ready = member.node.ready()
        output.write(Description.of(ready))
        let isAsynchronous = member.configuration.asynchronousStorageWrites
        if !isAsynchronous {
            try member.store(ready.hardState ?? HardState(), ready.entries, ready.snapshot)
            try member.apply(ready.committedEntries)
        }
        for message in ready.messages {
            switch message.to {
            case LocalThread.append: member.appendWork.append(message)
            case LocalThread.apply: member.applyWork.append(message)
            default: messages.append(message)
            }
        }
        if !isAsynchronous { member.node.advance() }
    }

    func processAppendThread(_ member: TranscriptMember) throws {
        guard !member.appendWork.isEmpty else { return output.write("no append work to perform") }
        try process(member.appendWork.removeFirst()) { message in
            let state = HardState(term: message.term, vote: message.vote, commit: message.commit)
            try member.store(state, message.entries, message.snapshot)
        }
    }

    func processApplyThread(_ member: TranscriptMember) throws {
        guard !member.applyWork.isEmpty else { return output.write("no apply work to perform") }
        try process(member.applyWork.removeFirst()) { try member.apply($0.entries) }
    }

    private func process(_ message: Message, _ work: (Message) throws -> Void) throws {
        var request = message
        request.responses = []
        output.write("Processing:\n\(Description.of(request))\n")
        try work(request)
        output.write("Responses:\n")
        for response in message.responses { output.write(Description.of(response) + "\n") }
        messages += message.responses
    }

    // MARK: Messages

    /// Delivers to `id`, or drops, the messages of `type`, of all types if nil.
    /// - Returns: How many there were.
    @discardableResult
    func deliver(to id: UInt64, type: MessageType? = nil, drop: Bool = false) throws -> Int {
        let selected = messages.filter { isSelected($0, id, type, drop) }
        messages.removeAll { isSelected($0, id, type, drop) }
        for message in selected {
            output.write((drop ? "dropped: " : "") + Description.of(message) + "\n")
            if drop { continue }
            let receiver = try member(id)
            do throws(StepError) {
                try receiver.node.step(message)
            } catch {
                output.write("\(error)\n")
            }
        }
        return selected.count
    }

    /// A member's messages to itself and its threads are never lost.
    private func isSelected(_ message: Message, _ id: UInt64, _ type: MessageType?, _ drop: Bool) -> Bool {
        guard message.to == id, type == nil || message.type == type else { return false }
        let isInner =
            message.from == message.to || LocalThread.isLocal(message.from) || LocalThread.isLocal(message.to)
        return !(drop && isInner)
    }

    /// Works and delivers among `group` until nothing is left to do.
    func stabilize(_ group: [TranscriptMember]) throws {
        var isBusy = true
        while isBusy {
            isBusy = false
            for member in group where member.node.hasReady {
                output.write("> \(member.id) handling Ready\n")
                try output.indented { try processReady(member) }
                isBusy = true
            }
            for member in group where messages.contains(where: { $0.to == member.id }) {
                output.write("> \(member.id) receiving messages\n")
                try output.indented { _ = try deliver(to: member.id) }
                isBusy = true
            }
            for member in group where !member.appendWork.isEmpty {
                output.write("> \(member.id) processing append thread\n")
                while !member.appendWork.isEmpty { try output.indented { try processAppendThread(member) } }
                isBusy = true
            }
            for member in group where !member.applyWork.isEmpty {
                output.write("> \(member.id) processing apply thread\n")
                while !member.applyWork.isEmpty { try output.indented { try processApplyThread(member) } }
                isBusy = true
            }
        }
    }
}
