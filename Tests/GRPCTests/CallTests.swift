import NIOCore
import Testing

@testable import GRPC

/// Calls of every kind between our own client and server.
@Suite struct CallTests {
    private static let echo: [String: Method] = [
        "/t.T/Echo": .unary { call, message in
            var trailers = Metadata()
            for (name, value) in call.metadata.fields where name.hasPrefix("x-") { trailers.add(name, value) }
            call.respond(message, trailers: trailers)
        },
        "/t.T/Fail": .unary { call, message in
            call.fail(Status(.notFound, String(decoding: message, as: UTF8.self)), trailers: ["x-why": "absent"])
        },
    ]

    private func unary(
        _ wire: Wire, _ path: String, _ message: [UInt8], metadata: Metadata = [:], timeout: TimeAmount? = nil,
        compressed: Bool = false
    ) throws -> Result<ClientConnection.Reply, Status>? {
        let outcome = Box<Result<ClientConnection.Reply, Status>?>(nil)
        wire.client.unary(path, message, metadata: metadata, timeout: timeout, compressed: compressed) {
            outcome.value = $0
        }
        try wire.run()
        return outcome.value
    }

    private func status(_ result: Result<ClientConnection.Reply, Status>?) -> Status? {
        switch result {
        case .success: .ok
        case .failure(let status): status
        case nil: nil
        }
    }

    @Test(arguments: [0, 1, 5, 16_384, 16_385, 1_000_000]) func unaryCallsCarryMessagesOfAnySize(size: Int) throws {
        let wire = try Wire(methods: Self.echo)
        let message = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        let reply = try unary(wire, "/t.T/Echo", message)?.get()
        #expect(reply?.message == message)
        #expect(wire.connection.sessionIfOpen?.streams.isEmpty == true)
        #expect(wire.serverConnection?.sessionIfOpen?.streams.isEmpty == true)
        #expect(wire.serverConnection?.sessionIfOpen?.pendingBytes == 0)
    }

    @Test func metadataGoesBothWays() throws {
        let wire = try Wire(methods: Self.echo)
        var metadata: Metadata = ["x-text": "a b"]
        metadata.add("x-raw-bin", [0, 1, 255])
        let reply = try unary(wire, "/t.T/Echo", [1], metadata: metadata)?.get()
        #expect(reply?.trailers.first("x-text") == "a b")
        #expect(reply?.trailers.firstBytes("x-raw-bin") == [0, 1, 255])
    }

    @Test func errorsCarryCodeTextAndTrailers() throws {
        let wire = try Wire(methods: Self.echo)
        let handler = RecordingClientHandler()
        let call = wire.client.stream("/t.T/Fail") { _ in handler }
        call.send(Array("käse 100%\n".utf8))
        call.halfClose()
        try wire.run()
        #expect(handler.status == Status(.notFound, "käse 100%\n"))
        #expect(handler.trailers?.first("x-why") == "absent")
        #expect(handler.headers == nil, "an error without replies consists of trailers only")
    }

    @Test(arguments: [
        ("/t.T/Nope", "unknown method Nope for service t.T"), ("/t.U/Echo", "unknown service t.U"),
        ("/nope", "malformed method name: \"/nope\""),
    ])
    func unknownPathsAreUnimplemented(path: String, text: String) throws {
        let wire = try Wire(methods: Self.echo)
        #expect(status(try unary(wire, path, [])) == Status(.unimplemented, text))
    }

    @Test func tooLargeRequestsGetGoTextAndTheConnectionGoesOn() throws {
        let wire = try Wire(methods: Self.echo, server: { $0.maximumMessageSize = 100_000 })
        let refusal = Status(.resourceExhausted, "grpc: received message larger than max (100001 vs. 100000)")
        #expect(status(try unary(wire, "/t.T/Echo", Array(repeating: 1, count: 100_001))) == refusal)
        #expect(try unary(wire, "/t.T/Echo", Array(repeating: 1, count: 100_000))?.get().message.count == 100_000)
    }

    @Test func gzipRequestsAreUnpackedWithinTheLimit() throws {
        let wire = try Wire(methods: Self.echo, server: { $0.maximumMessageSize = 100_000 })
        let message = [UInt8](repeating: 7, count: 100_000)
        #expect(try unary(wire, "/t.T/Echo", message, compressed: true)?.get().message == message)
        let text = "grpc: received message after decompression larger than max (100001 vs. 100000)"
        #expect(
            status(try unary(wire, "/t.T/Echo", message + [7], compressed: true)) == Status(.resourceExhausted, text))
    }

    @Test func answersGivenLaterAndInBatchesAreFlushedOnce() throws {
        let waiting = Box<[UnaryCall]>([])
        let batches = Box<[Int]>([])
        let wire = try Wire(
            methods: ["/t.T/Later": .unary { call, _ in waiting.value.append(call) }],
            readBatchEnded: { _ in batches.value.append(waiting.value.count) })
        let replies = Box(0)
        for _ in 0..<10 { wire.client.unary("/t.T/Later", [1]) { _ in replies.value += 1 } }
        try wire.run()
        #expect(batches.value == [10])
        #expect(replies.value == 0)
        let calls = waiting.value
        wire.loop.execute { for call in calls { call.respond([2]) } }
        wire.loop.run()
        #expect(try wire.serverChannel.readOutbound(as: ByteBuffer.self) != nil)
        #expect(try wire.serverChannel.readOutbound(as: ByteBuffer.self) == nil, "ten replies are one write")
    }

    @Test func onlyTheFirstAnswerCounts() throws {
        let wire = try Wire(methods: [
            "/t.T/Twice": .unary { call, _ in
                call.respond([1])
                call.respond([2])
                call.fail(Status(.internal))
            }
        ])
        #expect(try unary(wire, "/t.T/Twice", [])?.get().message == [1])
    }

    @Test func unaryCallWithoutARequestIsRefused() throws {
        let wire = try Wire(methods: Self.echo)
        let handler = RecordingClientHandler()
        wire.client.stream("/t.T/Echo") { _ in handler }.halfClose()
        try wire.run()
        #expect(handler.status?.code == .internal)
    }

    @Test func serverEndsCallsAtTheirDeadline() throws {
        let reason = Box<CancelReason?>(nil)
        let wire = try Wire(methods: ["/t.T/Never": .unary { call, _ in call.onCancel { reason.value = $0 } }])
        let handler = RecordingClientHandler()
        // The client's own timer is left out, so that the server's word is what arrives.
        let call = wire.client.stream("/t.T/Never") { _ in handler }
        call.send([])
        try wire.run()
        #expect(handler.status == nil)
        let timed = Box<Result<ClientConnection.Reply, Status>?>(nil)
        wire.client.unary("/t.T/Never", [], timeout: .seconds(5)) { timed.value = $0 }
        try wire.run()
        wire.loop.advanceTime(by: .seconds(4))
        try wire.run()
        #expect(timed.value == nil)
        wire.loop.advanceTime(by: .seconds(1))
        try wire.run()
        #expect(status(timed.value) == Status(.deadlineExceeded, "context deadline exceeded"))
        #expect(reason.value == .deadlineExceeded)
        #expect(handler.status == nil, "a call without a deadline goes on")
    }

    @Test func cancelledUnaryCallRunsItsHookAndIgnoresItsAnswer() throws {
        let reason = Box<CancelReason?>(nil)
        let held = Box<UnaryCall?>(nil)
        let wire = try Wire(methods: [
            "/t.T/Never": .unary { call, _ in
                held.value = call
                call.onCancel { reason.value = $0 }
            }
        ])
        let outcome = Box<Result<ClientConnection.Reply, Status>?>(nil)
        let call = wire.client.unary("/t.T/Never", []) { outcome.value = $0 }
        try wire.run()
        call.cancel()
        try wire.run()
        #expect(reason.value == .reset(code: 8))
        #expect(status(outcome.value)?.code == .cancelled)
        #expect(held.value?.isCancelled == true)
        held.value?.respond([1])
        try wire.run()
    }

    @Test func lostConnectionCancelsCallsOnBothSides() throws {
        let reason = Box<CancelReason?>(nil)
        let wire = try Wire(methods: ["/t.T/Never": .unary { call, _ in call.onCancel { reason.value = $0 } }])
        let outcome = Box<Result<ClientConnection.Reply, Status>?>(nil)
        wire.client.unary("/t.T/Never", []) { outcome.value = $0 }
        try wire.run()
        wire.serverChannel.close(promise: nil)
        wire.clientChannel.close(promise: nil)
        try wire.run()
        #expect(reason.value == .connectionClosed)
        #expect(status(outcome.value) == Status(.unavailable, "the connection was lost"))
        #expect(status(try unary(wire, "/t.T/Never", []))?.code == .unavailable)
    }

    /// A handler may close the connection while the session is reading.
    @Test func connectionMayBeClosedFromWithinACall() throws {
        let channel = Box<(any Channel)?>(nil)
        let reason = Box<CancelReason?>(nil)
        let wire = try Wire(methods: [
            "/t.T/Close": .unary { call, _ in
                call.onCancel { reason.value = $0 }
                channel.value?.close(promise: nil)
            }
        ])
        channel.value = wire.serverChannel
        _ = try unary(wire, "/t.T/Close", [1])
        #expect(!wire.serverChannel.isActive)
        #expect(reason.value == .connectionClosed)
    }

    @Test func veryLongTextsAreCut() throws {
        let text = String(repeating: "ä", count: 100_000)
        let wire = try Wire(methods: ["/t.T/Long": .unary { call, _ in call.fail(Status(.aborted, text)) }])
        let outcome = status(try unary(wire, "/t.T/Long", []))
        #expect(outcome?.code == .aborted)
        #expect(outcome.map { $0.message.count > 1000 && text.hasPrefix($0.message) } == true)
    }

    @Test func observersSeeEveryCallOfAKnownMethod() throws {
        final class Witness: CallObserver, CallTrace {
            let seen: Box<[CallSummary]>
            let told: Box<[String]>

            init(_ seen: Box<[CallSummary]>, _ told: Box<[String]>) {
                self.seen = seen
                self.told = told
            }

            func started(_ metadata: Metadata, peer: String) -> (any CallTrace)? {
                told.value.append("started")
                return self
            }
            func received(bytes: Int) { told.value.append("received \(bytes)") }
            func sent(bytes: Int) { told.value.append("sent \(bytes)") }
            func finished(_ call: CallSummary) { seen.value.append(call) }
            func finished(_ status: Status.Code) { told.value.append("ended \(status)") }
        }
        let seen = Box<[CallSummary]>([])
        let told = Box<[String]>([])
        var observer = ServerObserver()
        observer.calls = { _ in Witness(seen, told) }
        let wire = try Wire(methods: Self.echo, observer: observer)
        _ = try unary(wire, "/t.T/Echo", [1, 2, 3])
        _ = try unary(wire, "/t.T/Fail", [1])
        _ = try unary(wire, "/t.T/Nope", [1])
        #expect(seen.value.map(\.path) == ["/t.T/Echo", "/t.T/Fail"])
        #expect(seen.value.map(\.code) == [.ok, .notFound])
        #expect(
            seen.value.first?.traffic
                == .init(messagesReceived: 1, messagesSent: 1, bytesReceived: 3, bytesSent: 3))
        #expect(
            told.value == [
                "started", "received 3", "sent 3", "ended ok", "started", "received 1", "ended notFound",
            ])
    }
}
