/// What clients of a key-value store asked and were told, and when.
public struct History: Equatable, Sendable {
    public var operations: [HistoryOperation]

    public init(_ operations: [HistoryOperation] = []) {
        self.operations = operations
    }
}

/// One request of one client.
public struct HistoryOperation: Equatable, Sendable {
    /// Who asked. A client asks one thing at a time; the checks do not depend on it.
    public var client: String
    /// When it was asked, in any unit, all clients by one clock.
    public var invoked: Int64
    /// When the answer came; nil when none did. Not before `invoked`.
    public var returned: Int64?
    public var action: HistoryAction
    public var outcome: HistoryOutcome

    public init(
        client: String, invoked: Int64, returned: Int64?, action: HistoryAction, outcome: HistoryOutcome
    ) {
        self.client = client
        self.invoked = invoked
        self.returned = returned
        self.action = action
        self.outcome = outcome
    }
}

/// What was asked.
public enum HistoryAction: Equatable, Sendable {
    case access(Access)
    /// A read that any member answers from what it has: not linearizable, checked by its revisions only.
    case serializableGet(key: String)
    /// Sets `key` to `new` if its value is `expected` (nil: if there is no such key).
    case compareAndSet(key: String, expected: String?, new: String)
    case transaction(Transaction)

    /// The action as a transaction; a single access is one without conditions.
    public var transaction: Transaction {
        switch self {
        case .access(let access): Transaction(then: [access])
        case .serializableGet(let key): Transaction(then: [.get(key: key)])
        case .compareAndSet(let key, let expected, let new):
            Transaction(
                conditions: [Condition(key: key, value: expected)], then: [.put(key: key, value: new)])
        case .transaction(let transaction): transaction
        }
    }
}

/// An access to one key.
public enum Access: Equatable, Sendable {
    case put(key: String, value: String)
    case get(key: String)
    case delete(key: String)

    public var key: String {
        switch self {
        case .put(let key, _), .get(let key), .delete(let key): key
        }
    }
}

/// That a key has a value, or (nil) that there is no such key.
public struct Condition: Equatable, Sendable {
    public var key: String
    public var value: String?

    public init(key: String, value: String?) {
        self.key = key
        self.value = value
    }
}

/// Accesses done together: `then` when all conditions hold, `otherwise` when one does not.
public struct Transaction: Equatable, Sendable {
    public var conditions: [Condition]
    public var then: [Access]
    public var otherwise: [Access]

    public init(conditions: [Condition] = [], then: [Access] = [], otherwise: [Access] = []) {
        self.conditions = conditions
        self.then = then
        self.otherwise = otherwise
    }

    /// All keys that it reads, compares or changes.
    public var keys: [String] {
        conditions.map(\.key) + (then + otherwise).map(\.key)
    }
}

/// What the client was told.
public enum HistoryOutcome: Equatable, Sendable {
    /// Nothing that says whether it was done: a timeout, a lost connection.
    case unknown
    /// That it was not done and never will be.
    case failed
    case completed(Completion)
}

/// The answer to a request that was done.
public struct Completion: Equatable, Sendable {
    /// Whether the conditions held.
    public var succeeded: Bool
    /// One for each access that was done.
    public var results: [AccessResult]
    /// The store's revision that the answer named.
    public var revision: Int64?

    public init(succeeded: Bool = true, results: [AccessResult] = [], revision: Int64? = nil) {
        self.succeeded = succeeded
        self.results = results
        self.revision = revision
    }
}

/// The answer to one access.
public enum AccessResult: Equatable, Sendable {
    case put
    /// The value, nil when there was no such key, and the revision of the key's last change where it is known.
    case value(String?, modRevision: Int64?)
    /// How many keys were deleted.
    case deleted(Int)
}
