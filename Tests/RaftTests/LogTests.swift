import RaftMessages
import Testing

@testable import Raft

@Suite("The log and its storage")
struct LogTests {
    private func entries(_ terms: [UInt64], from first: UInt64 = 1) -> [Entry] {
        terms.enumerated().map { Entry(term: $1, index: first + UInt64($0), data: [UInt8($0)]) }
    }

    private func log(stable: [UInt64], unstable: [UInt64]) -> Log {
        let storage = MemoryLogStorage()
        storage.append(entries(stable))
        var log = Log(storage: storage, maximumApplyingSize: .max) { _, _ in }
        log.append(entries(unstable, from: UInt64(stable.count) + 1)[...])
        return log
    }

    @Test("A buffer of entries does what an array does")
    func buffer() {
        var random = SplitMix64(seed: 4)
        var buffer = EntryBuffer()
        var array: [Entry] = []
        var next: UInt64 = 1
        for _ in 0..<3_000 {
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                let added = entries(Array(repeating: 1, count: Int.random(in: 0...9, using: &random)), from: next)
                next += UInt64(added.count)
                buffer.append(contentsOf: added)
                array += added
            case 1:
                let number = Int.random(in: 0...array.count, using: &random)
                buffer.removeFirst(number)
                array.removeFirst(number)
            default:
                let number = Int.random(in: array.count / 2...array.count, using: &random)
                buffer.truncate(to: number)
                array.removeLast(array.count - number)
            }
            #expect(buffer.count == array.count && buffer.last == array.last)
            #expect(Array(buffer.slice(0..<buffer.count)) == array)
        }
    }

    @Test("Storage keeps what was appended last, and answers for the place before its first entry")
    func memoryStorage() throws {
        let storage = MemoryLogStorage()
        storage.append(entries([1, 1, 2, 2, 3]))
        storage.append(entries([4, 4], from: 4))
        #expect(try storage.entries(1..<6, maximumSize: .max).map(\.term) == [1, 1, 2, 4, 4])
        try storage.createSnapshot(at: 3, confState: ConfState(voters: [1]), data: [9])
        try storage.compact(to: 3)
        #expect(storage.firstIndex == 4 && storage.lastIndex == 5)
        #expect(try storage.term(of: 3) == 2)
        #expect(throws: LogStorageError.compacted) { try storage.term(of: 2) }
        #expect(throws: LogStorageError.unavailable) { try storage.term(of: 6) }
        #expect(throws: LogStorageError.compacted) { try storage.entries(3..<5, maximumSize: .max) }
        #expect(throws: LogStorageError.unavailable) { try storage.entries(4..<7, maximumSize: .max) }
        #expect(throws: LogStorageError.compacted) { try storage.compact(to: 3) }
        #expect(throws: LogStorageError.unavailable) { try storage.compact(to: 6) }
        #expect(throws: LogStorageError.snapshotOutOfDate) {
            try storage.createSnapshot(at: 3, confState: nil, data: [])
        }
        #expect(throws: LogStorageError.snapshotOutOfDate) { try storage.applySnapshot(try storage.snapshot()) }
        // Entries that are compacted are left out of what is appended.
        storage.append(entries([1, 1, 2, 5], from: 1))
        #expect(storage.lastIndex == 4)
        #expect(try storage.term(of: 4) == 5)
        try storage.applySnapshot(Snapshot(metadata: SnapshotMetadata(index: 20, term: 6)))
        #expect(storage.firstIndex == 21 && storage.lastIndex == 20)
    }

    @Test("A size limit cuts entries short, but never to none")
    func limits() throws {
        let log = log(stable: [1, 1, 1], unstable: [2, 2, 2])
        let size = UInt64(Entry(term: 1, index: 1, data: [0]).encodedSize)
        for limit in 0...8 {
            let found = try log.slice(1..<7, maximumSize: UInt64(limit) * size)
            #expect(found.map(\.index) == Array(1...UInt64(min(max(limit, 1), 6))))
        }
        #expect(try log.slice(2..<6, maximumSize: .max).map(\.term) == [1, 1, 2, 2])
        #expect(try log.entries(from: 7, maximumSize: .max).isEmpty)
    }

    @Test("A log is as up to date as another by its last term, and with equal terms by its length")
    func upToDate() {
        let log = log(stable: [1, 2], unstable: [3])
        let cases: [(term: UInt64, index: UInt64, isUpToDate: Bool)] = [
            (3, 3, true), (3, 4, true), (3, 2, false), (4, 1, true), (2, 9, false),
        ]
        for (term, index, expected) in cases {
            #expect(log.isUpToDate(LogPosition(term: term, index: index)) == expected, "\(term)/\(index)")
        }
    }

    @Test("Appending keeps what agrees, replaces what does not, and refuses what follows on nothing")
    func append() throws {
        let cases: [(previous: (UInt64, UInt64), terms: [UInt64], last: UInt64?, result: [UInt64])] = [
            ((3, 3), [], 3, [1, 2, 3]),
            ((3, 3), [4, 4], 5, [1, 2, 3, 4, 4]),
            ((1, 1), [2], 2, [1, 2, 3]),
            ((1, 1), [4], 2, [1, 4]),
            ((2, 2), [3, 4], 4, [1, 2, 3, 4]),
            ((2, 3), [4], nil, [1, 2, 3]),
            ((3, 4), [4], nil, [1, 2, 3]),
        ]
        for (previous, terms, last, result) in cases {
            var log = log(stable: [1, 2], unstable: [3])
            let position = LogPosition(term: previous.0, index: previous.1)
            let added = entries(terms, from: previous.1 + 1)
            #expect(log.append(added, after: position, leaderCommit: 0) == last)
            #expect(try log.slice(1..<(log.lastIndex + 1), maximumSize: .max).map(\.term) == result)
        }
    }

    @Test("The search for a place that may agree goes back to the highest one of no later term")
    func conflictByTerm() {
        let log = log(stable: [1, 3, 3], unstable: [5, 5])
        let cases: [(term: UInt64, from: UInt64, found: (UInt64, UInt64))] = [
            (5, 5, (5, 5)), (4, 5, (3, 3)), (2, 5, (1, 1)), (0, 5, (0, 0)), (9, 7, (0, 7)), (3, 2, (3, 2)),
        ]
        for (term, from, found) in cases {
            let expected = LogPosition(term: found.0, index: found.1)
            #expect(log.findConflict(byTerm: term, from: from) == expected, "\(term) from \(from)")
        }
    }

    @Test("What is being written is not handed out again, and what replaces it is")
    func inProgress() {
        var log = log(stable: [1], unstable: [1, 1])
        #expect(log.unstable.nextEntries.map(\.index) == [2, 3])
        log.acceptUnstable()
        #expect(!log.hasNextUnstableEntries && log.hasUnstableEntries)
        log.append(entries([2], from: 3)[...])
        #expect(log.unstable.nextEntries.map(\.term) == [2])
        log.stable(to: LogPosition(term: 1, index: 3))
        #expect(log.unstable.offset == 2, "an acknowledgement of what was replaced is not heard")
        log.stable(to: LogPosition(term: 1, index: 2))
        #expect(log.unstable.offset == 3)
    }
}

@Suite("The window of messages under way")
struct InflightsTests {
    @Test("It is full by number or by bytes, and frees up to an index")
    func window() {
        var window = Inflights(capacity: 3, maximumBytes: 100)
        for index in UInt64(1)...3 { window.add(index: index * 10, bytes: 10) }
        #expect(window.isFull && window.count == 3 && window.bytes == 30)
        window.free(upTo: 5)
        #expect(window.count == 3)
        window.free(upTo: 20)
        #expect(window.count == 1 && window.bytes == 10 && !window.isFull)
        window.add(index: 40, bytes: 200)
        #expect(window.isFull && window.count == 2)
        window.free(upTo: 30)
        #expect(window.count == 1 && window.bytes == 200)
        window.reset()
        #expect(window.count == 0 && window.bytes == 0)
    }

    @Test("It goes round its ring as often as it is used")
    func ring() {
        var window = Inflights(capacity: 5, maximumBytes: .max)
        var expected: [UInt64] = []
        var random = SplitMix64(seed: 6)
        for index in UInt64(1)...2_000 {
            if window.isFull || Bool.random(using: &random) {
                let upTo = expected.randomElement(using: &random) ?? 0
                window.free(upTo: upTo)
                expected.removeAll { $0 <= upTo }
            }
            if !window.isFull {
                window.add(index: index, bytes: index)
                expected.append(index)
            }
            #expect(window.count == expected.count && window.bytes == expected.reduce(0, +))
        }
    }
}
