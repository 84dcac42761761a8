import Disk
import GenuineEtcd
import Glibc
import Membership
import NIOCore
import PeerTransport
import RaftMessages
import Synchronization
import Testing

/// A genuine member of a cluster of two, whose other member is this test: its transport, and a follower that agrees with
/// everything.
@Suite(.serialized, .enabled(if: GenuineEtcd.isInstalled, "needs /usr/bin/etcd and /usr/bin/etcdctl"))
struct EtcdInteropTests {
    @Test("A genuine leader replicates to us, finds us again after a restart, and tells us when we are removed")
    func replicates() async throws {
        let follower = Follower()
        let (socket, port) = try Node.listen(0)
        close(socket)
        let etcd = try GenuineMember(otherPort: port)
        var node = try await join(etcd, follower, port)
        // Elected by our vote, committed by our acknowledgement.
        try etcd.control("put", "greeting", "hello from genuine etcd")
        #expect(follower.contains("hello from genuine etcd"))
        try etcd.control("put", "large", input: [UInt8](repeating: UInt8(ascii: "x"), count: 1_000_000))
        #expect(follower.longestEntry > 1_000_000)
        try await waitForStatus(node, of: etcd.id, "all four streams are open") {
            $0.streamsIn == 2 && $0.streamsOut == 2 && $0.roundTripNanoseconds != nil
        }
        let members = try await node.transport.request(
            PeerRequest("GET", "/members"), urls: [etcd.peerURL], timeout: .seconds(5))
        #expect(members.status == 200)
        #expect(members.headers.contains { $0.name == "x-etcd-cluster-id" && $0.value == Identity.text(etcd.cluster) })

        try await node.stop()
        node = try await join(etcd, follower, port)
        try etcd.control("put", "again", "after the restart")
        #expect(follower.contains("after the restart"))
        #expect(follower.problems == [])

        try etcd.control("member", "remove", Identity.text(etcd.otherID))
        try await node.log.wait("we hear of our removal") { $0.removals == 1 }
        try await node.stop()
        etcd.stop()
    }

    @Test("A genuine leader's snapshot comes with its database, and appends go on behind it")
    func snapshot() async throws {
        let follower = Follower()
        let (socket, port) = try Node.listen(0)
        close(socket)
        let etcd = try GenuineMember(otherPort: port, arguments: "--snapshot-count", "100")
        let node = try await join(etcd, follower, port)
        try etcd.control("put", "first", "1")
        // etcd 3.4 keeps 5000 entries behind a snapshot for followers that are late.
        try await etcd.putMany(5300)
        follower.forget()
        try etcd.control("put", "late", "news")
        let log = try await node.log.wait("the snapshot is there") { log in
            log.received.contains { $0.type == .snapshot }
        }
        let snapshot = try #require(log.received.first { $0.type == .snapshot }?.snapshot)
        #expect(snapshot.metadata.index > 5000)
        #expect(Set(snapshot.metadata.confState.voters) == [etcd.id, etcd.otherID])
        let digits = String(snapshot.metadata.index, radix: 16)
        let name = String(repeating: "0", count: 16 - digits.count) + digits + ".snap.db"
        #expect(try POSIXDisk().list(node.directory).contains(name))
        try etcd.control("put", "after", "the snapshot")
        #expect(follower.contains("the snapshot"))
        #expect(follower.problems == [])
        try await node.stop()
        etcd.stop()
    }

    private func join(_ etcd: GenuineMember, _ follower: Follower, _ port: Int) async throws -> Node {
        follower.id = etcd.otherID
        let node = try await Node(
            etcd.otherID, port: port, cluster: etcd.cluster,
            reply: { messages in messages.compactMap { follower.answer($0) } })
        node.transport.setPeer(etcd.id, urls: [etcd.peerURL])
        return node
    }
}

/// The least that a leader wants of a follower.
private final class Follower: Sendable {
    private struct State {
        var id: UInt64 = 0
        var term: UInt64 = 0
        var log: [Entry] = []
        /// The snapshot before the log.
        var start: (index: UInt64, term: UInt64) = (0, 0)
        var problems: [String] = []

        var lastIndex: UInt64 { start.index + UInt64(log.count) }

        func term(at index: UInt64) -> UInt64? {
            if index == start.index { return start.term }
            guard index > start.index, index <= lastIndex else { return nil }
            return log[Int(index - start.index) - 1].term
        }
    }

    private let state = Mutex(State())

    var id: UInt64 {
        get { state.withLock { $0.id } }
        set { state.withLock { $0.id = newValue } }
    }
    var problems: [String] { state.withLock { $0.problems } }
    var longestEntry: Int { state.withLock { $0.log.map(\.data.count).max() ?? 0 } }

    func contains(_ text: String) -> Bool {
        let wanted = Array(text.utf8)
        return state.withLock { state in
            state.log.contains { entry in
                entry.data.count >= wanted.count
                    && (0...entry.data.count - wanted.count).contains {
                        Array(entry.data[$0..<$0 + wanted.count]) == wanted
                    }
            }
        }
    }

    /// Loses the log, as a member does whose disk was replaced.
    func forget() {
        state.withLock {
            $0.log = []
            $0.start = (0, 0)
        }
    }

    func answer(_ message: Message) -> Message? {
        state.withLock { state in
            state.term = max(state.term, message.term)
            var reply = Message(type: .heartbeatResponse, to: message.from, from: state.id, term: state.term)
            switch message.type {
            case .vote, .preVote:
                reply.type = message.type == .vote ? .voteResponse : .preVoteResponse
                reply.term = message.term
            case .heartbeat: reply.context = message.context
            case .append:
                reply.type = .appendResponse
                take(message, &state, &reply)
            case .snapshot:
                guard let metadata = message.snapshot?.metadata else { return nil }
                state.log = []
                state.start = (metadata.index, metadata.term)
                reply.type = .appendResponse
                reply.index = metadata.index
            default:
                state.problems.append("a message of type \(message.type)")
                return nil
            }
            return reply
        }
    }

    private func take(_ message: Message, _ state: inout State, _ reply: inout Message) {
        guard state.term(at: message.index) == message.logTerm else {
            (reply.reject, reply.index, reply.rejectHint) = (true, message.index, state.lastIndex)
            return
        }
        for (number, entry) in message.entries.enumerated() where entry.index != message.index + UInt64(number) + 1 {
            state.problems.append("entry \(entry.index) behind \(message.index) at place \(number)")
        }
        state.log = Array(state.log.prefix(Int(message.index - state.start.index))) + message.entries
        reply.index = state.lastIndex
    }
}

/// A genuine member of a cluster of two.
private struct GenuineMember {
    let peerURL: String
    let id: UInt64
    let otherID: UInt64
    let cluster: UInt64
    private let etcd: GenuineEtcd

    /// Starts the member; the other one is at `otherPort`.
    init(otherPort: Int, arguments: String...) throws {
        let otherURL = "http://127.0.0.1:\(otherPort)"
        let token = "peers-\(otherPort)"
        etcd = try GenuineEtcd { peerURL in
            [
                "--name", "genuine", "--initial-advertise-peer-urls", peerURL,
                "--initial-cluster", "genuine=\(peerURL),ours=\(otherURL)", "--initial-cluster-token", token,
                "--strict-reconfig-check=false", "--heartbeat-interval", "50", "--election-timeout", "500",
            ] + arguments
        }
        try etcd.start()
        peerURL = etcd.peerURL
        id = Identity.member(peerURLs: [peerURL], token: token)
        otherID = Identity.member(peerURLs: [otherURL], token: token)
        cluster = Identity.cluster(memberIDs: [id, otherID])
    }

    func stop() { etcd.stop() }

    /// What etcdctl prints.
    @discardableResult
    func control(_ arguments: String..., input: [UInt8] = []) throws -> String {
        try etcd.control(arguments, input: input)
    }

    /// Puts a key `count` times, each an entry, by the JSON gateway.
    func putMany(_ count: Int) async throws {
        let port = Int(etcd.clientURL.split(separator: ":").last ?? "") ?? 0
        try await withThrowingTaskGroup(of: Void.self) { group in
            let writers = 16
            for _ in 0..<writers {
                group.addTask {
                    let client = try RawClient(port: port)
                    defer { client.close() }
                    for _ in 0...(count / writers) {
                        let body = "{\"key\":\"Zm9v\",\"value\":\"YmFy\"}"
                        client.write(
                            "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
                        #expect(try client.readResponse().status == 200)
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
