import Testing

@testable import MVCC

@Suite("The key index")
struct KeyIndexTests {
    /// Each transcript: changes to one key, a line of dashes, and the generations that etcd's key index would hold, oldest
    /// first: the revision of creation, the version, the revisions. A tombstone is marked with `t`.
    static let transcripts = [
        // The history of etcd's own description of the key index.
        """
        put 2 put 4 del 6 put 8 put 10 del 12 put 14 put 14.1 del 16
        ----
        created 2 version 3: 2 4 6t
        created 8 version 3: 8 10 12t
        created 14 version 3: 14 14.1 16t
        """,
        // Below everything nothing goes.
        """
        put 2 put 4 del 6 put 8 compact 1
        ----
        created 2 version 3: 2 4 6t
        created 8 version 1: 8
        """,
        """
        put 2 put 4 del 6 put 8 compact 2
        ----
        created 2 version 3: 2 4 6t
        created 8 version 1: 8
        """,
        // Between two changes the older of them is what readers see, so it stays.
        """
        put 2 put 4 del 6 put 8 compact 5
        ----
        created 2 version 3: 4 6t
        created 8 version 1: 8
        """,
        // At the deletion itself the tombstone stays, so that a watcher from there on sees it.
        """
        put 2 put 4 del 6 put 8 compact 6
        ----
        created 2 version 3: 6t
        created 8 version 1: 8
        """,
        // After it the whole generation goes, and its successor stays.
        """
        put 2 put 4 del 6 put 8 compact 7
        ----
        created 8 version 1: 8
        """,
        """
        put 2 put 4 del 6 put 8 put 9 compact 8
        ----
        created 8 version 2: 8 9
        """,
        """
        put 2 put 4 del 6 put 8 put 9 compact 20
        ----
        created 8 version 2: 9
        """,
        // A deleted key leaves the index when the compaction passes its tombstone.
        """
        put 2 del 3 compact 3
        ----
        created 2 version 2: 3t
        """,
        """
        put 2 del 3 compact 4
        ----
        """,
        // Several changes in one transaction share the main revision.
        """
        put 2 put 2.1 put 2.2 put 5 compact 2
        ----
        created 2 version 4: 2.2 5
        """,
        """
        put 2 del 2.1 put 2.2 compact 2
        ----
        created 2 version 1: 2.2
        """,
        // Compacting twice is compacting at the later revision.
        """
        put 2 put 3 put 4 put 5 put 6 compact 3 compact 5 put 7
        ----
        created 2 version 6: 5 6 7
        """,
        // After a restart the first change of a key says what came before it.
        """
        restore 9 created 3 version 5 put 12
        ----
        created 3 version 6: 9 12
        """,
        // A tombstone may be all that a compaction left of a key; the next one removes it.
        """
        restoretombstone 9
        ----
        created 0 version 1: 9t
        """,
        """
        restoretombstone 9 put 11
        ----
        created 0 version 1: 9t
        created 11 version 1: 11
        """,
        """
        restoretombstone 9 compact 10
        ----
        """,
    ]

    @Test("has the generations of etcd's", arguments: transcripts)
    func transcript(text: String) throws {
        let parts = text.split(separator: "----", omittingEmptySubsequences: false)
        let index = KeyIndex()
        let key = Array("foo".utf8)
        var words = parts[0].split(whereSeparator: \.isWhitespace).makeIterator()
        func number(_ word: Substring?) throws -> Int64 { try #require(word.flatMap { Int64($0) }) }
        func revision(_ word: Substring?) throws -> (Int64, Int64) {
            let parts = try #require(word).split(separator: ".")
            return (try number(parts[0]), parts.count > 1 ? try number(parts[1]) : 0)
        }
        try key.withUnsafeBytes { key in
            while let word = words.next() {
                switch word {
                case "put":
                    let (main, sub) = try revision(words.next())
                    _ = index.put(key, main: main, sub: sub, isLeased: false)
                case "del":
                    let (main, sub) = try revision(words.next())
                    #expect(index.tombstone(key, main: main, sub: sub) != nil)
                case "compact":
                    let at = try number(words.next())
                    #expect(index.compact(key, at: at, limit: .max) { _ in })
                case "restore":
                    let (main, sub) = try revision(words.next())
                    _ = words.next()
                    let created = try number(words.next())
                    _ = words.next()
                    let version = try number(words.next())
                    index.restore(key, KeyState(main: main, sub: sub, created: created, version: version))
                case "restoretombstone":
                    let (main, sub) = try revision(words.next())
                    index.restore(
                        key, KeyState(main: main, sub: sub, created: 0, version: 1, flags: KeyState.tombstoneFlag))
                default: Issue.record("unknown word \(word)")
                }
            }
            #expect(generations(index.reader.record(of: key)?.pointee) == lines(parts[1]))
        }
    }

    private func lines(_ text: Substring) -> [String] {
        text.split(separator: "\n").map(String.init)
    }

    private func generations(_ record: KeyRecord?) -> [String] {
        var result: [String] = []
        var revisions: [String] = []
        var last: KeyState?
        func close() {
            guard let state = last else { return }
            result.append("created \(state.created) version \(state.version): \(revisions.joined(separator: " "))")
            revisions = []
            last = nil
        }
        record?.forEachState { state in
            let sub = state.sub == 0 ? "" : ".\(state.sub)"
            revisions.append("\(state.main)\(sub)\(state.isTombstone ? "t" : "")")
            last = state
            if state.isTombstone { close() }
        }
        close()
        return result
    }

    @Test("refuses to delete a deleted key again")
    func doubleTombstone() {
        let index = KeyIndex()
        Array("k".utf8).withUnsafeBytes { key in
            _ = index.put(key, main: 2, sub: 0, isLeased: false)
            #expect(index.tombstone(key, main: 3, sub: 0)?.main == 2)
            #expect(index.tombstone(key, main: 4, sub: 0) == nil)
        }
    }

    @Test("finds each of many revisions of one key, before and after partial compactions")
    func longHistory() {
        let index = KeyIndex()
        let count: Int64 = 20_000
        Array("hot".utf8).withUnsafeBytes { key in
            for main in 2..<(count + 2) {
                _ = index.put(key, main: main, sub: 0, isLeased: false)
                if main % 1000 == 0 { _ = index.snapshot() }
            }
            func check(from first: Int64) {
                for main in stride(from: first, to: count + 2, by: 37) {
                    #expect(index.reader.state(of: key, at: main)?.main == main)
                    #expect(index.reader.state(of: key, at: main)?.version == main - 1)
                }
            }
            check(from: 2)
            let old = index.snapshot()
            var dropped: [Int64] = []
            while !index.compact(key, at: 15_000, limit: 700, dropped: { dropped.append($0.main) }) {
                _ = index.snapshot()
            }
            #expect(dropped == Array(2..<15_000))
            check(from: 15_000)
            #expect(index.reader.state(of: key, at: 14_999) == nil)
            #expect(old.reader.state(of: key, at: 14_999)?.main == 14_999)
            #expect(old.reader.state(of: key, at: 2)?.main == 2)
            #expect(index.compact(key, at: count + 1, limit: .max) { _ in })
            check(from: count + 1)
            _ = index.put(key, main: count + 2, sub: 0, isLeased: false)
            #expect(index.reader.state(of: key, at: count + 1)?.main == count + 1)
        }
    }

    @Test("keeps order, counts and old versions through random growth and shrinkage", arguments: UInt64(1)...12)
    func randomTree(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let index = KeyIndex()
        // The live keys with their newest revision; deleted keys leave at once, by compaction.
        var model: [[UInt8]: Int64] = [:]
        var versions: [(IndexSnapshot, [[UInt8]: Int64])] = []
        var main: Int64 = 1
        let space = [50, 400, 4000, 20_000][Int(seed % 4)]
        for round in 0..<6000 {
            main += 1
            let number = Int.random(in: 0..<space, using: &random)
            let key = seed % 3 == 0 ? Array("prefix/of/all/\(number)".utf8) : Array("\(number)".utf8)
            let grows = (round / 1500) % 2 == 0
            key.withUnsafeBytes { raw in
                if Int.random(in: 0..<10, using: &random) < (grows ? 8 : 2) {
                    _ = index.put(raw, main: main, sub: 0, isLeased: false)
                    model[key] = main
                } else if let (victim, _) = grows
                    ? model.first(where: { $0.key == key }) : model.randomElement(using: &random)
                {
                    victim.withUnsafeBytes { raw in
                        #expect(index.tombstone(raw, main: main, sub: 0) != nil)
                        #expect(index.compact(raw, at: main + 1, limit: .max) { _ in })
                    }
                    model[victim] = nil
                }
            }
            if round % 97 == 0 {
                versions.append((index.snapshot(), model))
                if versions.count > 6 { versions.remove(at: Int.random(in: 0..<6, using: &random)) }
            }
            if round % 500 == 0 { check(index.reader, model) }
        }
        check(index.reader, model)
        for (version, model) in versions { check(version.reader, model) }
    }

    private func check(_ reader: IndexReader, _ model: [[UInt8]: Int64]) {
        var found: [[UInt8]] = []
        reader.forEach { key, record in
            found.append([UInt8](key.bytes))
            #expect(model[[UInt8](key.bytes)] == record.pointee.current.main)
        }
        let sorted = model.keys.sorted { $0.lexicographicallyPrecedes($1) }
        #expect(found == sorted)
        #expect(reader.liveCount == sorted.count)
        for (number, key) in sorted.enumerated() where number % 7 == 0 {
            key.withUnsafeBytes { raw in
                #expect(reader.state(of: raw, at: .max)?.main == model[key])
                #expect(reader.liveCount(from: raw, to: nil) == sorted.count - number)
            }
        }
    }
}
