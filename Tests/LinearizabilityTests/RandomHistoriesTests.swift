import Linearizability
import Testing

@Suite("Random histories")
struct RandomHistoriesTests {
    @Test("of a real store are linearizable, with and without revisions", arguments: 0..<24 as Range<UInt64>)
    func accepted(seed: UInt64) throws {
        var settings = RecordedStore.Settings()
        settings.hasRevisions = seed % 2 == 0
        settings.spansKeys = seed % 3 == 0
        // Many lost answers over several keys and no revisions is the hard case: seconds, not milliseconds.
        settings.lost = settings.hasRevisions || !settings.spansKeys ? [0, 3, 10][Int(seed % 5) % 3] : 2
        settings.operations = 200
        let history = RecordedStore.history(seed: seed, settings)
        let check = HistoryCheck(history)
        #expect(check.isLinearizable, "\(check.violations) \(check.undecided)")
        #expect(try History(text: history.text) == history)
    }

    @Test("of a real store in which one read is made stale are not", arguments: 0..<24 as Range<UInt64>)
    func mutated(seed: UInt64) throws {
        var settings = RecordedStore.Settings()
        settings.operations = 200
        settings.spansKeys = seed % 3 == 0
        settings.lost = settings.spansKeys ? 1 : 5
        settings.clients = settings.spansKeys ? 6 : 10
        settings.hasRevisions = seed % 2 == 0
        var history = RecordedStore.history(seed: seed, settings)
        var random = SplitMix64(seed: seed)
        try #require(Self.makeStale(&history, &random))
        let check = HistoryCheck(history, ignoringRevisions: true)
        #expect(check.violations.count == 1)
        #expect(check.undecided.isEmpty)
        // What is shown of it is a history that is not linearizable either, and no longer one.
        let shown = try #require(check.violations.first).history
        #expect(!HistoryCheck(shown, ignoringRevisions: true).violations.isEmpty)
        #expect(shown.operations.count <= history.operations.count)
    }

    /// Gives one read the value of a put that another put had overwritten before the read began.
    private static func makeStale(_ history: inout History, _ random: inout SplitMix64) -> Bool {
        let operations = history.operations
        for index in operations.indices.shuffled(using: &random) {
            guard case .access(.get(let key)) = operations[index].action, let answered = operations[index].returned,
                case .completed(var completion) = operations[index].outcome
            else { continue }
            let before = operations.filter { operation in
                guard case .access(.put(key, _)) = operation.action, case .completed = operation.outcome else {
                    return false
                }
                return operation.returned ?? .max < operations[index].invoked
            }
            for old in before.shuffled(using: &random) {
                let isOverwritten = before.contains { $0.invoked > old.returned ?? .max }
                guard isOverwritten, answered > operations[index].invoked, case .access(.put(_, let value)) = old.action
                else { continue }
                completion.results = [.value(value, modRevision: nil)]
                history.operations[index].outcome = .completed(completion)
                return true
            }
        }
        return false
    }

    /// Every order of a few calls is tried, which shows what the search may not miss and may not invent.
    @Test("of a few calls with any outcome are judged as by trying every order", arguments: 0..<40 as Range<UInt64>)
    func everyOrder(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var verdicts: [Bool: Int] = [:]
        for _ in 0..<100 {
            let calls = Self.anyCalls(&random)
            let expected = Self.hasOrder(Register(), calls, from: 0)
            verdicts[expected, default: 0] += 1
            switch Search.run(Register(), calls) {
            case .linearizable(let order):
                #expect(expected, "\(calls)")
                #expect(Self.isRight(order, calls), "\(order) \(calls)")
            case .notLinearizable: #expect(!expected, "\(calls)")
            case .undecided: Issue.record("undecided: \(calls)")
            }
        }
        #expect(verdicts.values.allSatisfy { $0 > 10 } && verdicts.count == 2)
    }

    private static func anyCalls(_ random: inout SplitMix64) -> [TimedCall<Register>] {
        (0..<Int.random(in: 2...6, using: &random)).map { _ in
            let value = Int.random(in: 0...2, using: &random)
            let call: Register.Call =
                switch Int.random(in: 0..<4, using: &random) {
                case 0: .write(value)
                case 1: .compareAndSet(expected: Int.random(in: 0...2, using: &random), new: value)
                default: .read
                }
            let outcome: Register.Outcome =
                switch call {
                case .read: .value(value)
                case .write: .written
                case .compareAndSet: .swapped(Bool.random(using: &random))
                }
            let invoked = Int64.random(in: 0...20, using: &random)
            return TimedCall(
                call, outcome: Int.random(in: 0..<4, using: &random) == 0 ? nil : outcome, invoked: invoked,
                returned: invoked + Int64.random(in: 0...10, using: &random),
                rank: Int64.random(in: 0...5, using: &random))
        }
    }

    private static func hasOrder(_ register: Register, _ calls: [TimedCall<Register>], from state: Int) -> Bool {
        guard let deadline = calls.filter({ $0.outcome != nil }).map(\.returned).min() else { return true }
        return calls.indices.contains { index in
            guard calls[index].invoked <= deadline,
                let next = register.apply(calls[index].call, outcome: calls[index].outcome, to: state)
            else { return false }
            var rest = calls
            rest.remove(at: index)
            return hasOrder(register, rest, from: next)
        }
    }

    /// Whether an order has all answered calls once, keeps real time and is allowed.
    private static func isRight(_ order: [Int], _ calls: [TimedCall<Register>]) -> Bool {
        guard Set(order).count == order.count,
            calls.indices.allSatisfy({ calls[$0].outcome == nil || order.contains($0) })
        else { return false }
        var state: Int? = 0
        var latestCall = Int64.min
        for index in order {
            // No call that comes earlier in the order may begin after this one's answer.
            if calls[index].outcome != nil, calls[index].returned < latestCall { return false }
            latestCall = max(latestCall, calls[index].invoked)
            state = state.flatMap { Register().apply(calls[index].call, outcome: calls[index].outcome, to: $0) }
        }
        return state != nil
    }

    @Test("of 10,000 operations by 10 clients need little memory", arguments: [true, false])
    func large(isLinearizable: Bool) throws {
        var settings = RecordedStore.Settings()
        settings.operations = 10_000
        settings.keys = 4
        settings.lost = 1
        settings.spansKeys = false
        var history = RecordedStore.history(seed: 7, settings)
        if !isLinearizable {
            var random = SplitMix64(seed: 7)
            try #require(Self.makeStale(&history, &random))
        }
        let check = HistoryCheck(history, limit: 200_000, ignoringRevisions: true)
        #expect(check.undecided.isEmpty)
        #expect(check.violations.isEmpty == isLinearizable)
    }
}
