/// Looks for an order of calls that a sequential object allows.
///
/// The algorithm is Wing and Gong's (1993) with Lowe's memory of configurations (2017): go through the orders depth
/// first, and never twice through the same set of placed calls with the same state. Calls without an outcome are placed
/// only directly before an answered call that they matter to, since nothing forces them to be placed at all.
public struct Search<Object: SequentialObject> {
    public enum Verdict {
        /// There is an order: indices of calls as they were given. Calls without an outcome that are not in it need not
        /// have taken effect.
        case linearizable(order: [Int])
        case notLinearizable(Obstacle)
        /// The limit was reached. The history may be either.
        case undecided(visited: Int)
    }

    /// How far the search came.
    public struct Obstacle {
        /// The longest order found, as indices of calls.
        public var order: [Int]
        /// The state that it leads to.
        public var state: Object.State
        /// The answered calls of which one had to come next, and none could.
        public var stuck: [Int]
        /// The time by which the first of `stuck` had been answered: what happened later does not matter.
        public var time: Int64
    }

    /// Configurations looked at before the search gives up: some 200 bytes each.
    public static var defaultLimit: Int { 2_000_000 }

    private let object: Object
    private let limit: Int
    private let calls: [TimedCall<Object>]
    /// Calls with outcome, by the time of their answer, as indices into `calls`.
    private let answered: [Int]
    /// Which of them change nothing.
    private let isObservation: [Bool]
    /// Calls without, by the time at which they were made.
    private let unanswered: [Int]
    /// For each answered call those that may come next while it is the first that is not placed, in order of rank.
    private let windows: [[Int32]]

    /// For each unanswered call those that may be needed before it.
    private let unansweredNeeds: [IndexSet]
    /// The same for answered calls, as far as it was asked for.
    private var answeredNeeds: [Int: Needs] = [:]

    private var visited = VisitedConfigurations<Object.State>()
    /// Preludes made. They cost less memory than configurations, since they go with their frame.
    private var effort = 0
    private var effortLimit: Int { 10 * limit }
    private var stack: [Frame] = []
    private var order: [Int] = []
    private var farthest = -1
    private var obstacle: Obstacle?

    public init(_ object: Object, _ calls: [TimedCall<Object>], limit: Int = Search.defaultLimit) {
        self.object = object
        self.calls = calls
        self.limit = limit
        let byAnswer = calls.indices.filter { calls[$0].outcome != nil }
            .sorted { (calls[$0].returned, $0) < (calls[$1].returned, $1) }
        let byCall = calls.indices.filter { calls[$0].outcome == nil }
            .sorted { (calls[$0].invoked, $0) < (calls[$1].invoked, $1) }
        answered = byAnswer
        isObservation = byAnswer.map { index in
            calls[index].outcome.map { object.isObservation(calls[index].call, outcome: $0) } ?? false
        }
        unanswered = byCall
        unansweredNeeds = byCall.map { Self.needed(before: calls[$0].call, object, calls, byCall) }
        windows = Self.windows(calls, byAnswer)
    }

    private static func windows(_ calls: [TimedCall<Object>], _ answered: [Int]) -> [[Int32]] {
        let byCall = answered.indices.sorted { calls[answered[$0]].invoked < calls[answered[$1]].invoked }
        var next = 0
        var open: [Int32] = []
        var windows: [[Int32]] = []
        for first in answered.indices {
            open.removeAll { $0 == Int32(first) - 1 }
            while next < byCall.count, calls[answered[byCall[next]]].invoked <= calls[answered[first]].returned {
                if byCall[next] >= first { open.append(Int32(byCall[next])) }
                next += 1
            }
            windows.append(
                open.sorted { (calls[answered[Int($0)]].rank, $0) < (calls[answered[Int($1)]].rank, $1) })
        }
        return windows
    }

    /// Runs the search to its end.
    public static func run(
        _ object: Object, _ calls: [TimedCall<Object>], limit: Int = Search.defaultLimit
    ) -> Verdict {
        var search = Search(object, calls, limit: limit)
        return search.run()
    }

    private mutating func run() -> Verdict {
        let start = Configuration(first: 0, ahead: [], state: object.initialState)
        push(frame(start, used: IndexSet()))
        while var top = stack.popLast() {
            order.removeSubrange(top.orderLength...)
            if top.configuration.first == answered.count { return .linearizable(order: order) }
            if visited.count > limit || effort > effortLimit { return .undecided(visited: visited.count) }
            guard let step = nextStep(&top) else { continue }
            stack.append(top)
            order += step.before.map { unanswered[$0] }
            order.append(answered[step.index])
            push(frame(step.configuration, used: step.used))
        }
        guard let obstacle else {
            preconditionFailure("a search that ends without an order was stuck somewhere, at least at its beginning")
        }
        return .notLinearizable(obstacle)
    }

    private mutating func push(_ frame: Frame) {
        stack.append(frame)
        let first = frame.configuration.first
        guard first > farthest || (first == farthest && order.count > obstacle?.order.count ?? 0) else { return }
        farthest = first
        guard first < answered.count else { return }
        let stuck = frame.candidates.map { answered[Int($0)] }
        obstacle = Obstacle(
            order: order, state: frame.configuration.state, stuck: stuck, time: calls[answered[first]].returned)
    }
}

// MARK: - Steps

extension Search {
    /// A configuration, and which of the ways on from it were taken.
    private struct Frame {
        let configuration: Configuration<Object.State>
        let used: IndexSet
        let orderLength: Int
        /// The answered calls that may come next, in order of rank.
        let candidates: [Int32]
        /// How many of the ways on were begun. There are two for each candidate.
        var begun = 0
        /// What unanswered calls can lead to before one of the candidates.
        var preludes: Preludes?
    }

    /// Unanswered calls that are placed together, directly before one answered call.
    private struct Prelude {
        var state: Object.State
        var used: IndexSet
        var sequence: [Int]
    }

    /// The preludes to one answered call, shortest first. They are made as they are asked for: there can be many.
    private struct Preludes {
        let index: Int
        /// The unanswered calls that may matter, in order of rank.
        let candidates: [Int]
        /// Preludes of which longer ones are made.
        var bases: [Prelude]
        var base = 0
        var candidate = 0
        /// For each state the least sets of calls that lead to it.
        var best: [Object.State: [IndexSet]]
    }

    /// Which unanswered calls may have to come before an answered one.
    private struct Needs {
        /// Before the call itself.
        var direct: IndexSet
        /// Before it, or before one another in a chain that leads to it; in order of rank.
        var chain: [Int]
    }

    private struct Step {
        var configuration: Configuration<Object.State>
        var used: IndexSet
        var before: [Int]
        var index: Int
    }

    private func frame(_ configuration: Configuration<Object.State>, used: IndexSet) -> Frame {
        let window = configuration.first < answered.count ? windows[configuration.first] : []
        return Frame(
            configuration: configuration, used: used, orderLength: order.count,
            candidates: configuration.ahead.isEmpty ? window : window.filter { !configuration.contains(Int($0)) })
    }

    /// The next way on from a frame to a configuration that was not looked at before.
    ///
    /// The first candidate is tried as it is and then after unanswered calls, since it probably comes next; then all
    /// others as they are, and last all others after unanswered calls. If a candidate only observes, and can come now, then
    /// nothing else is tried: an order in which it comes later stays one when it is moved here.
    private mutating func nextStep(_ frame: inout Frame) -> Step? {
        let count = frame.candidates.count
        if frame.begun == 0, let index = observation(frame) {
            frame.begun = 2 * count
            return step(frame, Prelude(state: frame.configuration.state, used: frame.used, sequence: []), index)
        }
        while true {
            while let index = frame.preludes?.index, let prelude = nextPrelude(&frame.preludes) {
                if isNeeded(prelude.sequence, before: index), let step = step(frame, prelude, index) { return step }
            }
            guard frame.begun < 2 * count else { return nil }
            let number = frame.begun
            frame.begun += 1
            let isDirect = number == 0 || (number >= 2 && number <= count)
            let position = number < 2 ? 0 : isDirect ? number - 1 : number - count
            let index = Int(frame.candidates[position])
            if isDirect {
                let prelude = Prelude(state: frame.configuration.state, used: frame.used, sequence: [])
                if let step = step(frame, prelude, index) { return step }
            } else if !unanswered.isEmpty {
                let candidates = relevant(to: index, frame)
                let base = Prelude(state: frame.configuration.state, used: frame.used, sequence: [])
                frame.preludes = Preludes(
                    index: index, candidates: candidates, bases: [base], best: [base.state: [base.used]])
            }
        }
    }

    private func observation(_ frame: Frame) -> Int? {
        frame.candidates.lazy.map { Int($0) }.first { index in
            isObservation[index]
                && object.apply(
                    calls[answered[index]].call, outcome: calls[answered[index]].outcome, to: frame.configuration.state)
                    != nil
        }
    }

    private mutating func step(_ frame: Frame, _ prelude: Prelude, _ index: Int) -> Step? {
        let timed = calls[answered[index]]
        guard let state = object.apply(timed.call, outcome: timed.outcome, to: prelude.state) else { return nil }
        var configuration = frame.configuration
        configuration.state = state
        configuration.place(index)
        guard visited.insert(configuration, used: prelude.used) else { return nil }
        return Step(configuration: configuration, used: prelude.used, before: prelude.sequence, index: index)
    }

    /// The next sequence of unanswered calls that changes the state.
    private mutating func nextPrelude(_ preludes: inout Preludes?) -> Prelude? {
        guard var all = preludes.take() else { return nil }
        while all.base < all.bases.count {
            guard all.candidate < all.candidates.count else {
                all.base += 1
                all.candidate = 0
                continue
            }
            let base = all.bases[all.base]
            let candidate = all.candidates[all.candidate]
            all.candidate += 1
            if base.used.contains(candidate) { continue }
            guard let state = object.apply(calls[unanswered[candidate]].call, outcome: nil, to: base.state),
                state != base.state
            else { continue }
            var used = base.used
            used.insert(candidate)
            if all.best[state, default: []].contains(where: { $0.isSubset(of: used) }) { continue }
            all.best[state, default: []].append(used)
            let prelude = Prelude(state: state, used: used, sequence: base.sequence + [candidate])
            all.bases.append(prelude)
            effort += 1
            preludes = effort <= effortLimit ? all : nil
            return prelude
        }
        return nil
    }

    /// Whether each call of a prelude is needed before a later one or before the answered call.
    private mutating func isNeeded(_ sequence: [Int], before index: Int) -> Bool {
        let last = needs(of: index).direct
        return sequence.indices.allSatisfy { position in
            last.contains(sequence[position])
                || sequence[(position + 1)...].contains { unansweredNeeds[$0].contains(sequence[position]) }
        }
    }

    /// The unanswered calls that had been made by the time and may be needed before the answered call, or before one
    /// another in a chain that leads to it.
    private mutating func relevant(to index: Int, _ frame: Frame) -> [Int] {
        let deadline = calls[answered[frame.configuration.first]].returned
        return needs(of: index).chain.filter {
            calls[unanswered[$0]].invoked <= deadline && !frame.used.contains($0)
        }
    }

    /// Which unanswered calls may be needed before an answered one.
    private mutating func needs(of index: Int) -> Needs {
        if let known = answeredNeeds[index] { return known }
        let direct = Self.needed(before: calls[answered[index]].call, object, calls, unanswered)
        var all = direct
        var edge = unanswered.indices.filter { direct.contains($0) }
        var chain = edge
        while let next = edge.popLast() {
            for candidate in unanswered.indices
            where unansweredNeeds[next].contains(candidate) && !all.contains(candidate) {
                all.insert(candidate)
                edge.append(candidate)
                chain.append(candidate)
            }
        }
        chain.sort { (calls[unanswered[$0]].rank, $0) < (calls[unanswered[$1]].rank, $1) }
        let needs = Needs(direct: direct, chain: chain)
        answeredNeeds[index] = needs
        return needs
    }

    private static func needed(
        before call: Object.Call, _ object: Object, _ calls: [TimedCall<Object>], _ unanswered: [Int]
    ) -> IndexSet {
        var needed = IndexSet()
        for (number, index) in unanswered.enumerated() where object.isNeeded(calls[index].call, before: call) {
            needed.insert(number)
        }
        return needed
    }
}
