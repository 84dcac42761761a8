/// A key as a dictionary holds it, hashed over its bytes at once.
struct LeasedKey: Hashable {
    var bytes: [UInt8]

    func hash(into hasher: inout Hasher) {
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

/// The keys attached to one lease.
///
/// Most leases hold a key or two, so that a plain array is the smallest; a lease that holds many turns to a set, or
/// detaching all of them one by one would take quadratic time.
struct LeasedKeys {
    /// The most keys that are kept as an array.
    private static let arrayLimit = 8

    private var few: [LeasedKey] = []
    private var many: Set<LeasedKey>?

    /// The number of keys.
    var count: Int { many?.count ?? few.count }

    /// Adds a key that is not there yet.
    mutating func insert(_ key: LeasedKey) {
        if many != nil {
            many?.insert(key)
        } else if few.count < Self.arrayLimit {
            few.append(key)
        } else {
            many = Set(few).union([key])
            few = []
        }
    }

    /// Removes a key.
    mutating func remove(_ key: LeasedKey) {
        if many != nil {
            many?.remove(key)
        } else if let index = few.firstIndex(of: key) {
            few.swapAt(index, few.count - 1)
            few.removeLast()
        }
    }

    /// The keys in byte order.
    func sorted() -> [[UInt8]] {
        let keys = many.map { $0.map(\.bytes) } ?? few.map(\.bytes)
        return keys.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Visits every key in no particular order.
    func forEach(_ visit: (LeasedKey) -> Void) {
        if let many { many.forEach(visit) } else { few.forEach(visit) }
    }
}
