import Bolt
import Disk
import Testing

@Suite struct RoundTripTests {
    @Test func committedRecordsAreReadBack() throws {
        let disk = POSIXDisk()
        let folder = try TemporaryFolder()
        let path = folder.path + "/db"
        do {
            let database = try Database(disk: disk, path: path)
            let write = try database.beginWrite()
            let bucket = try write.createBucket(ifAbsent: Array("key".utf8))
            for number in 0..<1000 { try bucket.put(Array("key\(1000 + number)".utf8), Array("value\(number)".utf8)) }
            try write.commit()
            database.close()
        }
        let database = try Database(disk: disk, path: path)
        let read = try database.beginRead()
        let bucket = try #require(try read.bucket(Array("key".utf8)))
        for number in 0..<1000 {
            let value = try bucket.get(Array("key\(1000 + number)".utf8))
            #expect(value.map { Array($0) } == Array("value\(number)".utf8))
        }
        #expect(try bucket.get(Array("absent".utf8)) == nil)
    }
}
