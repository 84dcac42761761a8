import Disk
import Testing

@testable import Bolt

/// Meta pages: the newer valid one counts, the older one is overwritten next, and a new file is as bbolt makes it.
@Suite struct MetaTests {
    private func image(of disk: MemoryDisk, _ count: Int) throws -> [UInt8] {
        try disk.open("db", .read).read(at: 0, count: count)
    }

    /// The layout of the fields, as bbolt's `internal/common` has it.
    @Test func newFileHasTheKnownBytes() throws {
        let disk = MemoryDisk()
        try Database(disk: disk, path: "db", options: DatabaseOptions(initialMapLength: 1 << 16)).close()
        let image = try image(of: disk, 1 << 20)
        #expect(image.count == 4 * 4096)
        #expect(Array(image[4096..<4096 + 16]) == [1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0])
        let meta: [UInt8] =
            [0xED, 0xDA, 0x0C, 0xED, 2, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]
            + [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            + [2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        #expect(Array(image[4096 + 16..<4096 + 16 + 56]) == meta)
        #expect(Array(image[8192..<8192 + 16]) == [2, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(image[12288..<12288 + 16]) == [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    }

    /// The first meta page of a file that Debian's etcd 3.4.23 wrote, with bbolt's checksum.
    @Test func checksumIsEtcds() throws {
        let fields: [UInt8] =
            [0xED, 0xDA, 0x0C, 0xED, 2, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]
            + [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0xFF, count: 8)
            + [6, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]
            + [0xF0, 0x3A, 0xEE, 0x5F, 0x8F, 0x27, 0x26, 0x67]
        let page = [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0] + fields
        let meta = page.withUnsafeBytes { Meta(page: $0) }
        #expect(
            meta
                == Meta(
                    pageSize: 4096, root: 5, sequence: 0, freeList: Format.noFreeList, pageCount: 6, transaction: 16))
        for index in 16..<80 {
            var damaged = page
            damaged[index] ^= 0x10
            #expect(damaged.withUnsafeBytes { Meta(page: $0) } == nil, "byte \(index) is guarded")
        }
    }

    /// With either meta page wiped, the file opens at the state of the other.
    @Test(arguments: [0, 1])
    func eitherMetaPageSuffices(wiped: Int) throws {
        let disk = MemoryDisk()
        let database = try Database(disk: disk, path: "db", options: .small())
        for number in 2...5 {
            try write(database) { try $0.createBucket(ifAbsent: bytes("b")).put(bytes("state"), bytes("\(number)")) }
        }
        database.close()
        try disk.open("db", .write).write([UInt8](repeating: 0, count: 1024), at: wiped * 1024)
        let reopened = try Database(disk: disk, path: "db", options: .small())
        let state = owned(try reopened.beginRead().bucket(bytes("b"))?.get(bytes("state")))
        // State 5 is in page 1, so wiping that leaves state 4.
        #expect(state == bytes(wiped == 0 ? "5" : "4"))
        // Whichever page is left, the next commit must not be written over it.
        let kept = try image(of: disk, 2048)
        try write(reopened) { try $0.createBucket(ifAbsent: bytes("b")).put(bytes("state"), bytes("next")) }
        let range = (1 - wiped) * 1024..<(2 - wiped) * 1024
        #expect(try Array(image(of: disk, 2048)[range]) == Array(kept[range]))
        reopened.close()
        let last = try Database(disk: disk, path: "db", options: .small())
        #expect(owned(try last.beginRead().bucket(bytes("b"))?.get(bytes("state"))) == bytes("next"))
    }

    /// A snapshot's first meta page may have a number of either parity. When its second one is damaged, the next commit must
    /// not overwrite the first.
    @Test(arguments: [0, 1])
    func onlyGoodMetaPageOfASnapshotIsSpared(parity: UInt64) throws {
        let disk = MemoryDisk()
        let database = try Database(disk: disk, path: "db", options: .small())
        repeat {
            try write(database) { try $0.createBucket(ifAbsent: bytes("b")).put(bytes("state"), bytes("old")) }
        } while try database.beginRead().id % 2 != parity
        var image: [UInt8] = []
        try database.beginRead().writeCopy { image += $0 }
        image.replaceSubrange(1024..<2048, with: [UInt8](repeating: 0, count: 1024))
        try disk.open("image", .create).write(image, at: 0)
        let copy = try Database(disk: disk, path: "image", options: .small())
        try write(copy) { try $0.createBucket(ifAbsent: bytes("b")).put(bytes("state"), bytes("new")) }
        copy.close()
        #expect(try disk.open("image", .read).read(at: 0, count: 1024) == Array(image[..<1024]))
        let last = try Database(disk: disk, path: "image", options: .small())
        #expect(owned(try last.beginRead().bucket(bytes("b"))?.get(bytes("state"))) == bytes("new"))
    }

    @Test func foreignFilesAreRefusedAndLeftAlone() throws {
        for content in [bytes("root:x:0:0\n"), [UInt8](repeating: 7, count: 100_000)] {
            let disk = MemoryDisk()
            try disk.open("db", .create).write(content, at: 0)
            #expect(throws: BoltError.self) { try Database(disk: disk, path: "db", options: .small()) }
            #expect(try image(of: disk, 1 << 20) == content)
        }
    }

    @Test func bothKindsOfFreeListOpenEitherWay() throws {
        let disk = MemoryDisk()
        for round in 0..<8 {
            let database = try Database(disk: disk, path: "db", options: .small(synchronizesFreelist: round % 2 == 0))
            for _ in 0..<3 {
                try write(database) { transaction in
                    let bucket = try transaction.createBucket(ifAbsent: bytes("b"))
                    for number in 0..<200 { try bucket.put(bytes("key\(number)"), bytes("\(round)")) }
                }
                #expect(try Check.findings(in: database) == [])
            }
            let storesFreeList = try database.beginRead().meta.freeList != Format.noFreeList
            #expect(storesFreeList == (round % 2 == 0))
            database.close()
        }
    }

    /// More free pages than a page's 16-bit count can say: the real count is in the list's first entry.
    @Test func longFreeListIsStoredAndLoaded() throws {
        let disk = MemoryDisk()
        let options = DatabaseOptions(pageSize: 1024, initialMapLength: 1 << 27, synchronizesFreelist: true)
        var database = try Database(disk: disk, path: "db", options: options)
        try write(database) {
            try $0.createBucket(ifAbsent: bytes("b")).put(bytes("k"), [UInt8](repeating: 1, count: 70000 * 1024))
        }
        try write(database) { try $0.deleteBucket(bytes("b")) }
        let free = database.freePages.storedCount
        #expect(free > 70000)
        database.close()
        database = try Database(disk: disk, path: "db", options: options)
        #expect(database.freePages.storedCount == free)
        #expect(try Check.findings(in: database) == [])
    }
}
