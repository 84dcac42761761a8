import NIOCore

/// What a call came by: a stream of a connection, or a part of this process. The first is the rule, and the test for it
/// is all that the second costs it.
enum CallCarrier: Sendable {
    case stream(ServerStream)
    case local(LocalCall)

    var metadata: Metadata {
        switch self {
        case .stream(let stream): stream.metadata
        case .local(let call): call.metadata
        }
    }

    var peer: String {
        switch self {
        case .stream(let stream): stream.connection.peer
        case .local(let call): call.peer
        }
    }

    /// A call within the process has the certificate of whom it is made for, if any.
    var peerIdentity: String? {
        switch self {
        case .stream(let stream): stream.connection.peerIdentity
        case .local(let call): call.peerIdentity
        }
    }

    var shownIdentity: String? {
        switch self {
        case .stream(let stream): stream.connection.peerIdentity
        case .local(let call): call.shownIdentity
        }
    }

    var server: Server {
        switch self {
        case .stream(let stream): stream.connection.server
        case .local(let call): call.server
        }
    }

    var path: String {
        switch self {
        case .stream(let stream): stream.entry?.path ?? ""
        case .local(let call): call.path
        }
    }

    var eventLoop: any EventLoop {
        switch self {
        case .stream(let stream): stream.connection.loop.eventLoop
        case .local(let call): call.eventLoop
        }
    }

    var deadline: NIODeadline? {
        switch self {
        case .stream(let stream): stream.deadline
        case .local(let call): call.deadline
        }
    }

    var trace: (any CallTrace)? {
        switch self {
        case .stream(let stream): stream.trace
        case .local(let call): call.trace
        }
    }

    var isCancelled: Bool {
        switch self {
        case .stream(let stream): stream.isCancelled
        case .local(let call): call.isCancelled
        }
    }

    /// Runs one of the two on the call's event loop: at once when that is where it is called.
    @inline(__always)
    func onLoop(
        stream onStream: @escaping @Sendable (ServerStream) -> Void,
        local onLocal: @escaping @Sendable (LocalCall) -> Void
    ) {
        switch self {
        case .stream(let stream):
            let eventLoop = stream.connection.loop.eventLoop
            if eventLoop.inEventLoop { onStream(stream) } else { eventLoop.execute { onStream(stream) } }
        case .local(let call):
            if call.eventLoop.inEventLoop { onLocal(call) } else { call.eventLoop.execute { onLocal(call) } }
        }
    }
}

/// A unary call on the server. `metadata`, `peer`, `eventLoop` and `deadline` may be read on any thread. An answer may
/// be given on any thread too, but is cheapest on `eventLoop`: to answer many calls, hop there once for all of them.
///
/// A call is answered once. Answers after the first, and answers after the call was cancelled, do nothing.
public struct UnaryCall: Sendable {
    let carrier: CallCarrier

    /// The fields that came with the call; `:authority` and `user-agent` are among them, gRPC's own are not.
    public var metadata: Metadata { carrier.metadata }
    /// The address the call came from, as `host:port`.
    public var peer: String { carrier.peer }
    /// The common name in the client's certificate, when one was asked for and verified; else nil.
    public var peerIdentity: String? { carrier.peerIdentity }
    /// The common name that the client has shown, even where it does not say in whose name the call is made: a request in
    /// JSON is nobody's, whoever made the connection.
    public var shownIdentity: String? { carrier.shownIdentity }
    /// The path of the method, `/package.Service/Method`.
    public var path: String { carrier.path }
    /// The event loop of the connection the call came on.
    public var eventLoop: any EventLoop { carrier.eventLoop }
    /// When the client stops waiting; nil when it set no limit.
    public var deadline: NIODeadline? { carrier.deadline }
    /// Who follows this call, if anybody does. Only on `eventLoop`.
    public var trace: (any CallTrace)? { carrier.trace }
    /// Whether the call is over without an answer. Only on `eventLoop`.
    public var isCancelled: Bool { carrier.isCancelled }

    /// Whether the memory for replies is used up and this call's client has part in it, so that a large reply would be
    /// refused. Only on `eventLoop`.
    public var isOverdrawn: Bool {
        if case .stream(let stream) = carrier { stream.connection.isOverdrawn } else { false }
    }

    /// Has `hook` called, once, on the event loop, when the call is cancelled before it is answered. Only on
    /// `eventLoop`; a second hook takes the place of the first.
    public func onCancel(_ hook: @escaping (CancelReason) -> Void) {
        eventLoop.preconditionInEventLoop()
        switch carrier {
        case .stream(let stream): stream.onCancel = hook
        case .local(let call): call.onCancel = hook
        }
    }

    /// Ends the call well, with `message` as its reply.
    public func respond(_ message: [UInt8], trailers: Metadata = Metadata()) {
        carrier.onLoop(
            stream: { $0.respond(message, trailers: trailers) }, local: { $0.respond(message, trailers: trailers) })
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
        carrier.onLoop(
            stream: { $0.fail(status, trailers: trailers, reason: nil) },
            local: { $0.fail(status, trailers: trailers, reason: nil) })
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
    let carrier: CallCarrier

    /// The fields that came with the call; `:authority` and `user-agent` are among them, gRPC's own are not.
    public var metadata: Metadata { carrier.metadata }
    /// The address the call came from, as `host:port`.
    public var peer: String { carrier.peer }
    /// The common name in the client's certificate, when one was asked for and verified; else nil.
    public var peerIdentity: String? { carrier.peerIdentity }
    /// The common name that the client has shown, even where it does not say in whose name the call is made: a request in
    /// JSON is nobody's, whoever made the connection.
    public var shownIdentity: String? { carrier.shownIdentity }
    /// The path of the method, `/package.Service/Method`.
    public var path: String { carrier.path }
    /// The event loop of the connection the call came on.
    public var eventLoop: any EventLoop { carrier.eventLoop }
    /// When the client stops waiting; nil when it set no limit.
    public var deadline: NIODeadline? { carrier.deadline }
    /// Who follows this call, if anybody does. Only on `eventLoop`.
    public var trace: (any CallTrace)? { carrier.trace }
    /// Whether the call is over without having been finished. Only on `eventLoop`.
    public var isCancelled: Bool { carrier.isCancelled }
    /// How many bytes of replies are queued. Only on `eventLoop`.
    public var pendingBytes: Int {
        switch carrier {
        case .stream(let stream): stream.outbound.pendingBytes
        case .local(let call): call.pendingBytes
        }
    }
    /// Whether the queue is under its high-water mark. Only on `eventLoop`.
    public var isWritable: Bool {
        switch carrier {
        case .stream(let stream):
            stream.outbound.pendingBytes < stream.connection.server.configuration.highWaterMark
        case .local(let call): call.pendingBytes < call.server.configuration.highWaterMark
        }
    }

    /// Sends the head of the answer before the first reply, with `metadata`.
    public func sendHeaders(_ metadata: Metadata = Metadata()) {
        carrier.onLoop(stream: { $0.sendHead(metadata) }, local: { $0.sendHead(metadata) })
    }

    /// Sends a reply. The array is shared, not copied, until it goes into frames.
    public func send(_ message: [UInt8]) {
        carrier.onLoop(stream: { $0.send([message]) }, local: { $0.send([message]) })
    }

    /// Sends a reply made of several parts, such as a head of its own and a body that many streams share.
    public func send(parts: [[UInt8]]) {
        carrier.onLoop(stream: { $0.send(parts) }, local: { $0.send(parts) })
    }

    /// Ends the call after the replies that are queued.
    public func finish(_ status: Status = .ok, trailers: Metadata = Metadata()) {
        carrier.onLoop(
            stream: { $0.finish(status, trailers: trailers) }, local: { $0.finish(status, trailers: trailers) })
    }

    /// Ends the call with an error at once; queued replies are not sent.
    public func abort(_ status: Status, trailers: Metadata = Metadata()) {
        carrier.onLoop(
            stream: { $0.fail(status, trailers: trailers, reason: nil) },
            local: { $0.fail(status, trailers: trailers, reason: nil) })
    }

    /// Stops the flow of requests to the handler; the client may send one more window of bytes, which is kept.
    public func pauseReading() {
        eventLoop.preconditionInEventLoop()
        switch carrier {
        case .stream(let stream): stream.pauseReading()
        case .local(let call): call.pauseReading()
        }
    }

    /// Lets requests flow again.
    public func resumeReading() {
        eventLoop.preconditionInEventLoop()
        switch carrier {
        case .stream(let stream): stream.resumeReading()
        case .local(let call): call.resumeReading()
        }
    }
}
