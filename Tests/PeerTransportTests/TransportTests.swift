import Glibc
import NIOCore
import PeerProtocol
import PeerTransport
import RaftMessages
import Testing

@Suite(.serialized) struct TransportTests {
    @Test("Messages of each stream arrive in order, both ways")
    func bothWays() async throws {
        let (one, two) = try await pair()
        for round in 0..<50 {
            let index = UInt64(10 * round)
            let entries = (1...10).map { Entry(term: 5, index: index + $0, data: Array(repeating: 7, count: 100)) }
            one.transport.send([
                Message(type: .append, to: 2, from: 1, term: 5, logTerm: 5, index: index, entries: entries),
                peerHeartbeat(1, 2, commit: index),
            ])
            two.transport.send([
                Message(type: .appendResponse, to: 1, from: 2, term: 5, index: index),
                Message(type: .heartbeatResponse, to: 1, from: 2, term: 5, commit: index),
            ])
        }
        let atTwo = try await two.log.wait("all of one's messages are there") { $0.received.count == 100 }
        let atOne = try await one.log.wait("all of two's messages are there") { $0.received.count == 100 }
        let appends = atTwo.received.filter { $0.type == .append }
        #expect(appends.map(\.index) == (0..<50).map { UInt64(10 * $0) })
        #expect(appends.allSatisfy { $0.entries.count == 10 && $0.from == 1 && $0.to == 2 })
        #expect(atTwo.received.filter { $0.type == .heartbeat }.map(\.commit) == (0..<50).map { UInt64(10 * $0) })
        #expect(atOne.received.filter { $0.type == .appendResponse }.map(\.index) == (0..<50).map { UInt64(10 * $0) })
        #expect(one.log.now.unreachable.isEmpty)
        try await one.stop()
        try await two.stop()
    }

    @Test("A large entry passes by the streams, and by a post when there is no stream")
    func largeEntries() async throws {
        let (one, two) = try await pair()
        let large = Message(
            type: .append, to: 2, from: 1, term: 5, logTerm: 5, index: 7,
            entries: [Entry(term: 5, index: 8, data: Array(repeating: 3, count: 9_000_000))])
        one.transport.send([large])
        try await two.log.wait("the entry is there") { $0.received == [large] }
        // A stranger's streams are refused, so only posts are left.
        two.transport.keepOnlyPeers([])
        try await waitForStatus(one, of: 2, "the streams are gone") { $0.streamsIn == 0 && $0.streamsOut == 0 }
        one.transport.send([large])
        try await two.log.wait("the entry is there again") { $0.received == [large, large] }
        try await one.stop()
        try await two.stop()
    }

    @Test("Peers that are dropped while they are dialled are forgotten")
    func droppedWhileDialled() async throws {
        let (one, two) = try await pair()
        for id in 10..<60 as Range<UInt64> {
            // Nobody listens there, so each dial fails after its peer has gone.
            one.transport.setPeer(id, urls: ["http://127.0.0.1:1"])
            one.transport.removePeer(id)
        }
        one.transport.send([peerHeartbeat(1, 2)])
        try await two.log.wait("the transport goes on") { !$0.received.isEmpty }
        try await one.stop()
        try await two.stop()
    }

    @Test("A peer that restarts is connected again, and what is sent meanwhile is reported")
    func restart() async throws {
        let (one, two) = try await pair()
        let port = two.port
        try await two.stop()
        try await waitForStatus(one, of: 2, "the loss is noticed") { $0.activeSince == nil && $0.streamsOut == 0 }
        one.transport.send([peerHeartbeat(1, 2)])
        try await one.log.wait("the lost message is reported") { $0.unreachable == [2] }
        let again = try await Node(2, port: port)
        again.transport.setPeer(1, urls: [one.url])
        try await one.connected(to: again)
        one.transport.send([peerHeartbeat(1, 2, commit: 9)])
        try await again.log.wait("the message is there") { $0.received == [peerHeartbeat(1, 2, commit: 9)] }
        try await one.stop()
        try await again.stop()
    }

    @Test("A second URL is used when the first leads nowhere, and new URLs are taken")
    func urls() async throws {
        let gone = try await Node(9)
        try await gone.stop()
        let (one, two) = (try await Node(1), try await Node(2))
        one.transport.setPeer(2, urls: [gone.url, two.url])
        two.transport.setPeer(1, urls: [gone.url])
        try await waitForStatus(one, of: 2, "two is reached") { $0.streamsIn == 2 }
        two.transport.setPeer(1, urls: [one.url])
        try await one.connected(to: two)
        try await two.connected(to: one)
        try await one.stop()
        try await two.stop()
    }

    @Test("A peer that does not read its appends loses them, and gets its heartbeats")
    func slowReader() async throws {
        let node = try await Node(2)
        node.transport.setPeer(1, urls: ["http://127.0.0.1:1"])
        let appends = try RawClient(port: node.port)
        appends.write(streamRequest("msgapp"))
        let messages = try RawClient(port: node.port)
        messages.write(streamRequest("message"))
        try await waitForStatus(node, of: 1, "the streams are open") { $0.streamsOut == 2 }
        // Three times what may wait.
        for index in 0..<UInt64(150) {
            node.transport.send([peerAppend(2, 1, behind: index, bytes: 1 << 20)])
        }
        try await node.log.wait("appends are dropped") { $0.unreachable.contains(1) }
        node.transport.send([peerHeartbeat(2, 1, commit: 0xabcdef)])
        let mark: [UInt8] = [0x40, 0xef, 0x9b, 0xaf, 0x05]
        let seen = messages.read { bytes in
            bytes.indices.dropLast(4).contains { Array(bytes[$0..<$0 + 5]) == mark }
        }
        #expect(seen != nil, "the heartbeat came by the other stream")
        appends.close()
        messages.close()
        try await node.stop()
    }

    @Test("A silent stream is kept alive")
    func keepAlive() async throws {
        let node = try await Node(2)
        node.transport.setPeer(1, urls: ["http://127.0.0.1:1"])
        let client = try RawClient(port: node.port)
        client.write(streamRequest("msgapp"))
        // The head, and then a heartbeat of the link, which is one zero byte in a chunk.
        let text = client.read { String(decoding: $0, as: UTF8.self).hasSuffix("\r\n\r\n1\r\n\0\r\n") }
        #expect(text != nil)
        client.close()
        try await node.stop()
    }

    @Test("A stream from a peer that has fallen silent is opened anew")
    func silence() async throws {
        let node = try await Node(2)
        let (listener, port) = try Node.listen(0)
        var connections: [RawClient] = []
        defer {
            connections = []
            close(listener)
        }
        node.transport.setPeer(1, urls: ["http://127.0.0.1:\(port)"])
        // Two streams and a probe, which may be repeated; each gets an ear and no answer.
        var asked = 0
        while asked < 3 {
            let client = RawClient(accepting: listener)
            let head = client.read { String(decoding: $0, as: UTF8.self).hasSuffix("\r\n\r\n") }
            connections.append(client)
            if String(decoding: try #require(head), as: UTF8.self).hasPrefix("GET /raft/stream/") { asked += 1 }
        }
        connections = []
        try await node.stop()
    }

    /// Connections to `listener` by which a stream was asked for, which gets no answer.
    private func unanswered(_ listener: CInt, count: Int) throws -> [RawClient] {
        var streams: [RawClient] = []
        var others: [RawClient] = []
        while streams.count < count {
            let client = RawClient(accepting: listener)
            let head = try #require(client.read { String(decoding: $0, as: UTF8.self).hasSuffix("\r\n\r\n") })
            if String(decoding: head, as: UTF8.self).hasPrefix("GET /raft/stream/") {
                streams.append(client)
            } else {
                others.append(client)
            }
        }
        return streams
    }

    @Test("Silence on a stream is borne as long as --raft-read-timeout says")
    func readTimeout() async throws {
        let (patient, impatient) = (
            try await Node(2, readTimeout: 3_600_000), try await Node(3, readTimeout: 100)
        )
        var streams: [[RawClient]] = []
        for node in [patient, impatient] {
            let (listener, port) = try Node.listen(0)
            defer { close(listener) }
            node.transport.setPeer(1, urls: ["http://127.0.0.1:\(port)"])
            streams.append(try unanswered(listener, count: 2))
        }
        for stream in streams[1] {
            _ = stream.read { _ in false }
            #expect(stream.isClosedByPeer)
        }
        #expect(streams[0].allSatisfy { !$0.isClosedByPeer })
        try await patient.stop()
        try await impatient.stop()
    }

    @Test("Connections come from the address that a member is told")
    func localAddress() async throws {
        for (told, seen) in [("127.0.0.5", "127.0.0.5"), (nil, "127.0.0.1")] {
            let node = try await Node(2, localAddress: told)
            let (listener, port) = try Node.listen(0)
            defer { close(listener) }
            node.transport.setPeer(1, urls: ["http://127.0.0.1:\(port)"])
            #expect(try unanswered(listener, count: 2).map(\.peerAddress) == [seen, seen])
            try await node.stop()
        }
    }

    @Test("Who takes nothing of what is written keeps the stream as long as --raft-write-timeout says")
    func writeTimeout() async throws {
        let (patient, impatient) = (
            try await Node(2, writeTimeout: 3_600_000), try await Node(2, writeTimeout: 100)
        )
        var clients: [RawClient] = []
        for node in [patient, impatient] {
            node.transport.setPeer(1, urls: ["http://127.0.0.1:1"])
            let client = try RawClient(port: node.port)
            client.write(streamRequest("msgapp"))
            clients.append(client)
            try await waitForStatus(node, of: 1, "the stream is open") { $0.streamsOut == 1 }
            // More than the network takes by itself.
            for index in 0..<UInt64(20) {
                node.transport.send([peerAppend(2, 1, behind: index, bytes: 1 << 20)])
            }
        }
        try await waitForStatus(impatient, of: 1, "the stream is given up") { $0.streamsOut == 0 }
        #expect(patient.transport.statuses[1]?.streamsOut == 1)
        for client in clients { client.close() }
        try await patient.stop()
        try await impatient.stop()
    }

    @Test("Another stream is asked for while one is silent, and takes its place when it comes")
    func suspicion() async throws {
        let node = try await Node(2)
        let (listener, port) = try Node.listen(0)
        defer { close(listener) }
        node.transport.setPeer(1, urls: ["http://127.0.0.1:\(port)"])
        var streams: [(path: String, client: RawClient)] = []
        var others: [RawClient] = []
        let agreement = "HTTP/1.1 200 OK\r\nX-Server-Version: 3.4.23\r\nTransfer-Encoding: chunked\r\n\r\n"
        while streams.count < 3 {
            let client = RawClient(accepting: listener)
            let head = try #require(client.read { String(decoding: $0, as: UTF8.self).hasSuffix("\r\n\r\n") })
            let path = String(decoding: head, as: UTF8.self).split(separator: " ")[1]
            guard path.hasPrefix("/raft/stream/") else {
                others.append(client)
                continue
            }
            // Agrees to the first two, and then says nothing.
            if streams.count < 2 { client.write(agreement) }
            streams.append((String(path), client))
            if streams.count == 3 {
                let former = try #require(streams.first { $0.path == path })
                #expect(!former.client.isClosedByPeer)
            }
        }
        let (latest, former) = (streams[2], try #require(streams.first { $0.path == streams[2].path }))
        try await node.log.wait("the silent one is given up") { _ in former.client.isClosedByPeer }
        // By now there was time for several attempts: the one that waits for its answer was not given up for others.
        #expect(!latest.client.isClosedByPeer)
        while RawClient.isAsked(listener) {
            let client = RawClient(accepting: listener)
            let head = try #require(client.read { String(decoding: $0, as: UTF8.self).hasSuffix("\r\n\r\n") })
            #expect(String(decoding: head, as: UTF8.self).split(separator: " ")[1] != latest.path)
            others.append(client)
        }
        latest.client.write(agreement)
        try await waitForStatus(node, of: 1, "the new one is taken") { $0.streamsIn > 0 }
        #expect(!latest.client.isClosedByPeer)
        try await node.stop()
    }

    @Test("A member that was removed is told so by the others")
    func removal() async throws {
        let (one, two) = try await pair()
        one.transport.removePeer(2)
        try await two.log.wait("two hears of its removal") { $0.removals == 1 }
        two.transport.send([Message(type: .vote, to: 1, from: 2, term: 9)])
        try await two.log.wait("its messages come to nothing") { $0.unreachable.contains(1) }
        #expect(one.log.now.received.isEmpty)
        try await one.stop()
        try await two.stop()
    }

    @Test("One who does not know a sender yet answers it at the URLs that it tells")
    func remote() async throws {
        let (one, two) = (try await Node(1), try await Node(2))
        one.transport.setPeer(2, urls: [two.url])
        one.transport.send([peerHeartbeat(1, 2, commit: 4)])
        try await two.log.wait("two has the message") { $0.received == [peerHeartbeat(1, 2, commit: 4)] }
        two.transport.send([Message(type: .heartbeatResponse, to: 1, from: 2, term: 5)])
        try await one.log.wait("one has the answer") { $0.received.map(\.type) == [.heartbeatResponse] }
        // To an id that never showed itself there is no way.
        two.transport.send([peerHeartbeat(2, 77)])
        two.transport.setPeer(1, urls: [one.url])
        try await two.connected(to: one)
        try await one.stop()
        try await two.stop()
    }

    @Test("Strangers who connect and wait keep nobody out")
    func strangers() async throws {
        let node = try await Node(2, connectionLimit: 4)
        let question = "GET /raft/probing HTTP/1.1\r\nHost: x\r\n\r\n"
        var strangers: [RawClient] = []
        for number in 0..<8 {
            let client = try RawClient(port: node.port)
            // Whoever is answered was accepted, so that the order of the connections is known.
            client.write(question)
            #expect(client.read { String(decoding: $0, as: UTF8.self).contains("\"OK\":true") } != nil, "\(number)")
            strangers.append(client)
        }
        try await node.log.wait("the first are closed") { _ in strangers[..<4].allSatisfy(\.isClosedByPeer) }
        #expect(strangers[4...].allSatisfy { !$0.isClosedByPeer })
        try await node.stop()
    }

    @Test("Members of other clusters get nowhere")
    func otherCluster() async throws {
        let (one, two) = (try await Node(1), try await Node(2, cluster: 0xc2))
        one.transport.setPeer(2, urls: [two.url])
        two.transport.setPeer(1, urls: [one.url])
        one.transport.send([peerHeartbeat(1, 2)])
        try await one.log.wait("the refusal is reported") { $0.unreachable == [2] }
        #expect(two.log.now.received.isEmpty)
        #expect(one.transport.activeSince(2) == nil)
        #expect(two.transport.activeSince(1) == nil)
        try await one.stop()
        try await two.stop()
    }

    @Test("Probes show the way to a peer and its clock")
    func probes() async throws {
        let (one, two) = try await pair()
        let status = try await waitForStatus(one, of: 2, "a probe has come back") { $0.roundTripNanoseconds != nil }
        // Both ends have the same clock.
        #expect(status.clockDriftNanoseconds.magnitude < 1_000_000_000)
        #expect(status.receivedBytes == 0)
        two.transport.send([peerHeartbeat(2, 1)])
        try await waitForStatus(one, of: 2, "what came is counted") { $0.receivedBytes > 0 }
        try await waitForStatus(two, of: 1, "what went is counted") { $0.sentBytes > 0 }
        try await one.stop()
        try await two.stop()
    }

    private func streamRequest(_ kind: String) -> String {
        "GET /raft/stream/\(kind)/1 HTTP/1.1\r\nHost: x\r\nX-Etcd-Cluster-ID: c1\r\nX-Server-Version: 3.4.23\r\n"
            + "X-Min-Cluster-Version: 3.0.0\r\nX-Raft-To: 2\r\n\r\n"
    }
}
