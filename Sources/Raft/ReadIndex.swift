import RaftMessages

/// The answer to a linearizable read: once the state machine has applied `index`, it may serve the request.
public struct ReadState: Equatable, Sendable {
    public var index: UInt64
    /// The bytes that the request was made with.
    public var context: [UInt8]

    /// An answer to the request `context`.
    public init(index: UInt64, context: [UInt8]) {
        self.index = index
        self.context = context
    }
}

/// A linearizable read that waits for the leader to be confirmed.
struct ReadRequest {
    /// The member that asked, or 0 for this one's own owner.
    var from: UInt64
    var context: [UInt8]
}

/// The reads of a leader that wait for a quorum to confirm it (Raft thesis, section 6.4).
///
/// Each round of heartbeats carries a number of its own, made here and never by a client, which members send back. A
/// member's answer to a round proves that it followed this leader after the round began, and so confirms every read
/// that came before. Answers to rounds of the past confirm nothing that came after them, however late they arrive.
struct PendingReads {
    private struct Waiting {
        var request: ReadRequest
        /// The commit index when the read came.
        var index: UInt64
        /// The first round that began after the read came.
        var round: UInt64
    }

    private var waiting: [Waiting] = []
    /// Reads before the leader's first commit, when it does not know yet what is committed (Raft paper, section 8).
    private var beforeFirstCommit: [ReadRequest] = []
    private var round: UInt64 = 0
    private var acknowledged: [UInt64: UInt64] = [:]

    var hasPostponed: Bool { !beforeFirstCommit.isEmpty }
    var count: Int { waiting.count + beforeFirstCommit.count }

    mutating func postpone(_ request: ReadRequest) { beforeFirstCommit.append(request) }

    mutating func takePostponed() -> [ReadRequest] {
        defer { beforeFirstCommit = [] }
        return beforeFirstCommit
    }

    /// Notes a read that the next round is to confirm.
    mutating func add(_ request: ReadRequest, index: UInt64) {
        waiting.append(Waiting(request: request, index: index, round: round + 1))
    }

    /// The context for a new round of heartbeats; empty if no read waits.
    mutating func beginRound() -> [UInt8] {
        guard !waiting.isEmpty else { return [] }
        round += 1
        return withUnsafeBytes(of: round.bigEndian) { Array($0) }
    }

    /// Notes that `member` answered the round with `context`.
    mutating func acknowledge(_ member: UInt64, context: [UInt8]) {
        guard context.count == MemoryLayout<UInt64>.size else { return }
        let answered = context.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard answered <= round else { return }
        acknowledged[member] = max(acknowledged[member] ?? 0, answered)
    }

    /// The reads that `voters`, of which this leader is perhaps one, have confirmed, with their indexes.
    mutating func takeConfirmed(own: UInt64, voters: JointQuorum) -> [(request: ReadRequest, index: UInt64)] {
        let confirmed = voters.committedIndex { $0 == own ? round : acknowledged[$0] ?? 0 }
        let number = waiting.prefix { $0.round <= confirmed }.count
        defer { waiting.removeFirst(number) }
        return waiting.prefix(number).map { ($0.request, $0.index) }
    }
}
