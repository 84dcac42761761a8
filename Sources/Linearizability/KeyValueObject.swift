/// A store of a few keys under transactions. Keys and values are numbers: `Partition` gives them out.
struct KeyValueObject: SequentialObject {
    /// The value of a key that is not there.
    static let absent: Int32 = -1

    enum Access: Hashable, Sendable {
        case put(key: Int, value: Int32)
        case get(key: Int)
        case delete(key: Int)
    }

    struct Call: Sendable {
        var conditions: [(key: Int, value: Int32)]
        var then: [Access]
        var otherwise: [Access]
        /// The keys whose values decide what is done or, if it is known, what was answered.
        var reads: IndexSet
        /// The keys that may change.
        var writes: IndexSet

        init(
            conditions: [(key: Int, value: Int32)], then: [Access], otherwise: [Access], isAnswered: Bool
        ) {
            self.conditions = conditions
            self.then = then
            self.otherwise = otherwise
            reads = IndexSet()
            writes = IndexSet()
            for condition in conditions { reads.insert(condition.key) }
            for access in then + otherwise {
                switch access {
                case .put(let key, _): writes.insert(key)
                case .get(let key):
                    if isAnswered { reads.insert(key) }
                case .delete(let key):
                    if isAnswered { reads.insert(key) }
                    writes.insert(key)
                }
            }
        }
    }

    /// One number for each access: the value that was read, the count of deleted keys, 0 for a put.
    struct Outcome: Hashable, Sendable {
        var succeeded: Bool
        var results: [Int32]
    }

    let keyCount: Int

    var initialState: [Int32] { [Int32](repeating: Self.absent, count: keyCount) }

    func apply(_ call: Call, outcome: Outcome?, to state: [Int32]) -> [Int32]? {
        let holds = call.conditions.allSatisfy { state[$0.key] == $0.value }
        if let outcome, outcome.succeeded != holds { return nil }
        let accesses = holds ? call.then : call.otherwise
        if let outcome, outcome.results.count != accesses.count { return nil }
        var next = state
        for (number, access) in accesses.enumerated() {
            var result: Int32 = 0
            switch access {
            case .put(let key, let value): next[key] = value
            case .get(let key): result = next[key]
            case .delete(let key):
                result = next[key] == Self.absent ? 0 : 1
                next[key] = Self.absent
            }
            if let outcome, outcome.results[number] != result { return nil }
        }
        return next
    }

    func isNeeded(_ call: Call, before next: Call) -> Bool {
        if call.writes.intersects(next.reads) { return true }
        // What is overwritten at once without having been seen may as well not have been.
        if next.conditions.isEmpty, call.writes.isSubset(of: next.writes) { return false }
        return call.writes.intersects(next.writes) || call.reads.intersects(next.writes)
    }

    func isObservation(_ call: Call, outcome: Outcome) -> Bool {
        (outcome.succeeded ? call.then : call.otherwise).allSatisfy { access in
            if case .get = access { true } else { false }
        }
    }
}
