import Backend
import Testing

/// What a backend must hold, and random changes to both.
struct BackendModel {
    /// Buckets before and behind `key` in the file.
    private static let buckets: [BackendBucket] = [.alarm, .authUsers, .lease, .membersRemoved]

    struct Contents: Equatable {
        var revisions: [RevisionKey: [UInt8]] = [:]
        var others: [[UInt8]: [[UInt8]: [UInt8]]] = [:]
        var index: UInt64 = 0
    }

    /// What a backend shows that has everything.
    private(set) var contents = Contents()
    /// Revisions that a commit will drop, which views may show until then.
    private var dropped: Set<RevisionKey> = []
    private var random: SplitMix64
    private var nextRevision: Int64 = 1

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    /// The `key` bucket as a view shows it.
    var shown: [RevisionKey: [UInt8]] { contents.revisions }

    /// Makes `count` changes of every kind.
    mutating func change(_ backend: Backend, _ count: Int) throws {
        for _ in 0..<count {
            let size = Int.random(in: 0..<90, using: &random)
            let value = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
            if Int.random(in: 0..<3, using: &random) > 0 {
                let key = RevisionKey(main: nextRevision, sub: 0, isTombstone: Bool.random(using: &random))
                nextRevision += 1
                backend.appendKeyValue(key, value)
                contents.revisions[key] = value
            } else if let bucket = Self.buckets.randomElement(using: &random) {
                let key = [UInt8.random(in: 0..<60, using: &random), 1]
                if Int.random(in: 0..<4, using: &random) == 0 {
                    backend.delete(bucket, key)
                    contents.others[bucket.name]?[key] = nil
                } else {
                    backend.put(bucket, key, value)
                    contents.others[bucket.name, default: [:]][key] = value
                }
            }
        }
        contents.index += UInt64(count)
        backend.setConsistentIndex(contents.index, term: 1)
    }

    /// Has a `share`, in hundredths, of the revisions dropped.
    mutating func drop(_ backend: Backend, share: Int) {
        for key in contents.revisions.keys.sorted() where !dropped.contains(key) {
            guard Int.random(in: 0..<100, using: &random) < share else { continue }
            backend.deleteKeyValue(key)
            dropped.insert(key)
        }
    }

    mutating func commit(_ backend: Backend) throws {
        try backend.commitNow()
        noteCommit()
    }

    mutating func noteCommit() {
        for key in dropped { contents.revisions[key] = nil }
        dropped = []
    }

    /// What a member may do between two steps: nothing, changes, drops, a commit.
    mutating func changeBetweenSteps(_ backend: Backend, _ committed: (CommitJob) -> Void) throws {
        guard Int.random(in: 0..<3, using: &random) > 0 else { return }
        try change(backend, Int.random(in: 0..<6, using: &random))
        if Int.random(in: 0..<4, using: &random) == 0 { drop(backend, share: 5) }
        guard Bool.random(using: &random), let job = backend.freezeCommit() else { return }
        let dropsInJob = dropped
        // What comes while the job runs is the next one's.
        backend.put(.alarm, [200], [1])
        contents.others[BackendBucket.alarm.name, default: [:]][[200]] = [1]
        try job.run()
        committed(job)
        backend.finishCommit(job)
        for key in dropsInJob { contents.revisions[key] = nil }
        dropped = []
    }

    func expect(_ backend: Backend, _ location: SourceLocation = #_sourceLocation) throws {
        var expected = contents
        for key in dropped { expected.revisions[key] = nil }
        var found = try Self.contents(of: backend)
        // Views may show what the next commit drops.
        for key in dropped { found.revisions[key] = nil }
        #expect(found == expected, sourceLocation: location)
    }

    static func contents(of backend: Backend) throws -> Contents {
        var contents = Contents(revisions: try contents(of: backend.view()), index: backend.consistentIndex)
        for bucket in buckets {
            let all = try backend.all(bucket)
            if !all.isEmpty { contents.others[bucket.name] = Dictionary(uniqueKeysWithValues: all.map { ($0, $1) }) }
        }
        return contents
    }

    static func contents(of view: BackendView) throws -> [RevisionKey: [UInt8]] {
        var found: [RevisionKey: [UInt8]] = [:]
        var previous: RevisionKey?
        try view.forEach(fromMain: 0) { key, value in
            if let previous { #expect(previous < key) }
            previous = key
            found[key] = [UInt8](value)
            return true
        }
        return found
    }
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
