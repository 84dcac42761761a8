import Applier
import EtcdAPI
import Member
import RaftMessages
import WireFormat

/// Watches all members from outside and demands what must always hold (Raft paper, figure 3), and that what the members
/// answer is what the model says.
final class RaftObserver {
    /// What is known of the log on a machine.
    private struct MachineLog {
        /// The index before the first entry of ``entries``.
        var before: UInt64 = 0
        var entries: [Entry] = []
        /// The entries that were acknowledged to be on the disk.
        var durable: [UInt64: UInt64] = [:]
        /// Orders that the disk has not acknowledged.
        var pending: [[Entry]] = []
        var durableTerm: UInt64 = 0
        var durableVote: UInt64 = 0
        var committed: UInt64 = 0
        var term: UInt64 = 0
        var revision: Int64 = 0
        var wasLeader = false

        var lastIndex: UInt64 { before + UInt64(entries.count) }

        func entry(_ index: UInt64) -> Entry? {
            guard index > before, index <= lastIndex else { return nil }
            return entries[Int(index - before - 1)]
        }

        mutating func append(_ new: [Entry]) {
            guard let first = new.first, first.index > before else { return }
            if first.index <= lastIndex { entries.removeSubrange(Int(first.index - before - 1)...) }
            entries += new
        }
    }

    private struct Place: Hashable {
        var index: UInt64
        var term: UInt64
    }

    private let recorder: Recorder
    private var logs: [Int: MachineLog] = [:]
    /// The committed entries by index from 1 on.
    private(set) var committed: [Entry] = []
    /// The model's revision after each committed entry, by index from 0 on.
    private var revisions: [Int64] = [1]
    private(set) var model = KeyValueModel()
    private var leaders: [UInt64: Int] = [:]
    /// The content of every entry that was ever in a log, and the term of the one before it.
    private var places: [Place: (entry: Entry, termBefore: UInt64?)] = [:]
    /// When a lease was revoked by the cluster.
    var revoked: (Int64) -> Void = { _ in }

    init(recorder: Recorder) {
        self.recorder = recorder
    }

    /// The machine that led last, and its term.
    private(set) var lastLeader: (machine: Int, term: UInt64)?

    // MARK: The life of a process

    func started(_ process: MemberProcess) {
        let machine = process.machine.number
        let core = process.core
        let old = logs[machine] ?? MachineLog()
        var log = MachineLog()
        log.before = core.log.firstIndex - 1
        log.entries = (try? core.log.entries(core.log.firstIndex..<core.log.lastIndex + 1, maximumSize: .max)) ?? []
        checkDurability(machine, old, log)
        let state = core.log.currentHardState
        recorder.check(
            state.term >= old.durableTerm, "m\(machine) forgot term \(old.durableTerm), it is in \(state.term)")
        if state.term == old.durableTerm && old.durableVote != 0 {
            recorder.check(state.vote == old.durableVote, "m\(machine) forgot its vote in term \(state.term)")
        }
        let consistent = core.applier.backend.consistentIndex
        recorder.check(
            consistent <= log.lastIndex,
            "m\(machine): the database holds entry \(consistent), the log ends at \(log.lastIndex)")
        recorder.check(
            consistent <= committed.count, "m\(machine): the database holds entry \(consistent), which is not committed"
        )
        log.term = state.term
        log.durableTerm = state.term
        log.durableVote = state.vote
        for entry in log.entries { log.durable[entry.index] = entry.term }
        logs[machine] = log
        checkRevision(process)
    }

    /// What a disk acknowledged is there after a restart, unless something later replaced it.
    private func checkDurability(_ machine: Int, _ old: MachineLog, _ new: MachineLog) {
        let replaced = old.pending.compactMap { $0.first?.index }.min() ?? .max
        for (index, term) in old.durable.sorted(by: { $0.key < $1.key }) where index > new.before && index < replaced {
            recorder.check(
                new.entry(index)?.term == term, "m\(machine) lost entry \(index) of term \(term) that was on its disk")
        }
    }

    func ended(_ machine: SimulatedMachine) {
        logs[machine.number]?.wasLeader = false
    }

    /// The disk of a machine says that the order is durable.
    func appended(_ message: Message, on machine: Int) {
        guard var log = logs.removeValue(forKey: machine) else { return }
        defer { logs[machine] = log }
        if let first = message.entries.first {
            if let last = log.durable.keys.max(), last >= first.index {
                for index in first.index...last { log.durable[index] = nil }
            }
            for entry in message.entries { log.durable[entry.index] = entry.term }
            if !log.pending.isEmpty { log.pending.removeFirst() }
        }
        if message.term != 0 {
            log.durableTerm = message.term
            log.durableVote = message.vote
        }
    }

    // MARK: Each turn

    func turned(_ process: MemberProcess, _ output: MemberCore.Output) {
        let machine = process.machine.number
        let core = process.core
        guard var log = logs.removeValue(forKey: machine) else { return }
        recorder.check(core.term >= log.term, "m\(machine) went back from term \(log.term) to \(core.term)")
        log.term = core.term
        for message in output.appends {
            if let snapshot = message.snapshot, snapshot.metadata.index > log.before {
                log = restarted(log, at: snapshot.metadata.index)
            }
            guard !message.entries.isEmpty else { continue }
            log.append(message.entries)
            log.pending.append(message.entries)
            for entry in message.entries { note(entry, in: log, machine) }
        }
        commit(&log, core, machine)
        if core.isLeader && !log.wasLeader { noteLeader(core, log, machine) }
        if !core.isLeader && log.wasLeader { recorder.note(.lostLeader, machine, core.term) }
        log.wasLeader = core.isLeader
        logs[machine] = log
        recorder.check(
            core.appliedIndex <= committed.count,
            "m\(machine) applied entry \(core.appliedIndex) before it is committed")
        checkRevision(process)
    }

    private func restarted(_ log: MachineLog, at index: UInt64) -> MachineLog {
        var log = log
        log.before = index
        log.entries = []
        log.durable = [:]
        log.pending = []
        return log
    }

    /// Log matching: an index and a term belong to one entry, and to one entry before it.
    private func note(_ entry: Entry, in log: MachineLog, _ machine: Int) {
        let before = log.entry(entry.index - 1)?.term
        let place = Place(index: entry.index, term: entry.term)
        guard let known = places[place] else {
            places[place] = (entry, before)
            return
        }
        recorder.check(
            known.entry == entry, "m\(machine) has another entry \(entry.index) of term \(entry.term) than others")
        if let before, let knownBefore = known.termBefore {
            recorder.check(
                before == knownBefore,
                "entry \(entry.index) of term \(entry.term) follows terms \(before) on m\(machine) and \(knownBefore) elsewhere"
            )
        }
        if known.termBefore == nil { places[place]?.termBefore = before }
    }

    /// Election safety, and leader completeness: whoever leads has all that was committed in earlier terms.
    private func noteLeader(_ core: MemberCore, _ log: MachineLog, _ machine: Int) {
        recorder.note(.becameLeader, machine, core.term, log.lastIndex, core.committedIndex)
        if let other = leaders.updateValue(machine, forKey: core.term), other != machine {
            recorder.violate("term \(core.term) has two leaders, m\(other) and m\(machine)")
        }
        if core.term > lastLeader?.term ?? 0 { lastLeader = (machine, core.term) }
        for entry in committed where entry.term < core.term && entry.index > log.before {
            recorder.check(
                log.entry(entry.index)?.term == entry.term,
                "m\(machine) leads term \(core.term) without the committed entry \(entry.index) of term \(entry.term)")
        }
    }

    /// State machine safety: at every index all members commit the same entry.
    private func commit(_ log: inout MachineLog, _ core: MemberCore, _ machine: Int) {
        let end = core.committedIndex
        guard end > log.committed else { return }
        for index in (log.committed + 1)...end {
            if index <= log.before { continue }
            guard let entry = log.entry(index) else {
                return recorder.violate("m\(machine) committed entry \(index), which it does not have")
            }
            if index <= committed.count {
                recorder.check(
                    committed[Int(index) - 1] == entry, "m\(machine) committed another entry \(index) than others")
            } else if index == committed.count + 1 {
                append(entry, machine)
            } else {
                recorder.violate("m\(machine) committed entry \(index) before anyone had entry \(committed.count + 1)")
            }
        }
        log.committed = end
    }

    private func append(_ entry: Entry, _ machine: Int) {
        committed.append(entry)
        model.apply(entry)
        revisions.append(model.revision)
        recorder.note(.committed, machine, entry.index, entry.term, UInt64(bitPattern: model.revision))
        if let complaint = model.complaint { recorder.violate(complaint) }
        if let lease = model.justRevoked { revoked(lease) }
    }

    private func checkRevision(_ process: MemberProcess) {
        let core = process.core
        let index = Int(max(core.appliedIndex, core.applier.backend.consistentIndex))
        let revision = core.applier.store.currentRevision
        guard index < revisions.count else { return }
        recorder.check(
            revision == revisions[index],
            "m\(process.machine.number) is at revision \(revision) after entry \(index), the model at \(revisions[index])"
        )
    }

    // MARK: Answers

    /// A member answers a request: what the model says, or it does not count.
    func outcome(_ outcome: Applier.Outcome, of process: MemberProcess) {
        let machine = process.machine.number
        recorder.note(.answered, machine, outcome.requestID)
        switch outcome.reply {
        case .failure(let error):
            guard case .success? = model.expected[outcome.requestID] else { return }
            // Time may run out for an answer that comes too late.
            recorder.check(
                error.code == .deadlineExceeded || error.code == .unavailable,
                "m\(machine) answered request \(outcome.requestID) with \(error), the model with success")
        case .message(let message), .whenCompacted(_, let message):
            guard !message.isEmpty, let expected = model.expected[outcome.requestID] else { return }
            guard let answer = Answer(message) else {
                return recorder.violate("m\(machine) gave an answer that does not decode")
            }
            guard case .success(let revision, let number) = expected else {
                return recorder.violate("m\(machine) answered request \(outcome.requestID), the model refuses it")
            }
            recorder.check(
                answer.revision == revision,
                "m\(machine) answered request \(outcome.requestID) at revision \(answer.revision), not \(revision)")
            if let number {
                recorder.check(
                    answer.number == number,
                    "m\(machine) answered request \(outcome.requestID) with \(answer.number), not \(number)")
            }
        case .storeV2: recorder.violate("m\(machine) answered request \(outcome.requestID) as one for a version-2 key")
        }
    }
}

/// The header's revision of a response, and its second field where that is a number.
struct Answer {
    var revision: Int64 = 0
    var number: UInt64 = 0

    init?(_ message: [UInt8]) {
        do {
            try message.withUnsafeBytes { bytes in
                var reader = WireReader(bytes)
                while let tag = try reader.next() {
                    switch (tag.field, tag.type) {
                    case (1, .bytes): revision = try ResponseHeader(decoding: try reader.bytes(tag)).revision
                    case (2, .varint): number = try reader.varint(tag)
                    default: try reader.skip(tag)
                    }
                }
            }
        } catch {
            return nil
        }
    }
}
