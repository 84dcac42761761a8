import Bolt
import Disk
import Foundation
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
        try etcd.run {
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
        let folder = try TemporaryFolder()
        let etcd = GenuineEtcd(folder: folder.path)
        let listed = try fill(etcd)
        #expect(listed.contains("leased"))
        try expectClean(etcd.databasePath)
        for synchronizesFreelist in [true, false] {
            try rewrite(etcd.databasePath, synchronizesFreelist: synchronizesFreelist)
            try expectClean(etcd.databasePath)
            // etcd reads its keys from our file and writes to it again.
            #expect(try etcd.run { try etcd.control("get", "--prefix", "") } == listed)
            let changed = try etcd.run {
                for number in 0..<20 { try etcd.control("put", "more\(number)", "value") }
                try etcd.control("del", "--prefix", "more")
                return try etcd.control("get", "--prefix", "")
            }
            #expect(changed == listed)
            try expectClean(etcd.databasePath)
        }
    }

    @Test func etcdRunsOnOurCompactCopy() throws {
        let folder = try TemporaryFolder()
        let etcd = GenuineEtcd(folder: folder.path)
        let listed = try fill(etcd)
        let copyPath = folder.path + "/copy"
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
        #expect(try etcd.run { try etcd.control("get", "--prefix", "") } == listed)
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

/// An etcd of the machine's own, with a data directory in a temporary folder.
private struct GenuineEtcd {
    static let isInstalled =
        FileManager.default.isExecutableFile(atPath: "/usr/bin/etcd")
        && FileManager.default.isExecutableFile(atPath: "/usr/bin/etcdctl")

    let folder: String
    /// Two ports of the range 24100 to 24499, by process and use so that concurrent tests do not meet.
    let port: Int

    init(folder: String) {
        self.folder = folder
        port = 24100 + Int(folder.utf8.reduce(UInt32(getpid())) { ($0 &* 31) &+ UInt32($1) } % 200) * 2
    }

    var databasePath: String { folder + "/data/member/snap/db" }
    private var client: String { "http://127.0.0.1:\(port)" }
    private var peer: String { "http://127.0.0.1:\(port + 1)" }

    /// Runs etcd while `body` runs, and ends it cleanly.
    func run<Result>(_ body: () throws -> Result) throws -> Result {
        let server = Process()
        server.executableURL = URL(fileURLWithPath: "/usr/bin/etcd")
        server.arguments = [
            "--data-dir", folder + "/data", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=\(peer)",
        ]
        server.standardOutput = FileHandle.nullDevice
        server.standardError = FileHandle.nullDevice
        try server.run()
        defer {
            server.terminate()
            server.waitUntilExit()
        }
        // etcdctl itself waits for the server up to its dial timeout.
        var attempts = 0
        while (try? control("endpoint", "health")) == nil {
            attempts += 1
            if attempts == 20 { throw Failure(what: "etcd on port \(port) did not become healthy") }
        }
        return try body()
    }

    /// What etcdctl prints.
    @discardableResult
    func control(_ arguments: String...) throws -> String {
        let tool = Process()
        tool.executableURL = URL(fileURLWithPath: "/usr/bin/etcdctl")
        tool.arguments = ["--endpoints", client] + arguments
        tool.environment = ["ETCDCTL_API": "3"]
        let output = Pipe()
        tool.standardOutput = output
        tool.standardError = FileHandle.nullDevice
        try tool.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        tool.waitUntilExit()
        guard tool.terminationStatus == 0 else {
            throw Failure(what: "etcdctl \(arguments.joined(separator: " ")): status \(tool.terminationStatus)")
        }
        return text
    }

    struct Failure: Error { var what: String }
}
