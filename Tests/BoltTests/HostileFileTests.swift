import Checksum
import Disk
import Testing

@testable import Bolt

/// Files that are damaged, by chance or on purpose, give errors that name the page: never a trap, never an endless walk.
@Suite struct HostileFileTests {
    /// A file with nested, inline and large buckets, overflow pages and free pages.
    private static func sample(synchronizesFreelist: Bool) throws -> [UInt8] {
        let disk = MemoryDisk()
        let database = try Database(
            disk: disk, path: "db", options: .small(synchronizesFreelist: synchronizesFreelist))
        for round in 0..<4 {
            try write(database) { transaction in
                let big = try transaction.createBucket(ifAbsent: bytes("big"))
                for number in 0..<120 { try big.put(bytes("key\(number * 7 % 120)"), bytes("round \(round)")) }
                try big.put(bytes("long"), [UInt8](repeating: 1, count: 5000))
                let nested = try big.createBucket(ifAbsent: bytes("nested"))
                for number in 0..<60 { try nested.put(bytes("n\(number)"), [UInt8](repeating: 2, count: 40)) }
                try transaction.createBucket(ifAbsent: bytes("inline")).put(bytes("a"), bytes("b"))
            }
        }
        let size = database.fileSize
        database.close()
        return try disk.open("db", .read).read(at: 0, count: size)
    }

    private static func disk(with image: [UInt8]) throws -> MemoryDisk {
        let disk = MemoryDisk()
        try disk.open("db", .create).write(image, at: 0)
        return disk
    }

    /// Recomputes the checksums of both meta pages, so that a changed field is believed.
    private static func seal(_ image: inout [UInt8]) {
        for start in [16, 1024 + 16] {
            let hash = image[start..<start + 56].withUnsafeBytes { FNV1a.hash64($0) }
            withUnsafeBytes(of: hash.littleEndian) { image.replaceSubrange(start + 56..<start + 64, with: $0) }
        }
    }

    @Test(arguments: 0..<40)
    func damagedFilesAreWalkedWithoutATrap(seed: UInt64) throws {
        let image = try Self.sample(synchronizesFreelist: seed % 2 == 0)
        var random = SplitMix64(seed: seed)
        for _ in 0..<25 {
            var damaged = image
            for _ in 0..<Int.random(in: 1...6, using: &random) { Self.damage(&damaged, &random) }
            Self.seal(&damaged)
            Self.exercise(try Self.disk(with: damaged))
        }
    }

    /// Changes a byte, or a field where structure is: page headers and the elements after them.
    private static func damage(_ image: inout [UInt8], _ random: inout SplitMix64) {
        let page = Int.random(in: 0..<image.count / 1024, using: &random) * 1024
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            image[Int.random(in: 0..<image.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        case 1:
            let value = [0, 1, 2, 0x7F, 0xFF].randomElement(using: &random) ?? 0
            image[page + Int.random(in: 0..<48, using: &random)] = UInt8(value)
        case 2:
            // A page number: of any page, or beyond all.
            let number = UInt64.random(in: 0...UInt64(image.count / 1024 + 2), using: &random)
            let offset = page + 16 + 8 + 16 * Int.random(in: 0..<4, using: &random)
            withUnsafeBytes(of: number.littleEndian) { image.replaceSubrange(offset..<offset + 8, with: $0) }
        default:
            let other = Int.random(in: 0..<image.count / 1024, using: &random) * 1024
            let copied = 8 + 16 * Int.random(in: 0..<60, using: &random)
            image.replaceSubrange(page + 8..<page + 8 + copied, with: image[other + 8..<other + 8 + copied])
        }
    }

    /// Does what a server does with a file: opens, checks, reads forward and backward, changes, deletes, copies. Each may
    /// fail, with a typed error; none may trap or run for ever.
    private static func exercise(_ disk: MemoryDisk) {
        let options = DatabaseOptions.small()
        do throws(BoltError) {
            let database = try Database(disk: disk, path: "db", options: options)
            defer { database.close() }
            let read = try database.beginRead()
            _ = Check.findings(in: read)
            Check.dump(read) { _ in }
            for name in try read.bucketNames() {
                guard let bucket = try read.bucket(name) else { continue }
                _ = try? bucket.get(bytes("key60"))
                var cursor = bucket.cursor()
                var element = try? cursor.last()
                while element != nil { element = try? cursor.previous() }
                _ = try? cursor.seek(bytes("key5"))
            }
            try? database.compactCopy(to: "copy", on: disk)
            for change in 0..<4 {
                let transaction = try database.beginWrite()
                do throws(BoltError) {
                    try Self.change(transaction, change)
                    try transaction.commit()
                } catch {
                    transaction.rollback()
                }
            }
        } catch {
            #expect(!error.description.isEmpty)
        }
        // A second opening sees what the changes made of it.
        try? Database(disk: disk, path: "db", options: options).close()
    }

    private static func change(_ transaction: WriteTransaction, _ change: Int) throws(BoltError) {
        let big = try transaction.createBucket(ifAbsent: bytes("big"))
        switch change {
        case 0: for number in 0..<120 where number % 3 > 0 { try big.delete(bytes("key\(number)")) }
        case 1: for number in 0..<50 { try big.put(bytes("new\(number)"), [UInt8](repeating: 3, count: 200)) }
        case 2: try big.deleteBucket(bytes("nested"))
        default: try transaction.deleteBucket(bytes("big"))
        }
    }

    // MARK: single defects, each named

    /// A file of 1 KiB pages whose root bucket holds bucket "b" with root page `pages[0]`, which is page 4.
    private func file(_ pages: [[UInt8]]) throws -> MemoryDisk {
        let count = UInt64(4 + pages.count)
        let meta = Meta(
            pageSize: 1024, root: 3, sequence: 0, freeList: Format.noFreeList, pageCount: count, transaction: 1)
        let root = page(3, flags: Format.leafFlag) { $0.leaf(bytes("b"), u64(4) + u64(0), flags: 1) }
        let empty = [UInt8](repeating: 0, count: 1024)
        return try Self.disk(with: empty + meta.page(slot: 1) + empty + root + pages.flatMap { $0 })
    }

    private func u64(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    /// Builds a page element by element.
    private struct PageBuilder {
        var elements: [(head: (UInt32) -> [UInt8], content: [UInt8])] = []

        mutating func leaf(_ key: [UInt8], _ value: [UInt8], flags: UInt32 = 0) {
            let sizes = u32(UInt32(key.count)) + u32(UInt32(value.count))
            elements.append(({ [self] in u32(flags) + u32($0) + sizes }, key + value))
        }

        mutating func branch(_ key: [UInt8], _ child: UInt64) {
            let tail = u32(UInt32(key.count)) + withUnsafeBytes(of: child.littleEndian) { Array($0) }
            elements.append(({ [self] in u32($0) + tail }, key))
        }

        func u32(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    }

    private func page(_ id: UInt64, flags: UInt16, _ build: (inout PageBuilder) -> Void) -> [UInt8] {
        var builder = PageBuilder()
        build(&builder)
        let count = builder.elements.count
        var heads: [UInt8] = []
        var content: [UInt8] = []
        for (index, element) in builder.elements.enumerated() {
            heads += element.head(UInt32((count - index) * 16 + content.count))
            content += element.content
        }
        let header = u64(id) + [UInt8(flags & 0xFF), UInt8(flags >> 8), UInt8(count), 0, 0, 0, 0, 0]
        let page = header + heads + content
        return page + [UInt8](repeating: 0, count: 1024 - page.count)
    }

    /// What check finds and a lookup of `key` in bucket "b" throws.
    private func examine(_ pages: [[UInt8]], key: String) throws -> (findings: [Finding], error: BoltError?) {
        let options = DatabaseOptions(pageSize: 1024, initialMapLength: 1 << 16, readOnly: true)
        let database = try Database(disk: try file(pages), path: "db", options: options)
        let read = try database.beginRead()
        do throws(BoltError) {
            _ = try read.bucket(bytes("b"))?.get(bytes(key))
            return (Check.findings(in: read), nil)
        } catch {
            return (Check.findings(in: read), error)
        }
    }

    @Test func soundPagesHaveNoFindings() throws {
        let branch = page(4, flags: Format.branchFlag) {
            $0.branch(bytes("a"), 5); $0.branch(bytes("m"), 6)
        }
        let left = page(5, flags: Format.leafFlag) {
            $0.leaf(bytes("a"), bytes("1")); $0.leaf(bytes("c"), [])
        }
        let right = page(6, flags: Format.leafFlag) { $0.leaf(bytes("m"), bytes("2")) }
        let (findings, error) = try examine([branch, left, right], key: "c")
        #expect(findings == [])
        #expect(error == nil)
    }

    @Test func pageOutOfBounds() throws {
        let branch = page(4, flags: Format.branchFlag) { $0.branch(bytes("a"), 99) }
        let (findings, error) = try examine([branch], key: "a")
        #expect(error == .damagedPage(id: 99, defect: .outOfBounds(limit: 5)))
        #expect(findings == [Finding(page: 99, problem: .defect(.outOfBounds(limit: 5)))])
    }

    @Test func branchThatIsItsOwnChild() throws {
        let branch = page(4, flags: Format.branchFlag) { $0.branch(bytes("a"), 4) }
        let (findings, error) = try examine([branch], key: "a")
        #expect(error == .damagedPage(id: 4, defect: .tooDeep))
        #expect(findings == [Finding(page: 4, problem: .defect(.usedTwice))])
    }

    @Test func wrongFlagsAndWrongNumber() throws {
        let meta = page(4, flags: Format.metaFlag) { _ in }
        #expect(try examine([meta], key: "a").error == .damagedPage(id: 4, defect: .wrongFlags(4)))
        let stray = page(7, flags: Format.leafFlag) { _ in }
        #expect(try examine([stray], key: "a").error == .damagedPage(id: 4, defect: .wrongID(7)))
    }

    @Test func elementsOutsideThePage() throws {
        var crowded = page(4, flags: Format.leafFlag) { $0.leaf(bytes("a"), []) }
        crowded[10] = 200
        #expect(try examine([crowded], key: "a").error == .damagedPage(id: 4, defect: .elementCount(200)))
        var long = page(4, flags: Format.leafFlag) { $0.leaf(bytes("a"), []) }
        long[16 + 15] = 0x7F
        #expect(try examine([long], key: "a").error == .damagedPage(id: 4, defect: .elementBounds(index: 0)))
    }

    @Test func disorderWithinAndAcrossPages() throws {
        let swapped = page(4, flags: Format.leafFlag) {
            $0.leaf(bytes("b"), []); $0.leaf(bytes("a"), [])
        }
        #expect(try examine([swapped], key: "a").findings == [Finding(page: 4, problem: .disorder(index: 1))])
        let branch = page(4, flags: Format.branchFlag) {
            $0.branch(bytes("b"), 5); $0.branch(bytes("m"), 6)
        }
        let below = page(5, flags: Format.leafFlag) {
            $0.leaf(bytes("a"), []); $0.leaf(bytes("z"), [])
        }
        let right = page(6, flags: Format.leafFlag) { $0.leaf(bytes("m"), []) }
        let findings = try examine([branch, below, right], key: "a").findings
        #expect(
            findings == [
                Finding(page: 5, problem: .belowParent(index: 0)), Finding(page: 5, problem: .beyondParent(index: 1)),
            ])
    }

    @Test func sharedLeafEndsACursor() throws {
        let branch = page(4, flags: Format.branchFlag) {
            $0.branch(bytes("a"), 5); $0.branch(bytes("m"), 5)
        }
        let leaf = page(5, flags: Format.leafFlag) { $0.leaf(bytes("a"), []) }
        let options = DatabaseOptions(pageSize: 1024, initialMapLength: 1 << 16, readOnly: true)
        let database = try Database(disk: try file([branch, leaf]), path: "db", options: options)
        var cursor = try #require(try database.beginRead().bucket(bytes("b"))).cursor()
        #expect(try cursor.first() != nil)
        #expect(throws: BoltError.damagedPage(id: 5, defect: .disorder)) { try cursor.next() }
    }

    @Test func truncatedFileIsRefused() throws {
        let image = try Self.sample(synchronizesFreelist: false)
        for length in stride(from: 0, to: image.count, by: 700) where length > 4096 {
            #expect(throws: BoltError.self) {
                try Database(disk: try Self.disk(with: Array(image[..<length])), path: "db", options: .small())
            }
        }
    }
}
