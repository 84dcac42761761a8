import Linearizability

/// A real sequential store with concurrent clients in simulated time, and the history that they record.
///
/// Each request takes effect at one moment between its call and its answer. Some answers are lost: such a request takes
/// effect at some later moment, or never.
struct RecordedStore {
    struct Settings {
        var clients = 10
        var operations = 1000
        var keys = 5
        /// Answers lost of a hundred.
        var lost = 3
        /// Whether transactions span keys.
        var spansKeys = true
        var hasRevisions = true
    }

    private struct Request {
        var number: Int
        var effect: Int64
    }

    private var random: SplitMix64
    private let settings: Settings
    private var history = History()
    private var store: [String: (value: String, revision: Int64)] = [:]
    private var revision: Int64 = 1

    static func history(seed: UInt64, _ settings: Settings = Settings()) -> History {
        var recorded = RecordedStore(random: SplitMix64(seed: seed), settings: settings)
        return recorded.run()
    }

    private init(random: SplitMix64, settings: Settings) {
        self.random = random
        self.settings = settings
    }

    private mutating func run() -> History {
        var clock = [Int64](repeating: 0, count: settings.clients)
        var requests: [Request] = []
        for number in 0..<settings.operations {
            let client = number % settings.clients
            let invoked = clock[client] + Int64.random(in: 1...5, using: &random)
            let effect = invoked + Int64.random(in: 0...50, using: &random)
            let returned = effect + Int64.random(in: 0...50, using: &random)
            clock[client] = returned
            let isLost = Int.random(in: 0..<100, using: &random) < settings.lost
            history.operations.append(
                HistoryOperation(
                    client: "c\(client)", invoked: invoked, returned: isLost ? nil : returned,
                    action: action(number), outcome: .unknown))
            if !isLost {
                requests.append(Request(number: number, effect: effect))
            } else if Bool.random(using: &random) {
                requests.append(Request(number: number, effect: effect + Int64.random(in: 0...1000, using: &random)))
            }
        }
        for request in requests.sorted(by: { ($0.effect, $0.number) < ($1.effect, $1.number) }) {
            let completion = apply(history.operations[request.number].action.transaction)
            if history.operations[request.number].returned != nil {
                history.operations[request.number].outcome = .completed(completion)
            }
        }
        return history
    }

    private mutating func action(_ number: Int) -> HistoryAction {
        let key = "k\(Int.random(in: 0..<settings.keys, using: &random))"
        let other = "k\(Int.random(in: 0..<settings.keys, using: &random))"
        let guess = String(max(0, number - Int.random(in: 1...20, using: &random)))
        switch Int.random(in: 0..<10, using: &random) {
        case 0...3: return .access(.get(key: key))
        case 4...6: return .access(.put(key: key, value: "\(number)"))
        case 7: return .compareAndSet(key: key, expected: store[key]?.value ?? guess, new: "\(number)")
        case 8: return .access(.delete(key: key))
        default:
            let second = settings.spansKeys ? other : key
            return .transaction(
                Transaction(
                    conditions: [Condition(key: key, value: Bool.random(using: &random) ? guess : nil)],
                    then: [.put(key: key, value: "\(number)"), .get(key: second)],
                    otherwise: [.get(key: key), .put(key: second, value: "\(number)")]))
        }
    }

    private mutating func apply(_ transaction: Transaction) -> Completion {
        let holds = transaction.conditions.allSatisfy { store[$0.key]?.value == $0.value }
        var completion = Completion(succeeded: holds)
        var isChanged = false
        for access in holds ? transaction.then : transaction.otherwise {
            switch access {
            case .put(let key, let value):
                isChanged = true
                store[key] = (value, revision + 1)
                completion.results.append(.put)
            case .get(let key):
                let found = store[key]
                completion.results.append(
                    .value(found?.value, modRevision: settings.hasRevisions ? found?.revision : nil))
            case .delete(let key):
                let isThere = store.removeValue(forKey: key) != nil
                isChanged = isChanged || isThere
                completion.results.append(.deleted(isThere ? 1 : 0))
            }
        }
        if isChanged { revision += 1 }
        if settings.hasRevisions { completion.revision = revision }
        return completion
    }
}
