import Backend
import Bolt
import Disk
import Testing

/// Defragmentation in small steps, with everything that a member does between them.
@Suite("A defragmentation")
struct DefragmentationTests {
    /// So small that some hundred entries make many steps.
    private static let smallPiece = (bytes: 700, records: 7)

    /// A backend of which most is free pages, and what it must hold.
    private func sparse(_ disk: MemoryDisk, seed: UInt64 = 1) throws -> (Backend, BackendModel) {
        let backend = try Backend(disk: disk, path: "db")
        var model = BackendModel(seed: seed)
        for _ in 0..<12 { try model.change(backend, 40) }
        model.drop(backend, share: 70)
        try model.commit(backend)
        return (backend, model)
    }

    @Test("shows in the new file all that was committed between its steps", arguments: 0..<40)
    func model(seed: Int) throws {
        let disk = MemoryDisk()
        var (backend, model) = try sparse(disk, seed: UInt64(seed))
        for _ in 0..<2 {
            let work = backend.beginDefragmentation(piece: Self.smallPiece)
            var steps = 0
            var held: [(BackendView, [RevisionKey: [UInt8]])] = []
            while try work.step() == .copying {
                steps += 1
                if steps % 7 == 0 { held.append((backend.view(), model.shown)) }
                try model.changeBetweenSteps(backend) { work.follow($0) }
            }
            // A commit that is under way while the files are exchanged goes to the new one.
            try model.change(backend, 3)
            let job = backend.freezeCommit()
            try job?.run()
            backend.finishDefragmentation(work)
            try model.expect(backend)
            if let job {
                backend.finishCommit(job)
                model.noteCommit()
            }
            #expect(steps > 10)
            try model.expect(backend)
            #expect(try Check.findings(in: backend.database) == [])
            for (view, contents) in held { #expect(try BackendModel.contents(of: view) == contents) }
            for _ in 0..<3 { try model.change(backend, 20) }
            try model.commit(backend)
        }
        #expect(!disk.exists("db.tmp"))
        backend.close()
        let again = try Backend(disk: disk, path: "db")
        try model.expect(again)
        #expect(try Check.findings(in: again.database) == [])
    }

    @Test("makes the file smaller and leaves its hash as it was")
    func size() throws {
        var (backend, model) = try sparse(MemoryDisk())
        try model.change(backend, 4000)
        try model.commit(backend)
        model.drop(backend, share: 90)
        try model.commit(backend)
        let size = backend.fileSize
        let hash = try backend.snapshot().hash()
        try backend.defragment()
        #expect(backend.fileSize < size / 2)
        #expect(backend.fileSize - backend.sizeInUse < 10 * 4096)
        #expect(try backend.snapshot().hash() == hash)
        try model.expect(backend)
    }

    @Test("comes to an end however much is written meanwhile")
    func end() throws {
        var (backend, model) = try sparse(MemoryDisk())
        let work = backend.beginDefragmentation(piece: Self.smallPiece)
        var steps = 0
        while try work.step() == .copying, steps < 1000 {
            steps += 1
            // Far more than a piece.
            try model.change(backend, 60)
            let job = try #require(backend.freezeCommit())
            try job.run()
            work.follow(job)
            backend.finishCommit(job)
            model.noteCommit()
        }
        #expect(steps < 100)
        backend.finishDefragmentation(work)
        try model.expect(backend)
    }

    @Test("that is given up leaves the file as it was, and nothing else")
    func cancel() throws {
        let disk = MemoryDisk()
        var (backend, model) = try sparse(disk)
        let unbegun = backend.beginDefragmentation()
        unbegun.cancel()
        let work = backend.beginDefragmentation(piece: Self.smallPiece)
        for _ in 0..<5 { #expect(try work.step() == .copying) }
        #expect(disk.exists("db.tmp"))
        work.cancel()
        #expect(!disk.exists("db.tmp"))
        try model.change(backend, 10)
        try model.commit(backend)
        try model.expect(backend)
        try backend.defragment()
        try model.expect(backend)
    }

    @Test("leaves the disk room for the log, or does not begin")
    func fullDisk() throws {
        let disk = MemoryDisk()
        let (backend, model) = try sparse(disk)
        let used = disk.bytesUsed
        for room in [0, Defragmentation.reservedBytes, Defragmentation.reservedBytes + backend.sizeInUse - 1] {
            disk.faults.spaceLimit = used + room
            #expect(throws: BackendError.self) { try backend.defragment() }
            #expect(!disk.exists("db.tmp"))
            #expect(disk.bytesUsed == used)
        }
        // Others fill the disk while it copies.
        disk.faults.spaceLimit = used + Defragmentation.reservedBytes + 4 * backend.sizeInUse
        let work = backend.beginDefragmentation(piece: Self.smallPiece)
        for _ in 0..<5 { #expect(try work.step() == .copying) }
        disk.faults.spaceLimit = disk.bytesUsed + Defragmentation.reservedBytes
        #expect {
            _ = try work.step()
        } throws: { error in
            guard let error = error as? DefragmentationError, case .noSpace = error.reason else { return false }
            return !error.isFatal
        }
        #expect(disk.bytesUsed == used)
        disk.faults.spaceLimit = nil
        try backend.defragment()
        try model.expect(backend)
    }

    /// What the disk refuses before the new file has the name changes nothing; what it refuses afterwards is fatal.
    @Test("that the disk fails at any operation says whether the member may go on", arguments: [5, 28])
    func failures(code: Int32) throws {
        var operation = 0
        var fatal = 0
        while true {
            operation += 1
            let disk = MemoryDisk()
            var (backend, model) = try sparse(disk)
            let work = backend.beginDefragmentation(piece: (bytes: 4000, records: 200))
            disk.faults.failing = (operation, code)
            do throws(DefragmentationError) {
                while try work.step() == .copying {}
                #expect(fatal > 0)
                break
            } catch {
                disk.faults = MemoryDisk.Faults()
                if error.isFatal {
                    fatal += 1
                } else {
                    #expect(!disk.exists("db.tmp"), "operation \(operation)")
                    try model.change(backend, 10)
                    try model.commit(backend)
                    try model.expect(backend)
                }
                // The next run of the member finds all of it in either case.
                backend.close()
                try model.expect(try Backend(disk: disk, path: "db"))
            }
        }
        #expect(operation > 30)
        #expect(fatal <= 2)
    }

    @Test("that power ends at any operation leaves one good file with all that was committed", arguments: 0..<6)
    func powerLoss(seed: Int) throws {
        var operation = 0
        var survived = false
        while !survived {
            operation += 1
            let disk = MemoryDisk(seed: UInt64(seed))
            var random = SplitMix64(seed: UInt64(operation * 8 + seed))
            var (backend, model) = try sparse(disk, seed: UInt64(seed))
            var inFlight: BackendModel?
            do {
                disk.faults.powerLoss = operation
                let work = backend.beginDefragmentation(piece: (bytes: 3000, records: 60))
                var progress = try work.step()
                while true {
                    var next = model
                    try next.change(backend, 4)
                    inFlight = next
                    let job = try #require(backend.freezeCommit())
                    try job.run()
                    if progress == .copying { work.follow(job) } else { backend.finishDefragmentation(work) }
                    backend.finishCommit(job)
                    next.noteCommit()
                    model = next
                    inFlight = nil
                    if progress == .done { break }
                    progress = try work.step()
                }
                survived = true
            } catch {}
            disk.crash(random: &random)
            backend = try Backend(disk: disk, path: "db")
            #expect(try Check.findings(in: backend.database) == [], "operation \(operation)")
            let found = try BackendModel.contents(of: backend)
            inFlight?.noteCommit()
            #expect(found == model.contents || found == inFlight?.contents, "operation \(operation)")
            // The next one is not in the way of what this one left.
            try backend.defragment()
            #expect(try BackendModel.contents(of: backend) == found)
        }
        #expect(operation > 60)
    }

    @Test("gives one who waits for the lock the new file, and leaves the old one unfit to be opened")
    func lock() throws {
        let disk = MemoryDisk()
        let (backend, model) = try sparse(disk)
        // A process of genuine etcd has opened the old file and waits for its lock.
        let stranger = try disk.open("db", .write)
        #expect(try !stranger.lock(wait: false))
        let other = try Backend(disk: disk, path: "db") {
            try? backend.defragment()
            #expect((try? stranger.isNamed("db", on: disk)) == false)
            backend.close()
        }
        #expect(try BackendModel.contents(of: other) == model.contents)
        let meta = try stranger.read(at: 0, count: 8192)
        #expect(meta.allSatisfy { $0 == 0 })
        other.close()
    }

    @Test("lets snapshots and views of the old file be read to their end")
    func oldReaders() throws {
        let disk = MemoryDisk()
        let (backend, model) = try sparse(disk)
        let snapshot = try backend.snapshot()
        let view = backend.view()
        var image: [UInt8] = []
        var pieces = 0
        try snapshot.write { piece in
            image += piece
            pieces += 1
            if pieces == 2 { try backend.defragment() }
        }
        try disk.open("copy", .create).write(image, at: 0)
        try model.expect(try Backend(disk: disk, path: "copy"))
        #expect(try BackendModel.contents(of: view) == model.shown)
    }
}
