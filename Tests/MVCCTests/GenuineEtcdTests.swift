import Backend
import Disk
import Foundation
import GenuineEtcd
import MVCC
import Testing

/// Data written by etcd 3.4.23 read here, and the other way round.
@Suite("Against etcd 3.4.23", .enabled(if: GenuineEtcd.isInstalled, "etcd and etcdctl are not installed"), .serialized)
struct GenuineEtcdTests {
    @Test(
        "both hashes equal etcd's on a file that etcd wrote, and HashKV on one that we went on with", arguments: [1, 2])
    func hashes(seed: UInt64) throws {
        let etcd = try GenuineEtcd()
        try etcd.start()
        try write(to: etcd, seed: seed)
        var answers: [Int64: UInt32] = [:]
        let newest = try etcd.hashKV(0)
        for revision in [0, newest.revision, newest.revision - 3, newest.compactRevision + 1] {
            answers[revision] = try etcd.hashKV(revision).hash
        }
        let whole = try etcd.backendHash()
        let expectedKeys = try etcd.control("get", "", "--prefix").split(separator: "\n").map(String.init)
        etcd.stop()

        let revision = try goOn(etcd.databasePath) { store, backend in
            #expect(try backend.snapshot().hash() == whole)
            #expect(store.currentRevision == newest.revision)
            #expect(store.compactedRevision == newest.compactRevision)
            for (revision, hash) in answers {
                #expect(try store.view().hashByRevision(revision).hash == hash, "at revision \(revision)")
            }
            #expect(keysAndValues(store) == expectedKeys)
            #expect(store.takeRestoredLeases().map(\.key) == [Array("leased".utf8)])
            try change(store, seed: seed)
            while store.compactionStep(limit: 2) {}
            try backend.commitNow()
            try backend.defragment()
            answers[0] = try store.view().hashByRevision(0).hash
            return store.currentRevision
        }
        try etcd.start()
        let after = try etcd.hashKV(0)
        #expect(after.hash == answers[0])
        #expect(after.revision == revision)
    }

    /// Opens the file, runs `body` and lets go of the file.
    private func goOn(_ path: String, _ body: (Store, Backend) throws -> Int64) throws -> Int64 {
        let backend = try Backend(disk: POSIXDisk(), path: path)
        defer { backend.close() }
        return try body(try Store(backend: backend), backend)
    }

    private func keysAndValues(_ store: Store) -> [String] {
        var lines: [String] = []
        _ = try? store.range(key: [0], end: [0]) { raw in
            guard let fields = try? StoredKeyValue.fields(raw.encoded) else { return }
            lines.append(String(decoding: fields.key, as: UTF8.self))
            lines.append(String(decoding: fields.value, as: UTF8.self))
        }
        return lines
    }

    private func write(to etcd: GenuineEtcd, seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let lease = try etcd.control("lease", "grant", "3600").split(separator: " ")[1]
        for number in 0..<40 {
            let key = "key/\(Int.random(in: 0..<8, using: &random))"
            switch Int.random(in: 0..<8, using: &random) {
            case 0: try etcd.control("del", key)
            case 1: try etcd.control("del", "--prefix", "key/\(Int.random(in: 0..<3, using: &random))")
            case 2:
                try etcd.control(
                    "txn", input: Array("\n\nput \(key) \"in a txn\"\nput txn \(number)\ndel key/7x\n\n\n".utf8))
            case 3: try etcd.control("put", "--lease=\(lease)", "leased", "\(number)")
            default: try etcd.control("put", key, "value \(number)")
            }
            if number == 25 {
                let revision = try etcd.hashKV(0).revision
                try etcd.control("compact", "\(revision - 4)", "--physical")
            }
        }
        try etcd.control("put", "--lease=\(lease)", "leased", "last")
        try etcd.control("put", "last", "word")
    }

    private func change(_ store: Store, seed: UInt64) throws {
        var random = SplitMix64(seed: seed &+ 100)
        for number in 0..<60 {
            store.begin()
            let key = Array("key/\(Int.random(in: 0..<8, using: &random))".utf8)
            if Int.random(in: 0..<3, using: &random) == 0 {
                store.deleteRange(key: key, end: nil)
            } else {
                store.put(key: key, value: Array("ours \(number)".utf8), lease: 0)
                store.put(key: Array("ours/\(number)".utf8), value: [], lease: 0)
            }
            _ = store.end()
            if number == 30 { try store.compact(at: store.currentRevision - 5) }
        }
    }
}

extension GenuineEtcd {
    /// The hash and compacted revision that `HashKV` answers.
    fileprivate func hashKV(_ revision: Int64) throws -> (hash: UInt32, compactRevision: Int64, revision: Int64) {
        struct Answer: Decodable {
            struct Header: Decodable { var revision: Int64 }
            struct Hash: Decodable {
                var header: Header
                var hash: UInt32
                var compact_revision: Int64
            }
            var HashKV: Hash
        }
        let text = try control("endpoint", "hashkv", "--rev=\(revision)", "-w", "json")
        let answer = try #require(try JSONDecoder().decode([Answer].self, from: Data(text.utf8)).first).HashKV
        return (answer.hash, answer.compact_revision, answer.header.revision)
    }

    /// What `Maintenance.Hash` answers, asked through the JSON gateway.
    fileprivate func backendHash() throws -> UInt32 {
        struct Answer: Decodable { var hash: UInt32 }
        let curl = Process()
        curl.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        curl.arguments = ["-sS", "-X", "POST", "\(clientURL)/v3/maintenance/hash", "-d", "{}"]
        let output = Pipe()
        curl.standardOutput = output
        try curl.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        curl.waitUntilExit()
        return try JSONDecoder().decode(Answer.self, from: data).hash
    }
}
