import Backend
import Bolt
import Disk
import Testing

@Suite("The backend")
struct BackendTests {
    private func open(_ disk: MemoryDisk) throws -> Backend { try Backend(disk: disk, path: "db") }

    /// The changes that a view shows, as main revisions.
    private func revisions(_ view: BackendView) throws -> [Int64] {
        var found: [Int64] = []
        try view.forEach(fromMain: 0) { key, _ in
            found.append(key.main)
            return true
        }
        return found
    }

    @Test("makes etcd's buckets in a new file")
    func buckets() throws {
        let backend = try open(MemoryDisk())
        backend.close()
        #expect(
            BackendBucket.allCases.map { String(decoding: $0.name, as: UTF8.self) } == [
                "alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed",
                "meta",
            ])
    }

    @Test("shows pending writes to its owner, and after a commit to the next that opens the file")
    func pending() throws {
        let disk = MemoryDisk()
        do {
            let backend = try open(disk)
            backend.put(.lease, [1], [10])
            backend.put(.lease, [2], [20])
            #expect(try backend.get(.lease, [1]) == [10])
            let job = try #require(backend.freezeCommit())
            backend.put(.lease, [1], [11])
            backend.delete(.lease, [2])
            #expect(try backend.get(.lease, [1]) == [11])
            #expect(try backend.get(.lease, [2]) == nil)
            #expect(try backend.all(.lease).map(\.value) == [[11]])
            try job.run()
            backend.finishCommit(job)
            #expect(try backend.all(.lease).map(\.value) == [[11]])
            try backend.commitNow()
            backend.close()
        }
        let again = try open(disk)
        #expect(try again.all(.lease).map(\.key) == [[1]])
        #expect(try again.get(.lease, [1]) == [11])
    }

    @Test("stores the consistent index and term with the writes that they cover, and never before")
    func consistentIndex() throws {
        let disk = MemoryDisk()
        var random = SystemRandomNumberGenerator()
        do {
            let backend = try open(disk)
            #expect(backend.consistentIndex == 0)
            backend.put(.alarm, [1], [1])
            backend.setConsistentIndex(5, term: 2)
            let job = try #require(backend.freezeCommit())
            backend.put(.alarm, [2], [2])
            backend.setConsistentIndex(6, term: 3)
            #expect(backend.consistentIndex == 6)
            try job.run()
            backend.finishCommit(job)
        }
        disk.crash(random: &random)
        do {
            let backend = try open(disk)
            #expect(backend.consistentIndex == 5)
            #expect(backend.term == 2)
            #expect(try backend.all(.alarm).map(\.key) == [[1]])
            #expect(try backend.get(.meta, MetaKey.consistentIndex) == [0, 0, 0, 0, 0, 0, 0, 5])
            #expect(backend.freezeCommit() == nil)
            // An entry without effects still moves the index.
            backend.setConsistentIndex(7, term: 3)
            #expect(backend.pendingOperations == 0)
            try backend.commitNow()
            backend.close()
        }
        #expect(try open(disk).consistentIndex == 7)
    }

    @Test("has one commit in flight at a time")
    func oneCommit() throws {
        let backend = try open(MemoryDisk())
        #expect(backend.freezeCommit() == nil)
        backend.put(.auth, [1], [1])
        let job = try #require(backend.freezeCommit())
        #expect(job.operations == 1)
        backend.put(.auth, [2], [2])
        #expect(backend.isCommitting)
        #expect(backend.freezeCommit() == nil)
        try job.run()
        backend.finishCommit(job)
        #expect(!backend.isCommitting)
        #expect(backend.freezeCommit()?.operations == 1)
    }

    @Test("keeps a view as it was through appends, commits, drops and defragmentation")
    func views() throws {
        let backend = try open(MemoryDisk())
        var views: [(BackendView, [Int64])] = []
        var next: Int64 = 1
        func append(_ count: Int) {
            for _ in 0..<count {
                backend.appendKeyValue(RevisionKey(main: next, sub: 0), [UInt8](repeating: 7, count: 30))
                next += 1
            }
        }
        func look() { views.append((backend.view(), Array(1..<next))) }
        for round in 0..<4 {
            append(300)
            look()
            let job = try #require(backend.freezeCommit())
            append(400)
            look()
            try job.run()
            look()
            backend.finishCommit(job)
            look()
            append(5)
            if round == 2 { try backend.defragment() }
            look()
        }
        for (view, expected) in views { #expect(try revisions(view) == expected) }
        let before = backend.view()
        let size = backend.fileSize
        for main in 1..<next - 1 { backend.deleteKeyValue(RevisionKey(main: main, sub: 0)) }
        try backend.commitNow()
        #expect(try revisions(backend.view()) == [next - 1])
        #expect(try revisions(before) == Array(1..<next))
        try backend.defragment()
        #expect(backend.fileSize < size)
        #expect(try revisions(backend.view()) == [next - 1])
        #expect(try revisions(before) == Array(1..<next))
        var valueSize = 0
        #expect(try before.withValue(main: 3, sub: 0) { valueSize = $0.count })
        #expect(valueSize == 30)
        #expect(try !backend.view().withValue(main: 3, sub: 0) { _ in })
    }

    @Test("a snapshot is a file that opens, as of the commit before it")
    func snapshot() throws {
        let disk = MemoryDisk()
        let backend = try open(disk)
        for main in 1...500 {
            backend.appendKeyValue(RevisionKey(main: Int64(main), sub: 0), [UInt8](repeating: 1, count: 100))
        }
        try backend.commitNow()
        let snapshot = try backend.snapshot()
        backend.appendKeyValue(RevisionKey(main: 501, sub: 0), [])
        try backend.commitNow()
        var image: [UInt8] = []
        try snapshot.write { image += $0 }
        #expect(image.count == snapshot.size)
        try disk.open("copy", .create).write(image, at: 0)
        let copy = try Backend(disk: disk, path: "copy")
        #expect(try revisions(copy.view()) == Array(1...500))
        #expect(try copy.snapshot().hash() == snapshot.hash())
        #expect(try backend.snapshot().hash() != snapshot.hash())
    }

    @Test("a defragmentation that the disk fails leaves the file as it was", arguments: 1...60)
    func failedDefragmentation(operation: Int) throws {
        let disk = MemoryDisk()
        let backend = try open(disk)
        for main in 1...50 { backend.appendKeyValue(RevisionKey(main: Int64(main), sub: 0), [1]) }
        try backend.commitNow()
        disk.faults.failing = (operation, 5)
        let succeeded = (try? backend.defragment()) != nil
        disk.faults = MemoryDisk.Faults()
        #expect(try revisions(backend.view()) == Array(1...50))
        if !succeeded { #expect(!disk.exists("db.tmp")) }
        backend.appendKeyValue(RevisionKey(main: 51, sub: 0), [1])
        try backend.commitNow()
        backend.close()
        #expect(try revisions(open(disk).view()) == Array(1...51))
    }

    @Test("power lost at any point of a commit leaves all of it or nothing", arguments: 1...40)
    func powerLoss(operation: Int) throws {
        let disk = MemoryDisk(seed: UInt64(operation))
        var random = SystemRandomNumberGenerator()
        do {
            let backend = try open(disk)
            backend.appendKeyValue(RevisionKey(main: 2, sub: 0), [1])
            backend.setConsistentIndex(1, term: 1)
            try backend.commitNow()
            for main in 3...40 {
                backend.appendKeyValue(RevisionKey(main: Int64(main), sub: 0), [UInt8](repeating: 1, count: 500))
            }
            backend.deleteKeyValue(RevisionKey(main: 2, sub: 0))
            backend.setConsistentIndex(2, term: 1)
            disk.faults.powerLoss = operation
            try? backend.freezeCommit()?.run()
        }
        disk.crash(random: &random)
        let backend = try open(disk)
        let found = try revisions(backend.view())
        #expect(backend.consistentIndex == 1 ? found == [2] : found == Array(3...40))
    }
}
