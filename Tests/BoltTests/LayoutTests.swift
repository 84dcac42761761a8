import Bolt
import Disk
import Testing

/// Every small layout: all numbers of records around the points where pages split, merge and leave or enter the parent.
@Suite struct LayoutTests {
    private func key(_ number: Int) -> [UInt8] { bytes("key-\(1000 + number)") }

    private func database(_ count: Int, valueSize: Int, fillPercent: Double) throws -> Database {
        let database = try Database(disk: MemoryDisk(), path: "db", options: .small())
        try write(database) {
            let bucket = try $0.createBucket(ifAbsent: bytes("b"))
            bucket.fillPercent = fillPercent
            for number in 0..<count { try bucket.put(key(number), [UInt8](repeating: 1, count: valueSize)) }
        }
        return database
    }

    private func keys(_ database: Database) throws -> [[UInt8]] {
        try contents(of: try database.beginRead()).buckets[bytes("b")]?.orderedKeys ?? []
    }

    @Test(arguments: [(0, 0.5), (30, 0.9), (200, 0.5), (600, 1.0), (1500, 0.5)])
    func everyCountThenEveryPrefixAndSuffixDeleted(valueSize: Int, fillPercent: Double) throws {
        for count in 0...60 {
            let database = try database(count, valueSize: valueSize, fillPercent: fillPercent)
            #expect(try Check.findings(in: database) == [])
            #expect(try keys(database) == (0..<count).map(key))
            let middle = count * 2 / 3
            for doomed in [0..<middle, middle..<count] {
                try write(database) { transaction in
                    let bucket = try #require(try transaction.bucket(bytes("b")))
                    for number in doomed { #expect(try bucket.delete(key(number))) }
                }
                #expect(try Check.findings(in: database) == [])
            }
            #expect(try keys(database) == [])
        }
    }

    @Test func everySingleRecordDeletedAndPutBack() throws {
        let database = try database(60, valueSize: 100, fillPercent: 0.5)
        for number in 0..<60 {
            try write(database) { transaction in
                let bucket = try #require(try transaction.bucket(bytes("b")))
                #expect(try bucket.delete(key(number)))
            }
            #expect(try keys(database) == (0..<60).filter { $0 != number }.map(key))
            try write(database) { try $0.bucket(bytes("b"))?.put(key(number), bytes("back")) }
            #expect(try keys(database) == (0..<60).map(key))
            #expect(try Check.findings(in: database) == [])
        }
    }

    @Test func ascendingKeysFillPagesAndDescendingKeysKeepOrder() throws {
        let tight = try database(2000, valueSize: 50, fillPercent: 0.9)
        let loose = try database(2000, valueSize: 50, fillPercent: 0.5)
        #expect(Double(tight.fileSize) < Double(loose.fileSize) * 0.7)
        let descending = try Database(disk: MemoryDisk(), path: "db", options: .small())
        for number in stride(from: 300, to: 0, by: -1) {
            try write(descending) { try $0.createBucket(ifAbsent: bytes("b")).put(key(number), bytes("v")) }
        }
        #expect(try keys(descending) == (1...300).map(key))
        #expect(try Check.findings(in: descending) == [])
    }

    @Test func refusals() throws {
        let database = try database(1, valueSize: 1, fillPercent: 0.5)
        let transaction = try database.beginWrite()
        let bucket = try #require(try transaction.bucket(bytes("b")))
        #expect(throws: BoltError.keyRequired) { try bucket.put([], bytes("v")) }
        #expect(throws: BoltError.keyTooLarge(size: 32769)) {
            try bucket.put([UInt8](repeating: 0, count: 32769), bytes("v"))
        }
        _ = try bucket.createBucket(bytes("nested"))
        #expect(throws: BoltError.bucketExists(name: bytes("nested"))) { try bucket.createBucket(bytes("nested")) }
        #expect(throws: BoltError.incompatibleValue(key: bytes("nested"))) { try bucket.put(bytes("nested"), []) }
        #expect(throws: BoltError.incompatibleValue(key: bytes("nested"))) { try bucket.delete(bytes("nested")) }
        #expect(throws: BoltError.incompatibleValue(key: key(0))) { try bucket.createBucket(ifAbsent: key(0)) }
        #expect(throws: BoltError.bucketNotFound(name: bytes("absent"))) { try bucket.deleteBucket(bytes("absent")) }
        #expect(owned(try bucket.get(bytes("nested"))) == nil)
        try transaction.commit()
        #expect(throws: BoltError.transactionFinished) { try bucket.put(key(5), []) }
        #expect(throws: BoltError.transactionFinished) { try transaction.commit() }
        database.close()
        #expect(throws: BoltError.closed) { try database.beginRead() }
        #expect(throws: BoltError.closed) { try database.beginWrite() }
    }

    @Test func borrowedBytesAreWrittenAtCommit() throws {
        let database = try Database(disk: MemoryDisk(), path: "db", options: .small())
        let transaction = try database.beginWrite()
        let bucket = try transaction.createBucket(ifAbsent: bytes("b"))
        try bytes("key").withUnsafeBytes { key in
            try bytes("value").withUnsafeBytes { value in
                try bucket.putBorrowed(key, value)
                try transaction.commit()
            }
        }
        #expect(owned(try database.beginRead().bucket(bytes("b"))?.get(bytes("key"))) == bytes("value"))
    }
}
