import Backend
import Bolt
import Disk
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import PeerProtocol
import PeerTransport
import RaftMessages
import Testing
import WriteAheadLog

/// A backend of some megabytes in a directory of its own.
private func makeBackend(in directory: String, megabytes: Int) throws -> Backend {
    let backend = try Backend(disk: POSIXDisk(), path: "\(directory)/source.db")
    for number in 0..<(megabytes * 16) {
        backend.put(
            .meta, Array("key-\(number)".utf8), (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* (number + 1)) })
    }
    backend.setConsistentIndex(77, term: 5)
    try backend.commitNow()
    return backend
}

private func snapshotMessage(from: UInt64 = 1, to: UInt64 = 2, index: UInt64 = 77) -> Message {
    Message(
        type: .snapshot, to: to, from: from, term: 5,
        snapshot: Snapshot(
            data: Array("{}".utf8),
            metadata: SnapshotMetadata(confState: ConfState(voters: [1, 2]), index: index, term: 5)))
}

@Suite(.serialized) struct SnapshotTests {
    @Test("A snapshot arrives with its database, byte for byte, before Raft hears of it")
    func transfer() async throws {
        let (one, two) = try await pair()
        let backend = try makeBackend(in: one.directory, megabytes: 8)
        let database = try backend.snapshot()
        one.transport.sendSnapshot(snapshotMessage(), database)
        let log = try await two.log.wait("the snapshot is there") { !$0.received.isEmpty }
        #expect(log.received == [snapshotMessage()])
        let path = "\(two.directory)/000000000000004d.snap.db"
        let file = try POSIXDisk().open(path, .read)
        var expected: [UInt8] = []
        try database.write { expected += Array($0) }
        #expect(try file.read(at: 0, count: try file.size()) == expected)
        try await one.log.wait("success is reported") { $0.snapshots.contains { $0.to == 2 && $0.succeeded } }
        #expect(try POSIXDisk().list(two.directory) == ["000000000000004d.snap.db"])
        backend.close()
        try await one.stop()
        try await two.stop()
    }

    @Test("Heartbeats pass a database that is under way to a receiver that takes its time")
    func heartbeatsPass() async throws {
        let (one, two) = try await pair()
        let backend = try makeBackend(in: one.directory, megabytes: 32)
        one.transport.sendSnapshot(snapshotMessage(), try backend.snapshot())
        for commit in 0..<100 { one.transport.send([peerHeartbeat(1, 2, commit: UInt64(commit))]) }
        let log = try await two.log.wait("all heartbeats are there") { log in
            log.received.count { $0.type == .heartbeat } == 100
        }
        #expect(log.received.filter { $0.type == .heartbeat }.map(\.commit) == Array(0..<100))
        try await one.log.wait("success is reported") { $0.snapshots.contains { $0.succeeded } }
        backend.close()
        try await one.stop()
        try await two.stop()
    }

    @Test("A snapshot to a member that is not there, or not known, is reported as failed")
    func nobodyThere() async throws {
        let one = try await Node(1)
        let backend = try makeBackend(in: one.directory, megabytes: 1)
        one.transport.sendSnapshot(snapshotMessage(to: 9), try backend.snapshot())
        try await one.log.wait("failure is reported") { $0.snapshots.contains { $0.to == 9 && !$0.succeeded } }
        let two = try await Node(2)
        try await two.stop()
        one.transport.setPeer(2, urls: [two.url])
        one.transport.sendSnapshot(snapshotMessage(to: 2), try backend.snapshot())
        try await one.log.wait("failure is reported") { $0.snapshots.contains { $0.to == 2 && !$0.succeeded } }
        let metrics = one.metrics.network
        #expect(metrics.snapshotSendFailures["2"].value == 1)
        #expect(metrics.snapshotsSent["2"].value == 0 && metrics.snapshotsBeingSent["2"].value == 0)
        backend.close()
        try await one.stop()
    }

    @Test("A snapshot to a member that is removed meanwhile ends, and lets go of the database")
    func removedMeanwhile() async throws {
        let one = try await Node(1)
        // Connections wait there for ever, and nothing is read from them.
        let (silent, port) = try Node.listen(0)
        let backend = try makeBackend(in: one.directory, megabytes: 32)
        one.transport.setPeer(2, urls: ["http://127.0.0.1:\(port)"])
        one.transport.sendSnapshot(snapshotMessage(to: 2), try backend.snapshot())
        one.transport.removePeer(2)
        // Less than the time after which a transfer that makes no progress is given up.
        try await one.log.wait("failure is reported", seconds: 20) {
            $0.snapshots.contains { $0.to == 2 && !$0.succeeded }
        }
        #expect(one.metrics.network.snapshotsBeingSent["2"].value == 0)
        backend.close()
        try await one.stop()
        close(silent)
    }

    /// What a post of `body` to `/raft/snapshot` is answered with.
    private func post(
        _ body: [UInt8], to node: Node, trailer: String? = nil, announces: Bool = false, cutAt: Int? = nil
    ) async throws -> (status: Int, text: String)? {
        let client = try RawClient(port: node.port)
        defer { client.close() }
        var head =
            "POST /raft/snapshot HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Etcd-Cluster-ID: c1\r\n"
            + "X-Server-From: 1\r\nX-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\n"
        if announces { head += "Trailer: X-Database-SHA256\r\n" }
        client.write(Array((head + "\r\n").utf8))
        var rest = body[..<(cutAt ?? body.count)]
        while !rest.isEmpty {
            let piece = rest.prefix(100_000)
            client.write(Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8))
            rest = rest.dropFirst(piece.count)
        }
        if cutAt != nil { return nil }
        client.write(Array("0\r\n\(trailer.map { "X-Database-SHA256: \($0)\r\n" } ?? "")\r\n".utf8))
        return try client.readResponse()
    }

    private func image(_ backend: Backend) throws -> [UInt8] {
        var image = SnapshotBody.preamble(snapshotMessage())
        try backend.snapshot().write { image += Array($0) }
        return image
    }

    @Test("From a member of etcd, which sends no hash, a whole database is taken and a damaged one is not")
    func withoutHash() async throws {
        let node = try await Node(2)
        let backend = try makeBackend(in: node.directory, megabytes: 2)
        let good = try image(backend)
        backend.close()
        try POSIXDisk().remove("\(node.directory)/source.db")
        // A page's header in the middle of the tree says something else.
        var bad = good
        let page = good.count - 65536 * 3
        for offset in 0..<65536 * 2 { bad[page + offset] = 0xee }
        let refused = try #require(try await post(bad, to: node))
        #expect(refused.status == 500)
        #expect(refused.text.contains("failed to save KV snapshot"))
        #expect(try POSIXDisk().list(node.directory).isEmpty)
        let cut = try #require(try await post(Array(good.dropLast(100_000)), to: node))
        #expect(cut.status == 500)
        #expect(node.log.now.received.isEmpty)
        let taken = try #require(try await post(good, to: node))
        #expect(taken.status == 204)
        #expect(node.log.now.received == [snapshotMessage()])
        #expect(try POSIXDisk().list(node.directory) == ["000000000000004d.snap.db"])
        try await node.stop()
    }

    @Test("A database whose hash is another, or missing though it was promised, is refused and leaves no file")
    func wrongHash() async throws {
        let node = try await Node(2)
        let backend = try makeBackend(in: node.directory, megabytes: 1)
        let body = try image(backend)
        backend.close()
        try POSIXDisk().remove("\(node.directory)/source.db")
        let wrong = try #require(
            try await post(body, to: node, trailer: String(repeating: "ab", count: 32), announces: true))
        #expect(wrong.status == 500)
        #expect(wrong.text.contains("SHA-256"))
        let missing = try #require(try await post(body, to: node, announces: true))
        #expect(missing.status == 500)
        #expect(missing.text.contains("missing"))
        #expect(try POSIXDisk().list(node.directory).isEmpty)
        #expect(node.log.now.received.isEmpty)
        try await node.stop()
    }

    @Test("Half a snapshot leaves nothing behind, and neither does a process that ended in the middle of one")
    func half() async throws {
        let node = try await Node(2)
        let backend = try makeBackend(in: node.directory, megabytes: 2)
        let body = try image(backend)
        backend.close()
        try POSIXDisk().remove("\(node.directory)/source.db")
        _ = try await post(body, to: node, cutAt: body.count / 2)
        try await node.log.wait("the file is gone") { _ in
            (try? POSIXDisk().list(node.directory).isEmpty) ?? false
        }
        #expect(node.log.now.received.isEmpty)
        let directory = SnapshotDirectory(disk: POSIXDisk(), path: node.directory)
        let unfinished = try directory.receiveDatabase(index: 5, serial: 1)
        try [1, 2, 3].withUnsafeBytes { try unfinished.append($0) }
        #expect(try directory.removeUnfinishedDatabases() == [unfinished.temporaryPath])
        #expect(try POSIXDisk().list(node.directory).isEmpty)
        try await node.stop()
    }

    @Test("What is no snapshot is refused before its database is read")
    func noSnapshot() async throws {
        let node = try await Node(2)
        for (message, status) in [
            (peerHeartbeat(1, 2), 400), (snapshotMessage(to: 3), 412), (snapshotMessage(index: 0), 400),
            (snapshotMessage(from: .max), 400),
        ] {
            let answer = try #require(try await post(SnapshotBody.preamble(message) + [1, 2, 3], to: node))
            #expect(answer.status == status, "\(message.type) to \(message.to)")
        }
        node.transport.setRemoved([1])
        let removed = try #require(try await post(SnapshotBody.preamble(snapshotMessage()) + [1], to: node))
        #expect(removed.status == 403)
        let short = try #require(try await post([0, 0, 0], to: node))
        #expect(short.status == 400)
        #expect(node.log.now.received.isEmpty)
        #expect(try POSIXDisk().list(node.directory).isEmpty)
        try await node.stop()
    }
}
