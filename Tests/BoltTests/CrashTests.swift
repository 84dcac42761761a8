import Bolt
import Disk
import Testing

/// Power losses and refusals of the disk at every single operation.
@Suite struct CrashTests {
    /// After a power loss at any operation, with whatever the disk kept of unsynchronised writes, the file holds the last
    /// acknowledged state or the one being committed, and takes further commits.
    @Test(arguments: [false, true])
    func powerLossLeavesOneOfTwoStates(synchronizesFreelist: Bool) throws {
        let options = DatabaseOptions.small(synchronizesFreelist: synchronizesFreelist)
        let complete = MemoryDisk()
        let workload = Workload(seed: 7)
        _ = try workload.run(on: complete, options)
        let operations = complete.operations
        #expect(operations > 60)
        for operation in 1...operations {
            for seed in 0..<3 {
                let disk = MemoryDisk()
                disk.faults.powerLoss = operation
                let states = workload.statesAtFailure(on: disk, options)
                var random = SplitMix64(seed: UInt64(operation * 3 + seed))
                disk.crash(random: &random)
                try expect(disk, options, holdsOneOf: states, "power loss at operation \(operation), seed \(seed)")
            }
        }
    }

    /// After a failed operation the open database is at its previous state; it goes on, or refuses further writes.
    @Test(arguments: [5 /* EIO */, 28 /* ENOSPC */])
    func failedOperationKeepsThePreviousState(code: Int32) throws {
        let options = DatabaseOptions.small()
        let complete = MemoryDisk()
        let workload = Workload(seed: 11)
        let opening = try Workload(seed: 11, transactions: 0).run(on: complete, options)
        let firstCommit = complete.operations + 1
        opening.close()
        let rehearsal = MemoryDisk()
        try workload.run(on: rehearsal, options).close()
        for operation in firstCommit...rehearsal.operations {
            let disk = MemoryDisk()
            let database = try Database(disk: disk, path: "db", options: options)
            disk.faults.failing = (operation - disk.operations, code)
            var model = ModelBucket()
            var refused = false
            for number in 0..<workload.transactions where !refused {
                var next = model
                do {
                    try workload.commit(number, to: database, &next)
                    model = next
                } catch BoltError.disk {
                    // The same changes go through at once, or no changes do any more.
                    do {
                        next = model
                        try workload.commit(number, to: database, &next)
                        model = next
                    } catch BoltError.writesRefused {
                        refused = true
                    }
                }
                let read = try database.beginRead()
                #expect(try contents(of: read) == model, "failure at operation \(operation)")
            }
            if !refused { #expect(try Check.findings(in: database) == []) }
            database.close()
            let states = refused ? workload.states : [model]
            try expect(disk, options, holdsOneOf: states, "failure at operation \(operation)")
        }
    }

    private func expect(
        _ disk: MemoryDisk, _ options: DatabaseOptions, holdsOneOf states: [ModelBucket], _ comment: Comment
    ) throws {
        let database = try Database(disk: disk, path: "db", options: options)
        #expect(try Check.findings(in: database) == [], comment)
        let found = try contents(of: try database.beginRead())
        #expect(states.contains(found), comment)
        try write(database) { try $0.createBucket(ifAbsent: bytes("after")).put(bytes("a"), bytes("b")) }
        #expect(try Check.findings(in: database) == [], comment)
        database.close()
    }
}

/// Transactions that grow, change, shrink and nest, the same for every run.
private struct Workload {
    var seed: UInt64
    var transactions = 12

    /// The states after each transaction, the empty one first.
    var states: [ModelBucket] {
        var model = ModelBucket()
        let disk = MemoryDisk()
        guard let database = try? Database(disk: disk, path: "db", options: .small()) else { return [] }
        return [model]
            + (0..<transactions).map { number in
                try? commit(number, to: database, &model)
                return model
            }
    }

    func commit(_ number: Int, to database: Database, _ model: inout ModelBucket) throws {
        var random = SplitMix64(seed: seed &+ UInt64(number))
        let transaction = try database.beginWrite()
        let name = bytes("bucket\(number % 3)")
        let bucket = try transaction.createBucket(ifAbsent: name)
        var changed = model.buckets[name] ?? ModelBucket()
        for index in 0..<40 {
            let key = bytes("key\(Int.random(in: 0..<80, using: &random))")
            if index % 3 == 2 {
                try bucket.delete(key)
                changed.values[key] = nil
            } else {
                let size = index == 0 ? 3000 : Int.random(in: 0..<120, using: &random)
                let value = [UInt8](repeating: UInt8(number), count: size)
                try bucket.put(key, value)
                changed.values[key] = value
            }
        }
        model.buckets[name] = changed
        if number % 5 == 4 {
            try transaction.deleteBucket(bytes("bucket1"))
            model.buckets[bytes("bucket1")] = nil
        }
        try transaction.commit()
    }

    /// Runs all transactions on a new database.
    func run(on disk: MemoryDisk, _ options: DatabaseOptions) throws -> Database {
        let database = try Database(disk: disk, path: "db", options: options)
        var model = ModelBucket()
        for number in 0..<transactions { try commit(number, to: database, &model) }
        return database
    }

    /// Runs until an operation fails: the state before the transaction that failed, and the one it was to make.
    func statesAtFailure(on disk: MemoryDisk, _ options: DatabaseOptions) -> [ModelBucket] {
        var model = ModelBucket()
        guard let database = try? Database(disk: disk, path: "db", options: options) else { return [model] }
        for number in 0..<transactions {
            var next = model
            do { try commit(number, to: database, &next) } catch {
                // What the transaction was to make, known from a run without failures.
                return [model, states[number + 1]]
            }
            model = next
        }
        return [model]
    }
}
