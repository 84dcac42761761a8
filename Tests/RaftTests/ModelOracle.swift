import RaftMessages

@testable import Raft

/// Knows all that any member of a model ever did, and says when that contradicts the Raft paper's properties.
struct ModelOracle {
    private struct Place: Hashable {
        var index: UInt64
        var term: UInt64
    }

    private struct Written: Equatable {
        var type: EntryType
        var data: [UInt8]
        var previousTerm: UInt64
    }

    /// Who led which term.
    private var leaders: [UInt64: UInt64] = [:]
    /// Every entry that was ever in a log, by place.
    private var written: [Place: Written] = [:]
    /// The term of the entry that is committed at an index.
    private var committedTerms: [UInt64: UInt64] = [:]
    /// The state machine's history up to an index.
    private var digests: [UInt64: HistoryDigest] = [:]
    /// How far each member's log was looked at, and its end's term then.
    private var looked: [UInt64: (last: LogPosition, committed: UInt64, term: UInt64, role: Role)] = [:]
    private var reads: [[UInt8]: UInt64] = [:]
    private var readCount: UInt64 = 0

    /// Notes a read that comes when indexes up to `committed` are committed.
    /// - Returns: The context to make it with.
    mutating func beginRead(at committed: UInt64) -> [UInt8] {
        readCount += 1
        let context = withUnsafeBytes(of: readCount.bigEndian) { Array($0) }
        reads[context] = committed
        return context
    }

    /// Checks that reads see all that was committed before them.
    func note(_ states: [ReadState]) throws {
        for state in states {
            guard let committed = reads[state.context] else {
                throw ModelViolation(description: "an answer to a read that was not made")
            }
            if state.index < committed {
                throw ModelViolation(
                    description: "stale read: index \(state.index), though \(committed) was committed before it")
            }
        }
    }

    /// State machine safety: no two members apply different entries at an index.
    mutating func noteApplied(_ entry: Entry, by member: ModelMember) throws {
        if let digest = digests[entry.index] {
            if digest != member.digest {
                throw ModelViolation(
                    description: "\(member.id) applied another history up to \(entry.index) than others")
            }
        } else {
            digests[entry.index] = member.digest
        }
    }

    mutating func noteRestart(_ member: ModelMember) { looked[member.id] = nil }

    /// Checks what is new about `member`.
    mutating func check(_ member: ModelMember) throws {
        let status = member.node.basicStatus
        let log = member.log
        let last = log.last
        let term = status.hardState.term
        let role = status.softState.role
        if let before = looked[member.id], before.last == last, before.committed == log.committed,
            before.term == term, before.role == role
        {
            return
        }
        looked[member.id] = (last, log.committed, term, role)
        try checkLogMatching(member, log)
        try checkCommitted(member, log)
        if role == .leader { try checkLeader(member, log, term) }
    }

    /// Log matching: entries of one index and term are the same and follow entries of the same term.
    private mutating func checkLogMatching(_ member: ModelMember, _ log: Log) throws {
        guard log.lastIndex >= log.firstIndex else { return }
        var previousTerm = log.termOrZero(of: log.firstIndex - 1)
        for entry in try log.slice(log.firstIndex..<(log.lastIndex + 1), maximumSize: .max) {
            let place = Place(index: entry.index, term: entry.term)
            let found = Written(type: entry.type, data: entry.data, previousTerm: previousTerm)
            if let known = written[place], known != found {
                throw ModelViolation(
                    description: "logs do not match: \(member.id) has \(found) at \(place), others have \(known)")
            }
            written[place] = found
            previousTerm = entry.term
        }
    }

    private mutating func checkCommitted(_ member: ModelMember, _ log: Log) throws {
        guard log.committed >= log.firstIndex else { return }
        for index in log.firstIndex...log.committed {
            let term = log.termOrZero(of: index)
            if let known = committedTerms[index], known != term {
                throw ModelViolation(
                    description: "\(member.id) committed an entry of term \(term) at \(index), others one of \(known)")
            }
            committedTerms[index] = term
        }
    }

    /// Election safety: one leader a term. Leader completeness: it has all that is committed.
    private mutating func checkLeader(_ member: ModelMember, _ log: Log, _ term: UInt64) throws {
        if let other = leaders[term] {
            if other != member.id {
                throw ModelViolation(description: "term \(term) has two leaders, \(other) and \(member.id)")
            }
            return
        }
        leaders[term] = member.id
        for (index, committed) in committedTerms where index >= log.firstIndex && committed < term {
            let own = log.termOrZero(of: index)
            if own != committed {
                throw ModelViolation(
                    description: "leader \(member.id) of term \(term) lacks the committed entry \(index)")
            }
        }
    }
}
