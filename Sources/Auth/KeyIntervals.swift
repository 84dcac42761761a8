/// A set of keys made of intervals, merged, so that a range that several permissions cover together is covered.
struct KeyIntervals: Sendable {
    /// From `begin` on, before `end`; to the last key when there is no `end`.
    struct Interval: Sendable, Equatable {
        var begin: [UInt8]
        var end: [UInt8]?
    }

    /// Apart from each other and in order.
    private(set) var merged: [Interval] = []

    /// The keys of `permissions`. One that names no key, or ends before it begins, covers nothing.
    init(_ permissions: [Permission]) {
        var intervals: [Interval] = []
        for permission in permissions where permission.isValid {
            if permission.rangeEnd.isEmpty {
                intervals.append(Interval(begin: permission.key, end: permission.key + [0]))
            } else {
                let isOpen = permission.rangeEnd == Permission.openEnd
                intervals.append(Interval(begin: permission.key, end: isOpen ? nil : permission.rangeEnd))
            }
        }
        intervals.sort { $0.begin.lexicographicallyPrecedes($1.begin) }
        for interval in intervals {
            guard let last = merged.last, let lastEnd = last.end else {
                if merged.isEmpty { merged.append(interval) }
                continue
            }
            if lastEnd.lexicographicallyPrecedes(interval.begin) {
                merged.append(interval)
            } else if interval.end.map({ lastEnd.lexicographicallyPrecedes($0) }) ?? true {
                merged[merged.count - 1].end = interval.end
            }
        }
    }

    /// Whether `key` is one of the keys.
    func contains(_ key: [UInt8]) -> Bool {
        guard let interval = last(atOrBefore: key) else { return false }
        return interval.end.map { key.lexicographicallyPrecedes($0) } ?? true
    }

    /// Whether all keys from `key` on are in the set: before `end`, or to the last when there is none.
    ///
    /// A range that ends before it begins counts as its first key, as in etcd.
    func covers(_ key: [UInt8], _ end: [UInt8]?) -> Bool {
        guard let interval = last(atOrBefore: key) else { return false }
        guard let intervalEnd = interval.end else { return true }
        guard key.lexicographicallyPrecedes(intervalEnd) else { return false }
        guard let end else { return false }
        return !intervalEnd.lexicographicallyPrecedes(end)
    }

    private func last(atOrBefore key: [UInt8]) -> Interval? {
        var low = 0
        var high = merged.count
        while low < high {
            let middle = (low + high) / 2
            if key.lexicographicallyPrecedes(merged[middle].begin) { high = middle } else { low = middle + 1 }
        }
        return low > 0 ? merged[low - 1] : nil
    }
}
