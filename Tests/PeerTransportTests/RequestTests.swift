import NIOCore
import PeerProtocol
import PeerTransport
import RaftMessages
import Testing

@Suite(.serialized) struct RequestTests {
    private struct Case {
        var request: String
        var headers: [String] = RequestTests.good
        var body: [UInt8] = []
        var status: Int
        var text = ""
    }

    private static let good = ["X-Etcd-Cluster-ID: c1", "X-Server-Version: 3.4.23", "X-Min-Cluster-Version: 3.0.0"]
    private static func with(_ more: String...) -> [String] { good + more }

    @Test("Requests that are not as they should be are refused in etcd's words")
    func refusals() async throws {
        let node = try await Node(2)
        node.transport.setPeer(1, urls: ["http://127.0.0.1:1"])
        node.transport.setRemoved([0xdead])
        let notAllowed = "Method Not Allowed\n"
        let tooOld = ["X-Etcd-Cluster-ID: c1", "X-Server-Version: 2.3.0", "X-Min-Cluster-Version: 2.3.0"]
        let tooNew = ["X-Etcd-Cluster-ID: c1", "X-Server-Version: 4.0.0", "X-Min-Cluster-Version: 4.0.0"]
        let other = ["X-Etcd-Cluster-ID: c2", "X-Server-Version: 3.4.23", "X-Min-Cluster-Version: 3.0.0"]
        let odd = ["X-Etcd-Cluster-ID: c1", "X-Server-Version: three", "X-Min-Cluster-Version: 3.0.0"]
        let fine = peerHeartbeat(1, 2)
        for test in [
            Case(request: "GET /raft", status: 405, text: notAllowed),
            Case(request: "GET /raft/snapshot", status: 405, text: notAllowed),
            Case(request: "POST /raft/stream/msgapp/1", status: 405, text: notAllowed),
            Case(request: "POST /raft", headers: [], status: 412, text: "incompatible version\n"),
            Case(request: "POST /raft", headers: tooOld, status: 412, text: "incompatible version\n"),
            Case(request: "POST /raft", headers: tooNew, status: 412, text: "incompatible version\n"),
            Case(request: "POST /raft", headers: odd, status: 412, text: "incompatible version\n"),
            Case(request: "POST /raft", headers: other, status: 412, text: "cluster ID mismatch\n"),
            Case(request: "POST /raft/snapshot", headers: other, status: 412, text: "cluster ID mismatch\n"),
            Case(request: "GET /raft/stream/message/1", headers: other, status: 412, text: "cluster ID mismatch\n"),
            Case(request: "GET /raft/stream/message/1", headers: tooOld, status: 412, text: "incompatible version\n"),
            Case(request: "GET /raft/stream/other/1", status: 404, text: "invalid path\n"),
            Case(request: "GET /raft/stream/message/xyz", status: 404, text: "invalid from\n"),
            Case(request: "GET /raft/stream/message/+1", status: 404, text: "invalid from\n"),
            Case(request: "GET /raft/stream/message/77", status: 404, text: "error sender not found\n"),
            Case(request: "GET /raft/stream/message/dead", status: 410, text: "removed member\n"),
            Case(
                request: "GET /raft/stream/message/1", headers: Self.with("X-Raft-To: 3"), status: 412,
                text: "to field mismatch\n"),
            Case(request: "POST /raft", body: [1, 2, 3], status: 400, text: "error unmarshalling raft message\n"),
            Case(
                request: "POST /raft", body: peerHeartbeat(0xdead, 2).encoded(), status: 403,
                text: "{\"message\":\"cannot process message from removed member\"}"),
            Case(
                request: "POST /raft", body: peerHeartbeat(1, 3).encoded(), status: 412,
                text: "to field mismatch\n"),
            Case(request: "POST /raft", body: fine.encoded(), status: 204),
            Case(request: "GET /other?x=1", status: 404, text: "no\n"),
        ] {
            let client = try RawClient(port: node.port)
            let head = ["\(test.request) HTTP/1.1", "Host: x", "Content-Length: \(test.body.count)"] + test.headers
            client.write(head.joined(separator: "\r\n") + "\r\n\r\n")
            client.write(test.body)
            let answer = try client.readResponse()
            #expect(answer.status == test.status, "\(test.request) \(test.headers)")
            #expect(answer.text.hasSuffix("\r\n\r\n" + test.text), "\(test.request): \(answer.text)")
            client.close()
        }
        #expect(node.log.now.received == [fine])
        #expect(node.log.now.requests.map(\.target) == ["/other?x=1"])
        try await node.stop()
    }

    @Test("No message that a member sends to itself comes in from outside", arguments: MessageType.allCases)
    func types(_ type: MessageType) async throws {
        let travels: Set<MessageType> = [
            .propose, .append, .appendResponse, .vote, .voteResponse, .heartbeat, .heartbeatResponse, .transferLeader,
            .timeoutNow, .readIndex, .readIndexResponse, .preVote, .preVoteResponse,
        ]
        let node = try await Node(2)
        for from in [1, .max, .max - 1, 0] as [UInt64] {
            let client = try RawClient(port: node.port)
            let message = Message(type: type, to: 2, from: from, term: 5)
            let head = ["POST /raft HTTP/1.1", "Host: x", "Content-Length: \(message.encoded().count)"] + Self.good
            client.write(head.joined(separator: "\r\n") + "\r\n\r\n")
            client.write(message.encoded())
            let isTaken = travels.contains(type) && from == 1
            #expect(try client.readResponse().status == (isTaken ? 204 : 400))
            #expect(
                node.log.now.received == (travels.contains(type) ? [Message(type: type, to: 2, from: 1, term: 5)] : []))
            client.close()
        }
        try await node.stop()
    }

    @Test("A connection carries one request after another, and ends when asked to")
    func connections() async throws {
        let node = try await Node(2) { call in
            call.respond(PeerResponse(status: 200, text: "\(call.request.method) \(call.request.body.count)"))
        }
        let client = try RawClient(port: node.port)
        for size in [0, 10, 100_000] {
            client.write("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: \(size)\r\n\r\n")
            client.write(Array(repeating: 65, count: size))
            #expect(try client.readResponse().text.hasSuffix("POST \(size)"))
        }
        client.write("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        let last = try client.readResponse()
        #expect(last.text.hasSuffix("GET 0"))
        #expect(client.read { !$0.isEmpty } == nil)
        client.close()
        // A body beyond the limit is refused, and so is what is no HTTP.
        let greedy = try RawClient(port: node.port)
        greedy.write("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
        greedy.write(Array(repeating: 65, count: 3_000_000))
        #expect(try greedy.readResponse().status == 400)
        greedy.close()
        let garbage = try RawClient(port: node.port)
        garbage.write("\u{1}\u{2}nonsense\r\n\r\n")
        #expect(try garbage.readResponse().status == 400)
        garbage.close()
        try await node.stop()
    }

    @Test("A request to a member is answered by the first of its URLs that works")
    func requests() async throws {
        let gone = try await Node(9)
        try await gone.stop()
        let one = try await Node(1)
        let two = try await Node(2) { call in
            switch call.request.path {
            case "/members":
                call.respond(
                    PeerResponse(status: 200, headers: [("X-Etcd-Cluster-ID", "c1")], body: call.request.body))
            case "/never": break
            default: call.respond(PeerResponse(status: 404, text: "404 page not found\n"))
            }
        }
        let answer = try await one.transport.request(
            PeerRequest(
                "POST", "/members?linearizable=false", headers: [("x-etcd-cluster-id", "c1")], body: [1, 2, 3]),
            urls: [gone.url, "nonsense", two.url], timeout: .seconds(10))
        #expect(answer.status == 200)
        #expect(answer.body == [1, 2, 3])
        #expect(answer.headers.contains { $0.name == "x-etcd-cluster-id" && $0.value == "c1" })
        #expect(two.log.now.requests.first?.target == "/members?linearizable=false")
        #expect(two.log.now.requests.first?.headers.contains { $0.name == "x-etcd-cluster-id" } == true)
        let missing = try await one.transport.request(PeerRequest("GET", "/x"), urls: [two.url], timeout: .seconds(10))
        #expect(missing.status == 404)
        await #expect(throws: TransportError.timedOut) {
            _ = try await one.transport.request(
                PeerRequest("GET", "/never"), urls: [two.url], timeout: .milliseconds(50))
        }
        await #expect(throws: TransportError.noURL) {
            _ = try await one.transport.request(PeerRequest("GET", "/x"), urls: [], timeout: .seconds(1))
        }
        await #expect(throws: (any Error).self) {
            _ = try await one.transport.request(PeerRequest("GET", "/x"), urls: [gone.url], timeout: .seconds(1))
        }
        try await one.stop()
        try await two.stop()
        await #expect(throws: TransportError.stopped) {
            _ = try await one.transport.request(PeerRequest("GET", "/x"), urls: [two.url], timeout: .seconds(1))
        }
    }
}
