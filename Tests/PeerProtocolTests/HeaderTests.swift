import PeerProtocol
import RaftMessages
import Testing

@Suite struct HeaderTests {
    private func headers(_ values: [String: String]) -> PeerHeaders { PeerHeaders { values[$0] } }

    private let identity = PeerIdentity(
        memberID: 0xa, clusterID: 0xc1, serverVersion: ServerVersion("3.7.0")!,
        minimumClusterVersion: ServerVersion("3.0.0")!)

    @Test(
        "Members of the same cluster get along when neither's version is too low for the other",
        arguments: [
            ("3.4.23", "3.0.0", nil), ("3.7.9", "3.7.0", nil), ("4.0.0", "3.0.0", nil), ("3.7.0-alpha.1", "3.0.0", nil),
            ("2.3.8", "2.3.0", PeerRefusal.incompatibleVersion), ("4.0.0", "3.8.0", .incompatibleVersion),
            ("3.4", "3.0.0", .incompatibleVersion), ("3.4.x", "3.0.0", .incompatibleVersion),
            ("99999999999.0.0", "3.0.0", .incompatibleVersion), ("", "", .incompatibleVersion),
        ] as [(String, String, PeerRefusal?)])
    func versions(_ server: String, _ minimum: String, _ refusal: PeerRefusal?) {
        let given = headers([
            "X-Etcd-Cluster-ID": "c1", "X-Server-Version": server, "X-Min-Cluster-Version": minimum,
        ])
        #expect(identity.refusal(of: given) == refusal)
    }

    @Test("The cluster's id is compared as text, and after the versions")
    func clusterID() {
        for id in ["c2", "C1", "00c1", ""] {
            let given = headers([
                "X-Etcd-Cluster-ID": id, "X-Server-Version": "3.5.0", "X-Min-Cluster-Version": "3.0.0",
            ])
            #expect(identity.refusal(of: given) == .clusterMismatch)
        }
        // One who tells no version counts as 2.0.0.
        #expect(identity.refusal(of: headers(["X-Etcd-Cluster-ID": "c2"])) == .incompatibleVersion)
    }

    @Test("A sender tells its id and its URLs")
    func sender() {
        let given = headers(["X-Server-From": "1f", "X-PeerURLs": "http://a:1,http://b:2", "X-Raft-To": "a"])
        #expect(given.from == 0x1f)
        #expect(given.peerURLs == ["http://a:1", "http://b:2"])
        #expect(given.raftTo == "a")
        for text in ["", "xyz", "+1", "-1", "11112222333344445"] {
            #expect(headers(["X-Server-From": text]).from == nil, "\(text)")
        }
    }

    @Test("The path of a stream names its kind and the one who asks")
    func streamPaths() {
        for (path, target) in [
            ("/raft/stream/msgapp/1f", StreamTarget.stream(.appends, 0x1f)),
            ("/raft/stream/message/ffffffffffffffff", .stream(.messages, .max)),
            ("/raft/stream/message/", .refused(.invalidSender)), ("/raft/stream/message/1/2", .refused(.invalidPath)),
            ("/raft/stream/messages/1", .refused(.invalidPath)), ("/raft/stream/1", .refused(.invalidPath)),
            ("/raft/stream/", .refused(.invalidPath)),
        ] {
            #expect(StreamTarget(path: path) == target, "\(path)")
        }
    }

    @Test(
        "A probe's answer carries the clock as etcd writes it",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (1_795_240_739_824_911_292, "2026-11-21T05:58:59.824911292Z"),
            (951_782_400_500_000_000, "2000-02-29T00:00:00.5Z"),
            (4_107_542_399_000_000_001, "2100-02-28T23:59:59.000000001Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
        ] as [(Int64, String)])
    func probe(_ nanoseconds: Int64, _ text: String) {
        let answer = ProbeAnswer(isWell: true, unixNanoseconds: nanoseconds)
        #expect(answer.json == "{\"OK\":true,\"Now\":\"\(text)\"}\n")
        #expect(ProbeAnswer(json: answer.json) == answer)
    }

    @Test("Times with an offset are read, and what is no answer is not")
    func oddProbes() {
        #expect(
            ProbeAnswer(json: "{ \"Now\": \"2026-11-21T07:58:59+02:00\", \"OK\": true }")
                == ProbeAnswer(isWell: true, unixNanoseconds: 1_795_240_739_000_000_000))
        #expect(
            ProbeAnswer(json: "{\"OK\":false,\"Now\":\"2026-11-20T23:58:59.25-06:00\"}")
                == ProbeAnswer(isWell: false, unixNanoseconds: 1_795_240_739_250_000_000))
        for text in [
            "", "{}", "{\"OK\":true}", "{\"OK\":true,\"Now\":\"\"}", "{\"OK\":true,\"Now\":\"2026-13-01T00:00:00Z\"}",
            "{\"OK\":true,\"Now\":\"2026-11-21T05:58:59\"}", "{\"OK\":true,\"Now\":\"2026-11-21T05:58:59Zx\"}",
            "{\"OK\":true,\"Now\":\"2026-11-21T05:58:59+2\"}", "{\"OK\":true,\"Now\":17}",
        ] {
            #expect(ProbeAnswer(json: text) == nil, "\(text)")
        }
        var random = SplitMix64(5)
        let good = Array(ProbeAnswer(isWell: true, unixNanoseconds: 1_795_240_739_824_911_292).json.utf8)
        for _ in 0..<3000 {
            var bytes = good
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
            // Whatever comes out, it is no trap.
            _ = ProbeAnswer(json: String(decoding: bytes, as: UTF8.self))
        }
    }

    @Test("Entries of an append must follow each other, with terms that do not fall")
    func appends() {
        func refusal(_ logTerm: UInt64, _ index: UInt64, _ entries: [(UInt64, UInt64)]) -> MessageRefusal? {
            Message(
                type: .append, to: 2, from: 1, term: 5, logTerm: logTerm, index: index,
                entries: entries.map { Entry(term: $0.0, index: $0.1) }
            ).refusal(receiver: 2) { _ in false }
        }
        #expect(refusal(4, 10, []) == nil)
        #expect(refusal(4, 10, [(4, 11), (5, 12)]) == nil)
        #expect(refusal(0, 0, [(1, 1)]) == nil)
        #expect(refusal(4, 10, [(4, 12)]) == .entriesOutOfOrder)
        #expect(refusal(4, 10, [(5, 11), (4, 12)]) == .entriesOutOfOrder)
        #expect(refusal(4, 10, [(3, 11)]) == .entriesOutOfOrder)
        #expect(refusal(4, 10, [(6, 11)]) == .entriesOutOfOrder)
        #expect(refusal(4, .max, [(5, 0)]) == .entriesOutOfOrder)
    }

    @Test("Messages are judged by sender, receiver and what they carry")
    func judgement() {
        let message = Message(type: .heartbeat, to: 2, from: 1, term: 5)
        #expect(message.refusal(receiver: 2) { _ in false } == nil)
        #expect(message.refusal(receiver: 2) { $0 == 1 } == .removedSender)
        #expect(message.refusal(receiver: 3) { _ in false } == .otherReceiver(2))
        let own = Message(type: .appendResponse, to: 2, from: 2, term: 1, index: 9)
        #expect(own.refusal(receiver: 2) { _ in false } == .notAMember(2), "nobody else acknowledges for this member")
        for type in [.propose, .readIndex, .transferLeader] as [MessageType] {
            #expect(Message(type: type, to: 2, from: 2).refusal(receiver: 2) { _ in false } == nil, "passed on")
        }
        var carrying = message
        carrying.responses = [message]
        #expect(carrying.refusal(receiver: 2) { _ in false } == .notForPeers(.heartbeat))
    }

    @Test("A snapshot's message is found however its body is cut, and the rest belongs to the database")
    func snapshotPreamble() throws {
        let message = Message(
            type: .snapshot, to: 2, from: 1, term: 5,
            snapshot: Snapshot(data: [1, 2, 3], metadata: SnapshotMetadata(index: 9, term: 4)))
        let body = SnapshotBody.preamble(message) + [7, 7, 7]
        for cut in 0..<body.count {
            var preamble = SnapshotPreamble()
            let first = try body[..<cut].withUnsafeBytes { try preamble.feed($0) }
            if cut < body.count - 3 {
                #expect(first == nil)
                let second = try body[cut...].withUnsafeBytes { try preamble.feed($0) }
                #expect(second?.message == message)
                #expect(second?.rest == 3)
            } else {
                #expect(first?.rest == cut - (body.count - 3))
            }
        }
        var tooLong = SnapshotPreamble()
        #expect(throws: PeerProtocolError.tooLong(.max)) {
            try Array(repeating: 0xff as UInt8, count: 8).withUnsafeBytes { _ = try tooLong.feed($0) }
        }
    }
}
