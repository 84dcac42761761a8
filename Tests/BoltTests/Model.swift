import Bolt
import Testing

/// What a bucket must hold.
struct ModelBucket: Equatable {
    var values: [[UInt8]: [UInt8]] = [:]
    var buckets: [[UInt8]: ModelBucket] = [:]
    var sequence: UInt64 = 0

    /// Keys and bucket names in the file's order.
    var orderedKeys: [[UInt8]] {
        (Array(values.keys) + Array(buckets.keys)).sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// The paths of all buckets below this one.
    var paths: [[[UInt8]]] {
        buckets.keys.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { name in
            [[name]] + (buckets[name]?.paths ?? []).map { [name] + $0 }
        }
    }

    /// The bucket at `path`, which must exist.
    subscript(path: ArraySlice<[UInt8]>) -> ModelBucket {
        get { path.first.map { buckets[$0]![path.dropFirst()] } ?? self }
        set {
            if let first = path.first { buckets[first]![path.dropFirst()] = newValue } else { self = newValue }
        }
    }
}

/// The state that `transaction` reads, as a model; the top level's sequence is left out.
func contents(of transaction: ReadTransaction) throws -> ModelBucket {
    var model = ModelBucket()
    for name in try transaction.bucketNames() {
        model.buckets[name] = try contents(of: try #require(try transaction.bucket(name)))
    }
    return model
}

private func contents(of bucket: Bucket) throws -> ModelBucket {
    var model = ModelBucket(sequence: bucket.sequence)
    var cursor = bucket.cursor()
    var previous: [UInt8]?
    var element = try cursor.first()
    while let (key, value) = element {
        let key = [UInt8](key)
        if let previous { #expect(previous.lexicographicallyPrecedes(key), "cursors go in order") }
        previous = key
        if let value {
            model.values[key] = [UInt8](value)
        } else {
            model.buckets[key] = try contents(of: try #require(try bucket.bucket(key)))
        }
        element = try cursor.next()
    }
    return model
}

/// A seeded generator, so that a failure can be repeated.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The bytes that a lookup found.
func owned(_ value: UnsafeRawBufferPointer?) -> [UInt8]? { value.map { [UInt8]($0) } }

/// Runs `body` in a write transaction on `database` and commits it.
func write(_ database: Database, _ body: (WriteTransaction) throws -> Void) throws {
    let transaction = try database.beginWrite()
    try body(transaction)
    try transaction.commit()
}

extension DatabaseOptions {
    /// Small pages make deep trees of few records, and a small mapping is outgrown often.
    static func small(synchronizesFreelist: Bool = false) -> DatabaseOptions {
        DatabaseOptions(pageSize: 1024, initialMapLength: 32 << 10, synchronizesFreelist: synchronizesFreelist)
    }
}
