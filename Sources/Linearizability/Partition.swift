/// Operations of a history that share keys, directly or through transactions. A history is linearizable when each of its
/// partitions is (Herlihy and Wing's locality), so they are searched one by one.
struct Partition {
    /// In the order of their first use.
    private(set) var keys: [String] = []
    /// Indices of the history's operations.
    private(set) var operations: [Int] = []
    /// The same operations for the search.
    private(set) var calls: [TimedCall<KeyValueObject>] = []
    /// The name of each value's number.
    private(set) var values: [String] = []

    private var keyNumbers: [String: Int] = [:]
    private var valueNumbers: [String: Int32] = [:]

    var object: KeyValueObject { KeyValueObject(keyCount: keys.count) }

    /// The partitions of a history, by their first operations. Serializable reads and operations that were never done are
    /// in none.
    static func all(of history: History) -> [Partition] {
        var groups = KeyGroups()
        for operation in history.operations where operation.isLinearizable {
            groups.join(operation.action.transaction.keys)
        }
        let ranks = RevisionRanks(history)
        var partitions: [Partition] = []
        var numbers: [Int: Int] = [:]
        for (index, operation) in history.operations.enumerated() where operation.isLinearizable {
            guard let key = operation.action.transaction.keys.first else { continue }
            let group = groups.group(of: key)
            let number = numbers[group, default: partitions.count]
            if number == partitions.count {
                numbers[group] = number
                partitions.append(Partition())
            }
            partitions[number].append(operation, index, rank: ranks.rank(of: operation))
        }
        return partitions
    }

    private mutating func append(_ operation: HistoryOperation, _ index: Int, rank: Int64) {
        operations.append(index)
        let transaction = operation.action.transaction
        var outcome: KeyValueObject.Outcome?
        if case .completed(let completion) = operation.outcome {
            let results = completion.results.map { result -> Int32 in
                switch result {
                case .put: 0
                case .value(let value, _): number(ofValue: value)
                case .deleted(let count): Int32(clamping: count)
                }
            }
            outcome = KeyValueObject.Outcome(succeeded: completion.succeeded, results: results)
        }
        let call = KeyValueObject.Call(
            conditions: transaction.conditions.map { (number(ofKey: $0.key), number(ofValue: $0.value)) },
            then: transaction.then.map { access($0) },
            otherwise: transaction.otherwise.map { access($0) }, isAnswered: outcome != nil)
        calls.append(
            TimedCall(
                call, outcome: outcome, invoked: operation.invoked, returned: operation.returned ?? .max, rank: rank))
    }

    private mutating func access(_ access: Access) -> KeyValueObject.Access {
        switch access {
        case .put(let key, let value): .put(key: number(ofKey: key), value: number(ofValue: value))
        case .get(let key): .get(key: number(ofKey: key))
        case .delete(let key): .delete(key: number(ofKey: key))
        }
    }

    private mutating func number(ofKey key: String) -> Int {
        if let number = keyNumbers[key] { return number }
        keyNumbers[key] = keys.count
        keys.append(key)
        return keys.count - 1
    }

    private mutating func number(ofValue value: String?) -> Int32 {
        guard let value else { return KeyValueObject.absent }
        if let number = valueNumbers[value] { return number }
        let number = Int32(values.count)
        valueNumbers[value] = number
        values.append(value)
        return number
    }

    /// A state with names in place of numbers.
    func described(_ state: [Int32]) -> [String: String?] {
        var described: [String: String?] = [:]
        for (key, value) in zip(keys, state) {
            described[key] = value == KeyValueObject.absent ? .some(nil) : values[Int(value)]
        }
        return described
    }
}

extension HistoryOperation {
    /// Whether the search has to place it: it may have been done, and was no serializable read.
    var isLinearizable: Bool {
        if outcome == .failed { return false }
        if case .serializableGet = action { return false }
        return true
    }
}

/// Which keys hang together: sets that are joined (Tarjan's union-find).
private struct KeyGroups {
    private var numbers: [String: Int] = [:]
    private var parents: [Int] = []

    mutating func join(_ keys: [String]) {
        guard let first = keys.first else { return }
        for key in keys {
            let left = root(of: number(of: first))
            let right = root(of: number(of: key))
            if left != right { parents[right] = left }
        }
    }

    mutating func group(of key: String) -> Int {
        root(of: number(of: key))
    }

    private mutating func number(of key: String) -> Int {
        if let number = numbers[key] { return number }
        numbers[key] = parents.count
        parents.append(parents.count)
        return parents.count - 1
    }

    private mutating func root(of number: Int) -> Int {
        var root = number
        while parents[root] != root {
            parents[root] = parents[parents[root]]
            root = parents[root]
        }
        return root
    }
}

/// Guesses from revisions in which order operations took effect: writes by their revision, reads behind the write of the
/// revision that they saw. The search tries this order first and verifies it, so wrong revisions cost time only.
private struct RevisionRanks {
    private var seen: [KeyAndValue: Int64] = [:]

    private struct KeyAndValue: Hashable {
        var key: String
        var value: String
    }

    init(_ history: History) {
        for operation in history.operations {
            guard case .completed(let completion) = operation.outcome else { continue }
            for (access, result) in zip(operation.action.accesses(succeeded: completion.succeeded), completion.results)
            {
                guard case .value(let value?, let revision?) = result else { continue }
                seen[KeyAndValue(key: access.key, value: value)] = revision
            }
        }
    }

    func rank(of operation: HistoryOperation) -> Int64 {
        if case .completed(let completion) = operation.outcome {
            guard let revision = completion.revision, revision < .max / 4 else { return .max }
            return 2 * revision + (operation.changes(succeeded: completion.succeeded) ? 0 : 1)
        }
        let revisions = operation.action.accesses(succeeded: true).compactMap { access -> Int64? in
            guard case .put(let key, let value) = access else { return nil }
            return seen[KeyAndValue(key: key, value: value)]
        }
        guard let revision = revisions.min(), revision < .max / 4 else { return .max }
        return 2 * revision
    }
}

extension HistoryAction {
    /// The accesses that are done when the conditions hold, or when they do not.
    func accesses(succeeded: Bool) -> [Access] {
        let transaction = transaction
        return succeeded ? transaction.then : transaction.otherwise
    }
}

extension HistoryOperation {
    /// Whether the answer means that the store has a new revision.
    func changes(succeeded: Bool) -> Bool {
        guard case .completed(let completion) = outcome else { return false }
        return zip(action.accesses(succeeded: succeeded), completion.results).contains { access, result in
            switch (access, result) {
            case (.put, _): true
            case (.delete, .deleted(let count)): count > 0
            default: false
            }
        }
    }
}
