import NIOCore
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
                heartbeat(1, 2, commit: index),
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
        try await one.stop()
        try await two.stop()
    }
}
