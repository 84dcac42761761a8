import Bolt
import Disk
import Testing

/// Copies of a database: the whole image for a snapshot, and the tightly packed one of defragmentation.
@Suite struct CopyTests {
    private func fragmented(on disk: MemoryDisk) throws -> Database {
        let database = try Database(disk: disk, path: "db", options: .small())
        for round in 0..<3 {
            try write(database) { transaction in
                let bucket = try transaction.createBucket(ifAbsent: bytes("key"))
                for number in 0..<500 { try bucket.put(bytes("k\(number)"), [UInt8](repeating: 1, count: 90)) }
                try bucket.setSequence(77)
                let nested = try bucket.createBucket(ifAbsent: bytes("nested"))
                for number in 0..<100 { try nested.put(bytes("n\(number)"), bytes("\(round)")) }
                _ = try nested.createBucket(ifAbsent: bytes("empty"))
            }
        }
        try write(database) { transaction in
            let bucket = try #require(try transaction.bucket(bytes("key")))
            for number in 0..<500 where number % 10 != 0 { try bucket.delete(bytes("k\(number)")) }
        }
        return database
    }

    @Test func compactCopyHoldsTheSameInLess() throws {
        let disk = MemoryDisk()
        let database = try fragmented(on: disk)
        try database.compactCopy(to: "copy", on: disk)
        let copy = try Database(disk: disk, path: "copy", options: .small())
        #expect(try contents(of: copy.beginRead()) == contents(of: database.beginRead()))
        #expect(copy.fileSize < database.fileSize / 2)
        #expect(try Check.findings(in: copy) == [])
    }

    /// The image is of the state at the start, however the database changes meanwhile, and is a database of its own.
    @Test(arguments: [false, true])
    func imageIsOneStateWhileWritesGoOn(synchronizesFreelist: Bool) throws {
        let disk = MemoryDisk()
        let database = try fragmented(on: disk)
        let read = try database.beginRead()
        let state = try contents(of: read)
        var image: [UInt8] = []
        var round = 0
        try read.writeCopy { piece in
            image += piece
            round += 1
            try write(database) { try $0.createBucket(ifAbsent: bytes("key")).put(bytes("k\(round)"), bytes("new")) }
        }
        #expect(image.count == read.fileSize)
        try disk.open("image", .create).write(image, at: 0)
        let options = DatabaseOptions.small(synchronizesFreelist: synchronizesFreelist)
        let copy = try Database(disk: disk, path: "image", options: options)
        #expect(try contents(of: copy.beginRead()) == state)
        #expect(try Check.findings(in: copy) == [])
        for round in 0..<3 {
            try write(copy) { try $0.createBucket(ifAbsent: bytes("more")).setSequence(UInt64(round)) }
        }
        #expect(try Check.findings(in: copy) == [])
    }

    @Test func secondOpenerIsToldThatItWaits() throws {
        let disk = MemoryDisk()
        let first = try Database(disk: disk, path: "db", options: .small())
        try write(first) { _ = try $0.createBucket(ifAbsent: bytes("b")) }
        var calls = 0
        let second = try Database(disk: disk, path: "db", options: .small()) {
            calls += 1
            first.close()
        }
        #expect(calls == 1)
        #expect(try second.beginRead().bucketNames() == [bytes("b")])
    }
}
