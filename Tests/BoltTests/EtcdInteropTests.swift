import Bolt
import Disk
import GenuineEtcd
import Testing

/// Database files travel between this module and genuine etcd 3.4, both ways.
@Suite(
    .enabled(if: GenuineEtcd.isInstalled, "needs /usr/bin/etcd and /usr/bin/etcdctl (Debian: etcd-server, etcd-client)")
)
struct EtcdInteropTests {
    private static let etcdBuckets = [
        "alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "meta",
    ]

    /// Writes keys, deletes, leases and compactions with etcd; returns what etcdctl then lists.
    private func fill(_ etcd: GenuineEtcd) throws -> String {
        try etcd.running {
            for number in 0..<60 {
                try etcd.control("put", "key\(number)", String(repeating: "v", count: number * 100))
            }
            try etcd.control("del", "key1", "key19")
            let lease = try etcd.control("lease", "grant", "3600").split(separator: " ")[1]
            try etcd.control("put", "leased", "value", "--lease=\(lease)")
            try etcd.control("compact", "40")
            return try etcd.control("get", "--prefix", "")
        }
    }

    private func expectClean(_ path: String) throws {
        let database = try Database(disk: POSIXDisk(), path: path, options: DatabaseOptions(readOnly: true))
        defer { database.close() }
        let read = try database.beginRead()
        #expect(Check.findings(in: read) == [])
        #expect(Set(try read.bucketNames()).isSuperset(of: Self.etcdBuckets.map(bytes)))
        var cursor = try #require(try read.bucket(bytes("key"))).cursor()
        #expect(try cursor.first() != nil)
    }

    @Test func etcdsFileOpensHereAndOursThere() throws {
        let etcd = try GenuineEtcd()
        let listed = try fill(etcd)
        #expect(listed.contains("leased"))
        try expectClean(etcd.databasePath)
        for synchronizesFreelist in [true, false] {
            try rewrite(etcd.databasePath, synchronizesFreelist: synchronizesFreelist)
            try expectClean(etcd.databasePath)
            // etcd reads its keys from our file and writes to it again.
            #expect(try etcd.running { try etcd.control("get", "--prefix", "") } == listed)
            let changed = try etcd.running {
                for number in 0..<20 { try etcd.control("put", "more\(number)", "value") }
                try etcd.control("del", "--prefix", "more")
                return try etcd.control("get", "--prefix", "")
            }
            #expect(changed == listed)
            try expectClean(etcd.databasePath)
        }
    }

    @Test func etcdRunsOnOurCompactCopy() throws {
        let etcd = try GenuineEtcd()
        let listed = try fill(etcd)
        let copyPath = etcd.folder + "/copy"
        do {
            let database = try Database(disk: POSIXDisk(), path: etcd.databasePath)
            defer { database.close() }
            try database.compactCopy(to: copyPath, on: POSIXDisk())
        }
        try expectClean(copyPath)
        let before = try etcd.control("snapshot", "status", etcd.databasePath)
        let after = try etcd.control("snapshot", "status", copyPath)
        // Hash, revision and number of keys are the same; the size, last, need not be.
        #expect(before.split(separator: ",").dropLast() == after.split(separator: ",").dropLast())
        try POSIXDisk().rename(copyPath, to: etcd.databasePath)
        #expect(try etcd.running { try etcd.control("get", "--prefix", "") } == listed)
        try expectClean(etcd.databasePath)
    }

    /// Adds a bucket, grows and shrinks it over several transactions, and deletes it again, so that etcd's own pages lie
    /// among ours and free ones.
    private func rewrite(_ path: String, synchronizesFreelist: Bool) throws {
        let options = DatabaseOptions(synchronizesFreelist: synchronizesFreelist)
        let database = try Database(disk: POSIXDisk(), path: path, options: options)
        defer { database.close() }
        for round in 0..<3 {
            try write(database) { transaction in
                let extra = try transaction.createBucket(ifAbsent: bytes("extra"))
                for number in 0..<3000 where number % 3 == round {
                    try extra.put(bytes("record\(number)"), [UInt8](repeating: 1, count: 100))
                }
                let key = try #require(try transaction.bucket(bytes("key")))
                var cursor = key.cursor()
                let first = try #require(try cursor.first())
                try key.put([UInt8](first.key), [UInt8](try #require(first.value)))
            }
        }
        try write(database) { transaction in
            let extra = try #require(try transaction.bucket(bytes("extra")))
            for number in 0..<2900 { try extra.delete(bytes("record\(number)")) }
        }
        #expect(try Check.findings(in: database) == [])
        if !synchronizesFreelist { try write(database) { try $0.deleteBucket(bytes("extra")) } }
    }
}
