/// Where a search stands: which calls have been placed, and the state that they lead to.
///
/// Answered calls are numbered by the time of their answer. `first` is the first of them that is not placed; all before
/// it are, and so are those in `ahead`. That is small, since a call in `ahead` overlaps the call `first`.
struct Configuration<State: Hashable>: Hashable {
    var first: Int
    var ahead: [Int32]
    var state: State

    /// Places an answered call.
    mutating func place(_ index: Int) {
        guard index == first else {
            let position = ahead.firstIndex { $0 > index } ?? ahead.endIndex
            ahead.insert(Int32(index), at: position)
            return
        }
        first += 1
        var passed = 0
        while passed < ahead.count, Int(ahead[passed]) == first {
            first += 1
            passed += 1
        }
        ahead.removeFirst(passed)
    }

    func contains(_ index: Int) -> Bool {
        index < first || ahead.contains(Int32(index))
    }
}

/// A set of small numbers.
struct IndexSet: Hashable {
    private var words: [UInt64] = []

    func contains(_ index: Int) -> Bool {
        index / 64 < words.count && words[index / 64] >> UInt64(index % 64) & 1 == 1
    }

    mutating func insert(_ index: Int) {
        while words.count <= index / 64 { words.append(0) }
        words[index / 64] |= 1 << UInt64(index % 64)
    }

    func intersects(_ other: IndexSet) -> Bool {
        for number in 0..<min(words.count, other.words.count) where words[number] & other.words[number] != 0 {
            return true
        }
        return false
    }

    func isSubset(of other: IndexSet) -> Bool {
        for (number, word) in words.enumerated() {
            let their = number < other.words.count ? other.words[number] : 0
            if word & ~their != 0 { return false }
        }
        return true
    }
}

/// The configurations that were looked at, each with the sets of unanswered calls that were placed on the way.
///
/// A configuration that needed fewer unanswered calls can do all that one with more can, because an unanswered call need
/// not take effect. So only sets are kept that contain no other.
struct VisitedConfigurations<State: Hashable> {
    private var sets: [Configuration<State>: [IndexSet]] = [:]
    private(set) var count = 0

    /// False when the configuration, or a better one, was there already.
    mutating func insert(_ configuration: Configuration<State>, used: IndexSet) -> Bool {
        guard var known = sets[configuration] else {
            sets[configuration] = [used]
            count += 1
            return true
        }
        if known.contains(where: { $0.isSubset(of: used) }) { return false }
        known.removeAll { used.isSubset(of: $0) }
        known.append(used)
        sets[configuration] = known
        count += 1
        return true
    }
}
