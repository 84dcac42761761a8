import NIOCore
import Testing

@testable import GRPC

/// Streaming calls, cancellation in both directions, and what happens when one side does not read.
@Suite struct StreamTests {
    private func makeWire(
        _ handlers: Box<[RecordingHandler]>, server: (inout Server.Configuration) -> Void = { _ in },
        client: (inout ClientConnection.Configuration) -> Void = { _ in }
    ) throws -> Wire {
        try Wire(
            methods: [
                "/t.T/Stream": .stream { call in
                    let handler = RecordingHandler(call: call)
                    handlers.value.append(handler)
                    return handler
                },
                "/t.T/Echo": .unary { call, message in call.respond(message) },
            ], server: server, client: client)
    }

    @Test func bidirectionalStreamTranscript() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers)
        let seen = RecordingClientHandler()
        let call = wire.client.stream("/t.T/Stream", metadata: ["x-a": "1"]) { _ in seen }
        try wire.run()
        let handler = try #require(handlers.value.first)
        #expect(handler.call.metadata.first("x-a") == "1")
        #expect(handler.call.metadata.first(":authority") == "wire")
        handler.call.sendHeaders(["x-h": "2"])
        try wire.run()
        #expect(seen.headers?.first("x-h") == "2")
        call.send([1])
        call.send([2, 3])
        try wire.run()
        #expect(handler.events == [.message([1]), .message([2, 3])])
        handler.call.send([9])
        handler.call.send(parts: [[8], [], [7, 6]])
        try wire.run()
        #expect(seen.messages == [[9], [8, 7, 6]])
        call.halfClose()
        try wire.run()
        #expect(handler.events.last == .halfClosed)
        handler.call.finish(.ok, trailers: ["x-t": "3"])
        handler.call.send([5])
        try wire.run()
        #expect(seen.status == .ok)
        #expect(seen.trailers?.first("x-t") == "3")
        #expect(seen.messages.count == 2, "nothing is sent after the end")
        #expect(wire.serverConnection?.sessionIfOpen?.streams.isEmpty == true)
    }

    /// The client is told of the end while it is still sending, and stops.
    @Test func serverMayEndAStreamBeforeTheClientDoes() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers)
        let seen = RecordingClientHandler()
        let call = wire.client.stream("/t.T/Stream") { _ in seen }
        call.send([1])
        try wire.run()
        handlers.value.first?.call.finish(Status(.outOfRange, "enough"))
        try wire.run()
        #expect(seen.status == Status(.outOfRange, "enough"))
        call.send([2])
        try wire.run()
        #expect(handlers.value.first?.events == [.message([1])])
        #expect(wire.connection.sessionIfOpen?.streams.isEmpty == true)
        #expect(wire.serverConnection?.sessionIfOpen?.streams.isEmpty == true)
    }

    @Test func clientCancelReachesTheHandler() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers)
        let call = wire.client.stream("/t.T/Stream") { _ in RecordingClientHandler() }
        try wire.run()
        call.cancel()
        try wire.run()
        let handler = try #require(handlers.value.first)
        #expect(handler.events == [.cancelled(.reset(code: 8))])
        #expect(handler.call.isCancelled)
        handler.call.send([1])
        handler.call.finish()
        try wire.run()
    }

    @Test func abortOvertakesQueuedReplies() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers, client: { $0.streamWindow = 1000 })
        let seen = RecordingClientHandler()
        wire.client.stream("/t.T/Stream") { _ in seen }
        try wire.run()
        let call = try #require(handlers.value.first).call
        wire.clientChannel.isWritable = false  // No window updates get out.
        for _ in 0..<10 { call.send(Array(repeating: 1, count: 500)) }
        try wire.run()
        call.abort(Status(.aborted, "gone"))
        try wire.run()
        #expect(seen.status == Status(.aborted, "gone"))
        #expect(wire.serverConnection?.sessionIfOpen?.streams.isEmpty == true)
        #expect(wire.serverConnection?.sessionIfOpen?.pendingBytes == 0)
    }

    /// A client that stops reading one stream holds up that stream alone, and the producer is told when to go on.
    @Test func slowReaderStallsOnlyItself() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(
            handlers,
            server: {
                $0.highWaterMark = 10_000
                $0.lowWaterMark = 2_000
            })
        let seen = RecordingClientHandler()
        let slow = wire.client.stream("/t.T/Stream") { _ in seen }
        try wire.run()
        let handler = try #require(handlers.value.first)
        slow.pauseReading()
        var sent = 0
        while handler.call.isWritable {
            handler.call.send(Array(repeating: 1, count: 1000))
            sent += 1
            try wire.run()
            #expect(sent < 2000, "the window of the stream and the mark of the queue are the bound")
        }
        #expect(handler.call.pendingBytes >= 10_000 && handler.call.pendingBytes < 12_000)
        let reply = Box<[UInt8]?>(nil)
        wire.client.unary("/t.T/Echo", [4, 2]) { reply.value = try? $0.get().message }
        try wire.run()
        #expect(reply.value == [4, 2])
        #expect(!handler.events.contains(.writable))
        slow.resumeReading()
        try wire.run()
        #expect(handler.events == [.writable])
        #expect(handler.call.pendingBytes == 0)
        #expect(seen.messages.count == sent)
    }

    @Test func producerThatDoesNotStopLosesItsStream() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers, server: { $0.pendingLimit = 50_000 })
        let seen = RecordingClientHandler()
        let slow = wire.client.stream("/t.T/Stream") { _ in seen }
        try wire.run()
        let handler = try #require(handlers.value.first)
        slow.pauseReading()
        for _ in 0..<3000 where !handler.call.isCancelled { handler.call.send(Array(repeating: 1, count: 1000)) }
        try wire.run()
        #expect(handler.events == [.cancelled(.unread)])
        slow.resumeReading()
        try wire.run()
        #expect(seen.status?.code == .resourceExhausted)
        #expect(wire.serverConnection?.sessionIfOpen?.pendingBytes == 0)
    }

    /// While the socket takes nothing, what is sent stays in the streams' queues.
    @Test func nothingIsPulledWhileTheSocketIsFull() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers)
        let seen = RecordingClientHandler()
        wire.client.stream("/t.T/Stream") { _ in seen }
        try wire.run()
        let call = try #require(handlers.value.first).call
        wire.serverChannel.isWritable = false
        for _ in 0..<20 { call.send(Array(repeating: 1, count: 1000)) }
        try wire.run()
        #expect(seen.messages.isEmpty)
        #expect(call.pendingBytes == 20 * 1005)
        wire.serverChannel.isWritable = true
        wire.serverChannel.pipeline.fireChannelWritabilityChanged()
        try wire.run()
        #expect(seen.messages.count == 20)
    }

    /// A handler that pauses is sent one window more, which is kept, and gets everything in order afterwards.
    @Test func pausedHandlerStopsTheClient() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers, server: { $0.streamWindow = 10_000 })
        let seen = RecordingClientHandler()
        let call = wire.client.stream("/t.T/Stream") { _ in seen }
        try wire.run()
        let handler = try #require(handlers.value.first)
        handler.call.pauseReading()
        for index in 0..<100 { call.send(Array(repeating: UInt8(index), count: 1000)) }
        call.halfClose()
        try wire.run()
        #expect(handler.events.isEmpty)
        #expect(call.pendingBytes == 100 * 1005 - 10_000)
        handler.call.resumeReading()
        try wire.run()
        let expected = (0..<100).map { RecordingHandler.Event.message(Array(repeating: UInt8($0), count: 1000)) }
        #expect(handler.events == expected + [.halfClosed])
    }

    /// Pauses after each message that it takes.
    private final class MessageAtATime: StreamHandler {
        private let call: StreamCall
        private let taken: Box<Int>

        init(_ call: StreamCall, _ taken: Box<Int>) {
            self.call = call
            self.taken = taken
        }

        func received(_ message: [UInt8]) {
            taken.value += 1
            call.pauseReading()
        }

        func halfClosed() {}
        func cancelled(_ reason: CancelReason) {}
        func writable() {}
    }

    /// What is kept of a read upon which the handler paused does not open the window: a client that is faster than its
    /// handler has one window more under way, however often that goes on and pauses again.
    @Test func handlerThatPausesAmongMessagesIsNotFlooded() throws {
        let taken = Box(0)
        let calls = Box<[StreamCall]>([])
        let methods: [String: Method] = [
            "/t.T/Stream": .stream { call in
                calls.value.append(call)
                return MessageAtATime(call, taken)
            }
        ]
        let wire = try Wire(methods: methods, server: { $0.streamWindow = 10_000 })
        let call = wire.client.stream("/t.T/Stream") { _ in RecordingClientHandler() }
        // The client learns of the window.
        try wire.run()
        let total = 300
        for _ in 0..<total { call.send(Array(repeating: 1, count: 95)) }
        try wire.run()
        let handler = try #require(calls.value.first)
        while taken.value < total {
            let before = taken.value
            #expect(total * 100 - call.pendingBytes <= taken.value * 100 + 10_000)
            handler.resumeReading()
            try wire.run()
            guard taken.value > before else { break }
        }
        #expect(taken.value == total)
    }

    @Test func truncatedMessageEndsTheCall() throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers)
        let seen = RecordingClientHandler()
        let call = wire.client.stream("/t.T/Stream") { _ in seen }
        call.stream.outbound.append(raw: [0, 0, 0, 0, 9, 1])
        call.halfClose()
        try wire.run()
        #expect(seen.status == Status(.internal, "unexpected EOF"))
        #expect(handlers.value.first?.events == [.cancelled(.refused(Status(.internal, "unexpected EOF")))])
    }

    /// Handlers hold their call and calls their handler; the end of a call must break that circle.
    @Test(arguments: ["finish", "abort", "cancel", "close", "refuse"]) func endedCallsAreLetGo(how: String) throws {
        let handlers = Box<[RecordingHandler]>([])
        let wire = try makeWire(handlers)
        let client = wire.client.stream("/t.T/Stream") { _ in RecordingClientHandler() }
        client.send([1])
        try wire.run()
        weak let handler = handlers.value.first
        weak let stream = handlers.value.first?.call.serverStream
        weak let clientStream = client.stream
        switch how {
        case "finish": handler?.call.finish()
        case "abort": handler?.call.abort(Status(.aborted))
        case "cancel": client.cancel()
        case "close": wire.serverChannel.close(promise: nil)
        default:
            client.stream.outbound.append(raw: [9, 9, 9, 9, 9])
            client.halfClose()
        }
        handlers.value = []
        try wire.run()
        #expect(handler == nil)
        #expect(stream == nil)
        #expect(clientStream?.session == nil || how == "close")
    }

    @Test func closedConnectionsAreLetGo() throws {
        let wire = try makeWire(Box([]))
        wire.client.unary("/t.T/Echo", [1], timeout: .seconds(5)) { _ in }
        try wire.run()
        weak let connection = wire.serverConnection
        weak let session = wire.serverConnection?.sessionIfOpen
        #expect(connection != nil)
        wire.serverChannel.close(promise: nil)
        try wire.run()
        wire.loop.advanceTime(by: .hours(3))
        #expect(connection == nil)
        #expect(session == nil)
    }
}

extension StreamCall {
    fileprivate var serverStream: ServerStream? {
        if case .stream(let stream) = carrier { return stream }
        return nil
    }
}
