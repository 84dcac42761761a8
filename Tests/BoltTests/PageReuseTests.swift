import Disk
import Testing

@testable import Bolt

/// Freed pages wait for the readers that can reach them, then are used again.
@Suite struct PageReuseTests {
    private func overwrite(_ database: Database, _ round: Int) throws {
        try write(database) {
            let bucket = try $0.createBucket(ifAbsent: bytes("key"))
            for number in 0..<50 { try bucket.put(bytes("key\(number)"), bytes("round \(round), \(number)")) }
        }
    }

    @Test(arguments: [false, true])
    func overwritingDoesNotGrowTheFile(synchronizesFreelist: Bool) throws {
        let database = try Database(
            disk: MemoryDisk(), path: "db", options: .small(synchronizesFreelist: synchronizesFreelist))
        for round in 0..<10 { try overwrite(database, round) }
        let size = database.fileSize
        for round in 10..<200 { try overwrite(database, round) }
        #expect(database.fileSize == size)
        #expect(try Check.findings(in: database) == [])
    }

    @Test func overwritingUnderARollingReaderDoesNotGrowTheFile() throws {
        let database = try Database(disk: MemoryDisk(), path: "db", options: .small())
        var reader = try database.beginRead()
        for round in 0..<10 {
            try overwrite(database, round)
            reader = try database.beginRead()
        }
        let size = database.fileSize
        for round in 10..<200 {
            try overwrite(database, round)
            reader = try database.beginRead()
        }
        #expect(database.fileSize == size)
        #expect(owned(try reader.bucket(bytes("key"))?.get(bytes("key0"))) == bytes("round 199, 0"))
    }

    /// A snapshot that is read for a long time holds back its own pages alone, not those that come and go after it.
    @Test func longReaderHoldsBackOnlyItsOwnPages() throws {
        let database = try Database(disk: MemoryDisk(), path: "db", options: .small())
        for round in 0..<5 { try overwrite(database, round) }
        let reader = try database.beginRead()
        let state = try contents(of: reader)
        for round in 5..<15 { try overwrite(database, round) }
        let size = database.fileSize
        for round in 15..<200 { try overwrite(database, round) }
        #expect(database.fileSize == size)
        #expect(try contents(of: reader) == state)
        reader.close()
        try overwrite(database, 200)
        try overwrite(database, 201)
        #expect(database.sizeInUse < size / 2 + 8 * 1024, "what the reader held back is free again")
        #expect(try Check.findings(in: database) == [])
    }

    @Test func deletingEverythingFreesThePages() throws {
        let database = try Database(disk: MemoryDisk(), path: "db", options: .small())
        try overwrite(database, 0)
        let used = database.sizeInUse
        try write(database) { transaction in
            let bucket = try #require(try transaction.bucket(bytes("key")))
            for number in 0..<50 { #expect(try bucket.delete(bytes("key\(number)"))) }
        }
        try write(database) { try $0.createBucket(ifAbsent: bytes("other")).setSequence(1) }
        #expect(database.sizeInUse < used)
        let read = try database.beginRead()
        #expect(try read.bucketNames() == [bytes("key"), bytes("other")])
        #expect(try contents(of: read).buckets[bytes("key")] == ModelBucket())
    }

    /// Runs taken and returned in random order are what a set of page numbers says.
    @Test(arguments: 1...5)
    func spansMatchASet(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var spans = SpanMap()
        var free: Set<UInt64> = []
        var taken: [PageRun] = [PageRun(start: 2, count: 500)]
        for _ in 0..<2000 {
            if Bool.random(using: &random), let index = taken.indices.randomElement(using: &random) {
                let run = taken.remove(at: index)
                let cut = UInt64.random(in: 1...run.count, using: &random)
                spans.insert(PageRun(start: run.start, count: cut))
                free.formUnion(run.start..<run.start + cut)
                if cut < run.count { taken.append(PageRun(start: run.start + cut, count: run.count - cut)) }
            } else {
                let count = UInt64.random(in: 1...12, using: &random)
                let near = UInt64.random(in: 2..<502, using: &random)
                guard let run = spans.take(count, near: near) else {
                    let hasRun = free.contains { start in (start..<start + count).allSatisfy(free.contains) }
                    #expect(!hasRun, "pages are refused only when no run is long enough")
                    continue
                }
                #expect(run.count == count)
                #expect(free.isSuperset(of: run.start..<run.end))
                free.subtract(run.start..<run.end)
                taken.append(run)
            }
            #expect(spans.pageCount == UInt64(free.count))
        }
        let runs = spans.runs.sorted { $0.start < $1.start }
        #expect(runs.flatMap { $0.start..<$0.end } == free.sorted())
        for (left, right) in zip(runs, runs.dropFirst()) { #expect(left.end < right.start, "neighbours are joined") }
    }
}
