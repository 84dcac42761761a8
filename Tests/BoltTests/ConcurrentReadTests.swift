import Bolt
import Disk
import Testing

/// Readers on other threads see whole states while the writer goes on, on the machine's own file system.
@Suite struct ConcurrentReadTests {
    @Test func everyReadSeesOneRound() async throws {
        let folder = try TemporaryFolder()
        let database = try Database(disk: POSIXDisk(), path: folder.path + "/db", options: .small())
        try writeRound(0, database)
        let rounds = 150
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    var reads = 0
                    var newest = 0
                    while newest < rounds {
                        newest = try readRound(database, notBefore: newest)
                        reads += 1
                    }
                    return reads
                }
            }
            for round in 1...rounds { try writeRound(round, database) }
            for try await reads in group { #expect(reads > 0) }
        }
        #expect(try Check.findings(in: database) == [])
    }

    /// Writes the number of the round to every key; the number of keys changes with it.
    private func writeRound(_ round: Int, _ database: Database) throws {
        try write(database) { transaction in
            let bucket = try transaction.createBucket(ifAbsent: bytes("b"))
            for number in 0..<100 + round % 50 { try bucket.put(bytes("key\(number)"), bytes("\(round)")) }
            for number in 100 + round % 50..<150 { try bucket.delete(bytes("key\(number)")) }
        }
    }

    /// The round that all keys of the newest state hold.
    private func readRound(_ database: Database, notBefore oldest: Int) throws -> Int {
        let read = try database.beginRead()
        defer { read.close() }
        let values = try contents(of: read).buckets[bytes("b")]?.values.values.map {
            String(decoding: $0, as: UTF8.self)
        }
        let rounds = Set(values ?? [])
        let round = try #require(rounds.first.flatMap { Int($0) })
        #expect(rounds.count == 1, "a state is whole")
        #expect(values?.count == 100 + round % 50)
        #expect(round >= oldest, "states do not go backward")
        return round
    }
}
