import Bolt
import Disk
import Testing

/// Random transactions over nested buckets do what a dictionary of dictionaries does.
@Suite struct ModelTests {
    @Test(arguments: 1...12)
    func randomTransactionsMatchTheModel(seed: UInt64) throws {
        var session = try Session(seed: seed)
        for _ in 0..<40 { try session.step() }
        session.closeReaders()
        try session.reopen()
    }

    private struct Session {
        let disk = MemoryDisk()
        let options: DatabaseOptions
        var random: SplitMix64
        var database: Database
        var model = ModelBucket()
        var readers: [(transaction: ReadTransaction, model: ModelBucket)] = []

        init(seed: UInt64) throws {
            random = SplitMix64(seed: seed)
            options = .small(synchronizesFreelist: seed % 2 == 0)
            database = try Database(disk: disk, path: "db", options: options)
        }

        mutating func step() throws {
            let before = model
            let transaction = try database.beginWrite()
            for _ in 0..<Int.random(in: 1...60, using: &random) { try change(transaction) }
            if Int.random(in: 0..<5, using: &random) == 0 {
                transaction.rollback()
                model = before
            } else {
                try transaction.commit()
            }
            #expect(try Check.findings(in: database) == [])
            let read = try database.beginRead()
            #expect(try contents(of: read) == model)
            readers.append((read, model))
            if readers.count > 4 {
                let (oldest, oldModel) = readers.remove(at: Int.random(in: 0..<readers.count, using: &random))
                #expect(try contents(of: oldest) == oldModel, "a reader sees its state until it is closed")
                oldest.close()
            }
            if Int.random(in: 0..<8, using: &random) == 0 {
                closeReaders()
                try reopen()
            }
        }

        mutating func closeReaders() {
            for (transaction, _) in readers { transaction.close() }
            readers = []
        }

        mutating func reopen() throws {
            database.close()
            database = try Database(disk: disk, path: "db", options: options)
            #expect(try Check.findings(in: database) == [])
            let read = try database.beginRead()
            #expect(try contents(of: read) == model)
        }

        /// One random change, or a look at the uncommitted state.
        private mutating func change(_ transaction: WriteTransaction) throws {
            let name = [UInt8.random(in: 97...101, using: &random)]
            guard let path = model.paths.randomElement(using: &random), Int.random(in: 0..<12, using: &random) > 0
            else {
                _ = try transaction.createBucket(ifAbsent: name)
                if model.buckets[name] == nil { model.buckets[name] = ModelBucket() }
                return
            }
            var bucket = try #require(try transaction.bucket(path[0]))
            for name in path.dropFirst() { bucket = try #require(try bucket.bucket(name)) }
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<50: try put(bucket, path)
            case 50..<60: try putAscending(bucket, path)
            case 60..<80: try delete(bucket, path)
            case 80..<84: try deleteMany(bucket, path)
            case 84..<88 where path.count < 4:
                _ = try bucket.createBucket(ifAbsent: name)
                if model[path[...]].buckets[name] == nil { model[path[...]].buckets[name] = ModelBucket() }
            case 88..<90:
                try bucket.setSequence(UInt64(path.count))
                model[path[...]].sequence = UInt64(path.count)
            case 90..<91:
                try deleteBucket(transaction, path)
            default:
                try compare(bucket, model[path[...]])
            }
        }

        private mutating func randomKey() -> [UInt8] {
            bytes("key-\(Int.random(in: 0..<400, using: &random))")
        }

        private mutating func randomValue() -> [UInt8] {
            let size =
                Int.random(in: 0..<20, using: &random) == 0
                ? Int.random(in: 0..<5000, using: &random) : Int.random(in: 0..<80, using: &random)
            return [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: size)
        }

        private mutating func put(_ bucket: WritableBucket, _ path: [[UInt8]]) throws {
            let (key, value) = (randomKey(), randomValue())
            try bucket.put(key, value)
            model[path[...]].values[key] = value
        }

        private mutating func putAscending(_ bucket: WritableBucket, _ path: [[UInt8]]) throws {
            bucket.fillPercent = 0.9
            let start = Int.random(in: 1000..<9000, using: &random)
            for number in start..<start + 30 {
                let (key, value) = (bytes("key-\(number)"), randomValue())
                try bucket.put(key, value)
                model[path[...]].values[key] = value
            }
        }

        private mutating func delete(_ bucket: WritableBucket, _ path: [[UInt8]]) throws {
            let key = randomKey()
            let wasThere = model[path[...]].values.removeValue(forKey: key) != nil
            #expect(try bucket.delete(key) == wasThere)
        }

        private mutating func deleteMany(_ bucket: WritableBucket, _ path: [[UInt8]]) throws {
            let keep = Int.random(in: 1...10, using: &random)
            for (index, key) in model[path[...]].values.keys.sorted(by: { $0.lexicographicallyPrecedes($1) })
                .enumerated()
            where index % keep != 0 || keep == 1 {
                #expect(try bucket.delete(key))
                model[path[...]].values[key] = nil
            }
        }

        private mutating func deleteBucket(_ transaction: WriteTransaction, _ path: [[UInt8]]) throws {
            guard let last = path.last else { return }
            let parent = path.dropLast()
            model[parent].buckets[last] = nil
            guard let first = parent.first else { return try transaction.deleteBucket(last) }
            var bucket = try #require(try transaction.bucket(first))
            for name in parent.dropFirst() { bucket = try #require(try bucket.bucket(name)) }
            try bucket.deleteBucket(last)
        }

        /// Lookups and cursors in the transaction see its changes.
        private mutating func compare(_ bucket: WritableBucket, _ model: ModelBucket) throws {
            let keys = model.orderedKeys
            let key = randomKey()
            #expect(owned(try bucket.get(key)) == model.values[key])
            var cursor = bucket.cursor()
            let sought = try cursor.seek(key)?.key
            #expect(owned(sought) == keys.first { !$0.lexicographicallyPrecedes(key) })
            if sought != nil {
                let before = try cursor.previous()?.key
                #expect(owned(before) == keys.last { $0.lexicographicallyPrecedes(key) })
            }
            var backward: [[UInt8]] = []
            var element = try cursor.last()
            while let (key, value) = element {
                let key = [UInt8](key)
                backward.append(key)
                #expect(owned(value) == model.values[key])
                element = try cursor.previous()
            }
            #expect(backward.reversed() == keys)
        }
    }
}
