import Lease

/// The bucket `lease` as a dictionary.
final class MemoryLeaseStorage: LeaseStorage {
    private(set) var records: [Int64: [UInt8]] = [:]

    func put(id: Int64, record: [UInt8]) { records[id] = record }
    func delete(id: Int64) { records[id] = nil }

    /// The bucket's content in the order of its keys.
    var stored: [(key: [UInt8], value: [UInt8])] {
        records.map { (key: LeaseRecord.key(of: $0), value: $1) }
            .sorted { $0.key.lexicographicallyPrecedes($1.key) }
    }
}
