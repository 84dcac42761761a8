import NIOCore

/// A unary call on the server. `metadata`, `peer`, `eventLoop` and `deadline` may be read on any thread. An answer may
/// be given on any thread too, but is cheapest on `eventLoop`: to answer many calls, hop there once for all of them.
///
/// A call is answered once. Answers after the first, and answers after the call was cancelled, do nothing.
public struct UnaryCall: Sendable {
    let stream: ServerStream

    /// The fields that came with the call; `:authority` and `user-agent` are among them, gRPC's own are not.
    public var metadata: Metadata { stream.metadata }
    /// The address the call came from, as `host:port`.
    public var peer: String { stream.connection.peer }
    /// The common name in the client's certificate, when one was asked for and verified; else nil.
    public var peerIdentity: String? { stream.connection.peerIdentity }
    /// The path of the method, `/package.Service/Method`.
    public var path: String { stream.entry?.path ?? "" }
    /// The event loop of the connection the call came on.
    public var eventLoop: any EventLoop { stream.connection.loop.eventLoop }
    /// When the client stops waiting; nil when it set no limit.
    public var deadline: NIODeadline? { stream.deadline }
    /// Who follows this call, if anybody does. Only on `eventLoop`.
    public var trace: (any CallTrace)? { stream.trace }
    /// Whether the call is over without an answer. Only on `eventLoop`.
    public var isCancelled: Bool { stream.isCancelled }

    /// Has `hook` called, once, on the event loop, when the call is cancelled before it is answered. Only on
    /// `eventLoop`; a second hook takes the place of the first.
    public func onCancel(_ hook: @escaping (CancelReason) -> Void) {
        eventLoop.preconditionInEventLoop()
        stream.onCancel = hook
    }

    /// Ends the call well, with `message` as its reply.
    public func respond(_ message: [UInt8], trailers: Metadata = Metadata()) {
        onLoop { stream in stream.respond(message, trailers: trailers) }
    }

    /// Ends the call well, with a reply of `size` bytes that `body` writes.
    public func respond(writing size: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        respond(
            [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                body(UnsafeMutableRawBufferPointer(buffer))
                count = size
            })
    }

    /// Ends the call with an error.
    public func fail(_ status: Status, trailers: Metadata = Metadata()) {
        onLoop { stream in stream.fail(status, trailers: trailers, reason: nil) }
    }

    private func onLoop(_ body: @escaping @Sendable (ServerStream) -> Void) {
        let stream = stream
        if eventLoop.inEventLoop {
            body(stream)
        } else {
            eventLoop.execute { body(stream) }
        }
    }
}

/// A streaming call on the server. `metadata`, `peer`, `eventLoop` and `deadline` may be read on any thread; `send`,
/// `sendHeaders` and `finish` may be called on any thread, in the order the client is to see; the rest belongs to
/// `eventLoop`.
///
/// Replies wait in a queue until the client's windows and the socket take them. A producer that can wait stops while
/// `isWritable` is false and goes on in `StreamHandler.writable()`. One that does not stop loses the call with
/// RESOURCE_EXHAUSTED when the queue passes `Server.Configuration.pendingLimit`.
public struct StreamCall: Sendable {
    let stream: ServerStream

    /// The fields that came with the call; `:authority` and `user-agent` are among them, gRPC's own are not.
    public var metadata: Metadata { stream.metadata }
    /// The address the call came from, as `host:port`.
    public var peer: String { stream.connection.peer }
    /// The common name in the client's certificate, when one was asked for and verified; else nil.
    public var peerIdentity: String? { stream.connection.peerIdentity }
    /// The path of the method, `/package.Service/Method`.
    public var path: String { stream.entry?.path ?? "" }
    /// The event loop of the connection the call came on.
    public var eventLoop: any EventLoop { stream.connection.loop.eventLoop }
    /// When the client stops waiting; nil when it set no limit.
    public var deadline: NIODeadline? { stream.deadline }
    /// Whether the call is over without having been finished. Only on `eventLoop`.
    public var isCancelled: Bool { stream.isCancelled }
    /// How many bytes of replies are queued. Only on `eventLoop`.
    public var pendingBytes: Int { stream.outbound.pendingBytes }
    /// Whether the queue is under its high-water mark. Only on `eventLoop`.
    public var isWritable: Bool { pendingBytes < stream.connection.server.configuration.highWaterMark }

    /// Sends the head of the answer before the first reply, with `metadata`.
    public func sendHeaders(_ metadata: Metadata = Metadata()) {
        onLoop { stream in stream.sendHead(metadata) }
    }

    /// Sends a reply. The array is shared, not copied, until it goes into frames.
    public func send(_ message: [UInt8]) {
        onLoop { stream in stream.send([message]) }
    }

    /// Sends a reply made of several parts, such as a head of its own and a body that many streams share.
    public func send(parts: [[UInt8]]) {
        onLoop { stream in stream.send(parts) }
    }

    /// Ends the call after the replies that are queued.
    public func finish(_ status: Status = .ok, trailers: Metadata = Metadata()) {
        onLoop { stream in stream.finish(status, trailers: trailers) }
    }

    /// Ends the call with an error at once; queued replies are not sent.
    public func abort(_ status: Status, trailers: Metadata = Metadata()) {
        onLoop { stream in stream.fail(status, trailers: trailers, reason: nil) }
    }

    /// Stops the flow of requests to the handler; the client may send one more window of bytes, which is kept.
    public func pauseReading() {
        eventLoop.preconditionInEventLoop()
        stream.pauseReading()
    }

    /// Lets requests flow again.
    public func resumeReading() {
        eventLoop.preconditionInEventLoop()
        stream.resumeReading()
    }

    private func onLoop(_ body: @escaping @Sendable (ServerStream) -> Void) {
        let stream = stream
        if eventLoop.inEventLoop {
            body(stream)
        } else {
            eventLoop.execute { body(stream) }
        }
    }
}
