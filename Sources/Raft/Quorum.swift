/// How a vote stands.
public enum VoteResult: Sendable, Equatable {
    case pending
    case lost
    case won
}

/// A set of voters that decides by majority. An empty one agrees to everything, which makes it neutral in a joint one.
public struct MajorityQuorum: Equatable, Sendable, CustomStringConvertible {
    /// In ascending order.
    public private(set) var ids: [UInt64]

    /// The voters `ids`, in any order.
    public init(_ ids: some Sequence<UInt64> = []) { self.ids = Set(ids).sorted() }

    public var isEmpty: Bool { ids.isEmpty }
    public var count: Int { ids.count }
    public func contains(_ id: UInt64) -> Bool { ids.contains(id) }

    mutating func insert(_ id: UInt64) {
        if !contains(id) {
            ids.append(id)
            ids.sort()
        }
    }

    mutating func remove(_ id: UInt64) { ids.removeAll { $0 == id } }

    public var description: String { "(" + ids.map { "\($0)" }.joined(separator: " ") + ")" }

    /// The highest index that a majority acknowledged; `acknowledged` tells a member's, 0 if unknown.
    public func committedIndex(_ acknowledged: (UInt64) -> UInt64) -> UInt64 {
        switch ids.count {
        case 0: return .max
        case 1: return acknowledged(ids[0])
        default:
            let sorted = ids.map(acknowledged).sorted()
            return sorted[ids.count - (ids.count / 2 + 1)]
        }
    }

    /// How a vote stands; `votes` tells a member's, nil if it has not voted.
    public func voteResult(_ votes: (UInt64) -> Bool?) -> VoteResult {
        if ids.isEmpty { return .won }
        var granted = 0
        var missing = 0
        for id in ids {
            switch votes(id) {
            case true?: granted += 1
            case false?: break
            case nil: missing += 1
            }
        }
        let needed = ids.count / 2 + 1
        if granted >= needed { return .won }
        return granted + missing >= needed ? .pending : .lost
    }
}

/// Two sets of voters that must both agree while one configuration passes into the other (Raft thesis, section 4.3).
public struct JointQuorum: Equatable, Sendable, CustomStringConvertible {
    public internal(set) var incoming: MajorityQuorum
    /// Empty outside a joint configuration.
    public internal(set) var outgoing: MajorityQuorum

    /// A configuration of `incoming`, joint if there are `outgoing`.
    public init(incoming: MajorityQuorum = MajorityQuorum(), outgoing: MajorityQuorum = MajorityQuorum()) {
        self.incoming = incoming
        self.outgoing = outgoing
    }

    /// Every voter of either set, in ascending order.
    public var ids: [UInt64] {
        outgoing.isEmpty ? incoming.ids : Set(incoming.ids).union(outgoing.ids).sorted()
    }

    public func contains(_ id: UInt64) -> Bool { incoming.contains(id) || outgoing.contains(id) }

    public var description: String {
        outgoing.isEmpty ? incoming.description : "\(incoming)&&\(outgoing)"
    }

    /// The highest index that majorities of both sets acknowledged.
    public func committedIndex(_ acknowledged: (UInt64) -> UInt64) -> UInt64 {
        min(incoming.committedIndex(acknowledged), outgoing.committedIndex(acknowledged))
    }

    /// Won if both sets are won, lost if either is lost.
    public func voteResult(_ votes: (UInt64) -> Bool?) -> VoteResult {
        let first = incoming.voteResult(votes)
        let second = outgoing.voteResult(votes)
        if first == second { return first }
        return first == .lost || second == .lost ? .lost : .pending
    }
}
