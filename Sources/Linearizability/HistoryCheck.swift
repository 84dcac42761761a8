/// Checks the history of a key-value store.
public struct HistoryCheck: Sendable {
    /// What was found.
    public var violations: [Violation] = []
    /// Sets of keys for which the search reached its limit.
    public var undecided: [[String]] = []
    /// Sets of keys that were searched.
    public var partitionCount = 0

    /// True when there is an order for all keys and all revisions fit.
    public var isLinearizable: Bool { violations.isEmpty && undecided.isEmpty }

    /// Looks for an order of the operations on each set of keys, and at the revisions of all. `limit` bounds what the
    /// search of one set looks at. With `ignoringRevisions` revisions only guide the search.
    public init(
        _ history: History, limit: Int = Search<Register>.defaultLimit, ignoringRevisions: Bool = false
    ) {
        if !ignoringRevisions { violations = RevisionCheck.violations(in: history) }
        for partition in Partition.all(of: history) {
            partitionCount += 1
            switch Search.run(partition.object, partition.calls, limit: limit) {
            case .linearizable: break
            case .undecided: undecided.append(partition.keys)
            case .notLinearizable(let obstacle):
                violations.append(.noOrder(NoOrder(history, partition, obstacle)))
            }
        }
    }
}

/// A promise that a history breaks.
public enum Violation: Sendable, CustomStringConvertible {
    case noOrder(NoOrder)
    case revision(RevisionViolation)

    public var description: String {
        switch self {
        case .noOrder(let found): found.description
        case .revision(let found): found.description
        }
    }

    /// The smallest history known that shows it.
    public var history: History {
        switch self {
        case .noOrder(let found): found.history
        case .revision(let found): History(found.operations)
        }
    }
}

/// That some operations cannot be put in any order.
public struct NoOrder: Sendable, CustomStringConvertible {
    /// How many operations of the longest order are shown.
    static let shownOperations = 12

    public var keys: [String]
    /// The partition's operations that had been asked for by the time at which there was no way on: what came later does
    /// not matter, so this history is not linearizable either.
    public var history: History
    /// The longest order found, and the state that it leads to.
    public var order: [HistoryOperation]
    public var state: [String: String?]
    /// Operations of which one had to come next.
    public var stuck: [HistoryOperation]

    init(_ whole: History, _ partition: Partition, _ obstacle: Search<KeyValueObject>.Obstacle) {
        keys = partition.keys
        let operation = { (index: Int) in whole.operations[partition.operations[index]] }
        order = obstacle.order.map(operation)
        stuck = obstacle.stuck.map(operation)
        state = partition.described(obstacle.state)
        history = History(
            partition.operations.map { whole.operations[$0] }.filter { $0.invoked <= obstacle.time })
    }

    public var description: String {
        var lines = ["no order for the operations on \(keys.sorted().joined(separator: ", "))"]
        lines.append("  the longest order found has \(order.count) operations and ends with")
        lines += order.suffix(Self.shownOperations).map { "    \($0.text)" }
        lines.append("  then the state is")
        lines += state.sorted { $0.key < $1.key }.map { "    \($0.key) = \($0.value ?? "nil")" }
        lines.append("  and none of these can come next")
        lines += stuck.map { "    \($0.text)" }
        return lines.joined(separator: "\n")
    }
}
