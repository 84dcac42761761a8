import RaftMessages

extension Collection where Element == Entry {
    /// The entries' encoded size in bytes.
    var encodedSize: UInt64 { reduce(0) { $0 + UInt64($1.encodedSize) } }

    /// The bytes that proposers gave, by which uncommitted entries are limited.
    var payloadSize: UInt64 { reduce(0) { $0 + UInt64($1.data.count) } }
}

extension Collection where Element == Entry, Index == Int {
    /// How many leading entries fit in `maximum` bytes, and at least one if there is any.
    func countFitting(_ maximum: UInt64) -> Int {
        if maximum == .max { return count }
        var size: UInt64 = 0
        var taken = 0
        for entry in self {
            size += UInt64(entry.encodedSize)
            if taken > 0 && size > maximum { break }
            taken += 1
        }
        return taken
    }
}
