import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Requests over HTTP/1.1: one after the other on a connection.
///
/// A body goes to the socket in slices, as the socket takes them. So it shows whether a client that takes long takes
/// anything, and what waits is the answer's own bytes and no copy of them.
final class HTTP1Handler: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// The bytes that one write has. A client that takes as much within `Configuration.idleTimeout` is not cut off.
    static let slice = 64 << 10
    /// The bytes that the socket has to take at a time: enough to keep it busy for a turn of the loop.
    static let window = 4 * slice
    /// A connection that is closed with bytes unread is reset, and its client may lose the answer with it. So of a
    /// request that is answered before its end this much more is read and dropped, for so long.
    static let mostDropped = 64 << 20
    static let longestDropping = TimeAmount.seconds(10)

    private enum Phase: Equatable {
        /// Requests are taken and answered.
        case open
        /// The end of the answer follows its body, and then another request or nothing.
        case ending(keepsAlive: Bool)
        /// The last answer is with the socket, and what comes is dropped.
        case dropping
    }

    let server: Server
    private let handlers: HTTPHandlers
    private let peer: Server.Peer
    private let intake: HTTP1Intake
    private let upgrader: NIOWebSocketServerUpgrader?
    private var context: ChannelHandlerContext?
    private var exchange: HTTP1Exchange?
    private var phase = Phase.open
    private var isRequestWhole = false
    /// Whether the client has said that it sends no more.
    private var isInputClosed = false
    private var droppedBytes = 0
    private var idleTimer: Scheduled<Void>?
    private var stallTimer: Scheduled<Void>?

    /// Bytes of answers that the socket has not taken.
    private(set) var pendingBytes = 0
    /// Those of them that the socket was given, and answers' ends likewise.
    private var givenBytes = 0
    private var givenEnds = 0
    /// The rest of them.
    private var waiting = CircularBuffer<ArraySlice<UInt8>>()
    private var isGiving = false
    private var givesLater = false
    /// When the socket last took some.
    private var lastProgress = NIODeadline.now()
    private var producerWaits = false

    /// - Parameters:
    ///   - upgrader: what makes WebSockets of requests that want one, if that can be had.
    ///   - intake: is told what of the requests is whole.
    init(
        server: Server, handlers: HTTPHandlers, peer: Server.Peer, upgrader: NIOWebSocketServerUpgrader?,
        intake: HTTP1Intake
    ) {
        self.server = server
        self.upgrader = upgrader
        self.intake = intake
        self.handlers = handlers
        self.peer = peer
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        expectRequest()
    }

    func handlerRemoved(context: ChannelHandlerContext) { leave() }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    private func leave() {
        idleTimer?.cancel()
        idleTimer = nil
        stallTimer?.cancel()
        stallTimer = nil
        context = nil
        // What the socket was given its promises tell of.
        let forgotten = waiting.reduce(0) { $0 + $1.count }
        waiting = []
        pendingBytes -= forgotten
        server.configuration.responseMemory.note(-forgotten)
        let unfinished = exchange
        exchange = nil
        unfinished?.connectionClosed()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A WebSocket that is not granted; the request is answered like any other.
        if error is NIOWebSocketUpgradeError { return }
        // What is no HTTP at all, a TLS handshake for one; it was answered with status 400.
        if error is HTTPParserError { server.observer.connectionRejected?(peer.address, "not HTTP: \(error)") }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            isInputClosed = true
            endWithInput()
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Closes the connection of a client that sends no more, once it has its answer.
    private func endWithInput() {
        guard isInputClosed, let context else { return }
        if let exchange {
            if !exchange.outlivesInput { context.close(promise: nil) }
        } else if !owesAnswers {
            context.close(promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        giveLater()
        context.fireChannelWritabilityChanged()
    }

    // MARK: Requests

    /// A connection without a whole request is not kept for ever, however slowly it sends one.
    private func expectRequest() {
        idleTimer?.cancel()
        guard let context else { return }
        let channel = context.channel
        idleTimer = context.eventLoop.scheduleTask(in: server.configuration.idleTimeout) { [weak self] in
            guard let self else { return }
            // Whoever still takes the last answer is not idle, and is watched otherwise.
            if owesAnswers { expectRequest() } else { channel.close(promise: nil) }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        intake.noteProgress()
        let part = unwrapInboundIn(data)
        if case .end = part { isRequestWhole = true }
        if phase == .dropping || phase == .ending(keepsAlive: false) { return drop(part, context) }
        switch part {
        case .head(let head): began(head, context)
        case .body(let buffer): exchange?.received(buffer)
        case .end:
            idleTimer?.cancel()
            exchange?.receivedEnd()
        }
    }

    private func began(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        isRequestWhole = false
        // The body has the whole time, however long the connection was idle before.
        expectRequest()
        let headers = head.headers.map { (name: $0.name.lowercased(), value: $0.value) }
        let request = HTTPRequest(
            method: head.method.rawValue, target: head.uri, headers: headers, body: [], peer: peer.address,
            peerIdentity: peer.identity)
        let exchange = HTTP1Exchange(head: head, request: request, handlers: handlers, connection: self)
        self.exchange = exchange
        if head.version != .http1_0, head.headers.first(name: "expect")?.lowercased() == "100-continue" {
            context.writeAndFlush(
                wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
        }
        exchange.begin(on: context.eventLoop)
    }

    private func drop(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        if case .body(let buffer) = part { droppedBytes += buffer.readableBytes }
        let isEnough = isRequestWhole && phase == .dropping && !owesAnswers
        if isEnough || droppedBytes > Self.mostDropped { context.close(promise: nil) }
    }

    // MARK: Answers

    func write(_ head: HTTPResponseHead) {
        guard let context else { return }
        // What a stream sends once it is answered may take as long as it likes.
        idleTimer?.cancel()
        context.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    func flush() { context?.flush() }

    /// Takes a piece of the body. Unless it `flushes`, more or the end follows at once.
    func write(_ bytes: [UInt8], flushes: Bool) {
        guard let context, !bytes.isEmpty else { return }
        if !owesAnswers { lastProgress = context.eventLoop.now }
        pendingBytes += bytes.count
        server.configuration.responseMemory.note(bytes.count)
        if pendingBytes >= server.configuration.highWaterMark { producerWaits = true }
        waiting.append(bytes[...])
        watchForStall()
        if flushes { give() }
    }

    /// The answer is whole; the connection takes the next request or ends.
    func finish(_ finished: HTTP1Exchange, keepsAlive: Bool) {
        guard let context, exchange === finished else { return }
        exchange = nil
        setReading(true)
        if !owesAnswers { lastProgress = context.eventLoop.now }
        phase = .ending(keepsAlive: keepsAlive)
        watchForStall()
        give()
    }

    func close() { context?.close(promise: nil) }

    func setReading(_ reads: Bool) {
        guard let context else { return }
        try? context.channel.syncOptions?.setOption(.autoRead, value: reads)
    }

    /// Whether there is anything that the client has not taken.
    private var owesAnswers: Bool {
        if case .ending = phase { return true }
        return pendingBytes > 0 || givenEnds > 0
    }

    /// Whether there is something to give, and room for it.
    private var canGive: Bool {
        guard let context else { return false }
        if !waiting.isEmpty { return givenBytes < Self.window }
        // The end lets the next request in, whose answer is not to pile up on this one.
        if case .ending = phase { return context.channel.isWritable }
        return false
    }

    /// Gives the socket what it has room for. The rest waits for another turn of the loop, even when the socket has taken
    /// all by then: a fast client does not have the loop for itself.
    private func give() {
        guard let context, !isGiving else { return }
        isGiving = true
        while givenBytes < Self.window, let piece = waiting.popFirst() {
            let slice = piece.prefix(Self.slice)
            if slice.count < piece.count { waiting.prepend(piece.dropFirst(slice.count)) }
            give(slice, context)
        }
        if case .ending(let keepsAlive) = phase, canGive { giveEnd(keepsAlive: keepsAlive, context) }
        context.flush()
        isGiving = false
        giveLater()
    }

    private func giveLater() {
        guard let context, !isGiving, !givesLater, canGive else { return }
        givesLater = true
        context.eventLoop.execute { [self] in
            givesLater = false
            give()
        }
    }

    private func give(_ slice: ArraySlice<UInt8>, _ context: ChannelHandlerContext) {
        let count = slice.count
        givenBytes += count
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolatedUnsafeUnchecked().whenComplete { [self] _ in
            givenBytes -= count
            pendingBytes -= count
            server.configuration.responseMemory.note(-count)
            wasTaken()
        }
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: slice)))), promise: promise)
    }

    private func giveEnd(keepsAlive: Bool, _ context: ChannelHandlerContext) {
        givenEnds += 1
        phase = keepsAlive ? .open : .dropping
        if keepsAlive { expectUpgrade(context) }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolatedUnsafeUnchecked().whenComplete { [self] _ in
            givenEnds -= 1
            wasTaken()
            if !keepsAlive { sayGoodbye() }
        }
        // The next request may be here already: then it comes while this is written.
        if keepsAlive { expectRequest() }
        context.write(wrapOutboundOut(.end(nil)), promise: promise)
    }

    private func wasTaken() {
        guard let context else { return }
        lastProgress = context.eventLoop.now
        if producerWaits, pendingBytes <= server.configuration.lowWaterMark {
            producerWaits = false
            exchange?.drained()
        }
        giveLater()
        endWithInput()
    }

    /// NIO's handler for upgrades looks at one request and goes; a proxy may ask for a WebSocket on a connection that it
    /// has used before.
    private func expectUpgrade(_ context: ChannelHandlerContext) {
        guard let upgrader else { return }
        let operations = context.pipeline.syncOperations
        do {
            let others: [any RemovableChannelHandler] = [
                try operations.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self),
                try operations.handler(type: HTTPServerPipelineHandler.self),
                try operations.handler(type: NIOHTTPResponseHeadersValidator.self),
                try operations.handler(type: HTTPServerProtocolErrorHandler.self),
            ]
            let next = HTTPServerUpgradeHandler(
                upgraders: [upgrader], httpEncoder: try operations.handler(type: HTTPResponseEncoder.self),
                extraHTTPHandlers: others,
                upgradeCompletionHandler: { [self] in $0.pipeline.syncOperations.removeHandler(self, promise: nil) })
            try operations.addHandler(next, position: .before(self))
        } catch {
            // The connection is closing.
            context.close(promise: nil)
        }
    }

    /// All is with the socket.
    private func sayGoodbye() {
        guard let context else { return }
        guard !isRequestWhole else { return context.close(promise: nil) }
        let channel = context.channel
        idleTimer?.cancel()
        idleTimer = context.eventLoop.scheduleTask(in: Self.longestDropping) { channel.close(promise: nil) }
        context.close(mode: .output, promise: nil)
    }

    /// Closes the connection when its client takes nothing for long of what waits for it.
    private func watchForStall() {
        guard stallTimer == nil, let context else { return }
        let limit = server.configuration.idleTimeout
        stallTimer = context.eventLoop.scheduleTask(deadline: lastProgress + limit) { [weak self] in
            guard let self else { return }
            stallTimer = nil
            guard owesAnswers, let context = self.context else { return }
            guard context.eventLoop.now - lastProgress >= limit else { return watchForStall() }
            server.observer.connectionRejected?(peer.address, "client left its answer unread")
            context.close(promise: nil)
        }
    }
}
