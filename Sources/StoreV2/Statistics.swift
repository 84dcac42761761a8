/// How many requests of each kind this member's store has answered, and how.
public struct StoreV2Statistics: Equatable, Sendable {
    /// A kind of request.
    enum Kind: String, CaseIterable {
        case gets, sets, delete, update, create, compareAndSwap, compareAndDelete
    }

    private var successes = [UInt64](repeating: 0, count: Kind.allCases.count)
    private var failures = [UInt64](repeating: 0, count: Kind.allCases.count)
    /// Nodes that expired.
    public internal(set) var expirations: UInt64 = 0

    /// The requests that change something, by the names of their actions, whether they did or not; those that never came
    /// are left out.
    public var changes: [(action: String, count: UInt64)] {
        Kind.allCases.enumerated().compactMap { position, kind in
            let count = successes[position] + failures[position]
            return kind == .gets || count == 0 ? nil : (kind == .sets ? "set" : kind.rawValue, count)
        }
    }

    mutating func count(_ kind: Kind, success: Bool) {
        let position = Kind.allCases.firstIndex(of: kind) ?? 0
        if success { successes[position] += 1 } else { failures[position] += 1 }
    }

    /// Counts a request that was refused, as etcd 3.4 does: some refusals pass for successes, and a node that is not made
    /// since there is a key on its way is a failed set besides.
    mutating func count(_ kind: Kind, refusedBy code: StoreV2Error.Code) {
        let passes: [StoreV2Error.Code] =
            switch kind {
            case .gets, .sets, .create: []
            case .update: [.notFile, .rootIsReadOnly]
            case .delete, .compareAndSwap: [.rootIsReadOnly]
            case .compareAndDelete: [.notFile, .compareFailed]
            }
        count(kind, success: passes.contains(code))
        if kind == .create && code == .notDirectory { count(.sets, success: false) }
    }

    /// The numbers under etcd's names, in etcd's order.
    func named(watchers: Int) -> [(name: String, value: UInt64)] {
        var list: [(name: String, value: UInt64)] = []
        for (position, kind) in Kind.allCases.enumerated() {
            list.append(("\(kind.rawValue)Success", successes[position]))
            list.append(("\(kind.rawValue)Fail", failures[position]))
        }
        list.append(("expireCount", expirations))
        list.append(("watchers", UInt64(watchers)))
        return list
    }

    /// Takes a number up under etcd's name; other names are passed over.
    mutating func set(_ name: String, _ value: UInt64) {
        if name == "expireCount" { expirations = value }
        for (position, kind) in Kind.allCases.enumerated() {
            if name == "\(kind.rawValue)Success" { successes[position] = value }
            if name == "\(kind.rawValue)Fail" { failures[position] = value }
        }
    }
}
