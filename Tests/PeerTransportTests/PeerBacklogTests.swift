import RaftMessages
import Synchronization
import Testing

@testable import PeerTransport

@Suite(.serialized) struct PeerBacklogTests {
    private final class Counter: Sendable {
        let count = Mutex(0)
    }

    @Test("Bytes and messages are held back at their limits, and read on when half is taken")
    func limits() {
        let resumed = Counter()
        let backlog = PeerBacklog(byteLimit: 4000) { resumed.count.withLock { $0 += 1 } }
        let append = peerAppend(1, 2, behind: 0, bytes: 1)
        var waiting: [ReceivedMessages] = []
        while !backlog.holdsBack() { waiting.append(backlog.add([append], bytes: 700)) }
        #expect(waiting.count == 4, "with what a message takes besides its bytes")
        #expect(backlog.isFull(for: append))
        #expect(!backlog.isFull(for: peerHeartbeat(1, 2)), "a heartbeat is no bulk data")
        waiting.removeLast().taken()
        #expect(backlog.holdsBack() && resumed.count.withLock { $0 } == 0)
        for part in waiting { part.taken() }
        #expect(!backlog.holdsBack() && resumed.count.withLock { $0 } == 1)

        let heartbeats = (0..<PeerBacklog.messageLimit).map { _ in peerHeartbeat(1, 2) }
        let many = PeerBacklog()
        let part = many.add(heartbeats, bytes: 0)
        #expect(many.holdsBack() && many.isFull(for: peerHeartbeat(1, 2)))
        part.taken()
        #expect(!many.holdsBack())
    }

    /// The owner of the second takes nothing: what the first sends stays there, and is reported, and heartbeats come
    /// through all the same.
    @Test("A stream is not read while its messages wait for the owner, and heartbeats do not wait with them")
    func backPressure() async throws {
        let limit = 2 << 20
        let (one, two) = try await pair(Node(2, takes: false, backlogBytes: limit))
        var index: UInt64 = 0
        // Above what the sockets and the sender's queue hold.
        for _ in 0..<4096 where one.log.now.unreachable.isEmpty {
            one.transport.send([peerAppend(1, 2, behind: index, bytes: 1 << 20)])
            index += 1
            // The sender's loop is let go on, so that not all of them wait before it.
            if index.isMultiple(of: 16) {
                let question = PeerRequest("GET", "/")
                _ = try? await one.transport.request(question, urls: [two.url], timeout: .seconds(20))
            }
        }
        try await one.log.wait("the sender drops and tells") { $0.unreachable.contains(2) }
        one.transport.send([peerHeartbeat(1, 2, commit: 77)])
        let heartbeat = peerHeartbeat(1, 2, commit: 77)
        let seen = try await two.log.wait("the heartbeat is there", until: { $0.received.contains(heartbeat) })
        let appends = seen.received.filter { $0.type == .append }
        #expect(!appends.isEmpty && appends.count < 8, "\(appends.count) MiB wait")
        // The owner goes on, and so does the stream. What is sent before the sender's queue has room is dropped.
        let end = peerAppend(1, 2, behind: index + 1000, bytes: 1)
        try await two.log.wait("what is sent now arrives") { _ in
            var untaken: [ReceivedMessages] = []
            two.log.change { swap(&untaken, &$0.untaken) }
            for part in untaken { part.taken() }
            if two.log.now.received.count(where: { $0.type == .append }) > appends.count { one.transport.send([end]) }
            return two.log.now.received.contains(end)
        }
        try await one.stop()
        try await two.stop()
    }

    @Test("Posts are refused while those before them wait, but not heartbeats")
    func posts() async throws {
        let two = try await Node(2, takes: false, backlogBytes: 1 << 20)
        let one = try await Node(1)
        // Two does not know one, so there are no streams.
        one.transport.setPeer(2, urls: [two.url])
        one.transport.send([peerAppend(1, 2, behind: 0, bytes: 1 << 20)])
        try await two.log.wait("the first is there") { $0.received.count == 1 }
        one.transport.send([peerAppend(1, 2, behind: 1, bytes: 1)])
        try await one.log.wait("the second is refused") { $0.unreachable == [2] }
        one.transport.send([peerHeartbeat(1, 2)])
        try await two.log.wait("the heartbeat is there") { $0.received.last == peerHeartbeat(1, 2) }
        two.log.change { for part in $0.untaken { part.taken() } }
        one.transport.send([peerAppend(1, 2, behind: 1, bytes: 1)])
        try await two.log.wait("the next one is there") { $0.received.count == 3 }
        try await one.stop()
        try await two.stop()
    }
}
