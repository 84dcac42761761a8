import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Requests over HTTP/1.1: one after the other on a connection.
final class HTTP1Handler: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    let server: Server
    private let handlers: HTTPHandlers
    private let peer: Server.Peer
    private(set) var context: ChannelHandlerContext?
    private var exchange: HTTP1Exchange?
    private var idleTimer: Scheduled<Void>?
    private var stallTimer: Scheduled<Void>?
    /// Bytes of answers that the socket has not taken.
    private(set) var pendingBytes = 0
    /// When the socket last took some.
    private var lastProgress = NIODeadline.now()
    private var producerWaits = false

    init(server: Server, handlers: HTTPHandlers, peer: Server.Peer) {
        self.server = server
        self.handlers = handlers
        self.peer = peer
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        expectRequest()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        stopTimers()
        self.context = nil
        forgetExchange()
    }

    func channelInactive(context: ChannelHandlerContext) {
        stopTimers()
        forgetExchange()
        context.fireChannelInactive()
    }

    private func stopTimers() {
        idleTimer?.cancel()
        idleTimer = nil
        stallTimer?.cancel()
        stallTimer = nil
    }

    private func forgetExchange() {
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

    // MARK: Requests

    /// A connection without a whole request is not kept for ever, however slowly it sends one.
    private func expectRequest() {
        idleTimer?.cancel()
        guard let context else { return }
        let channel = context.channel
        idleTimer = context.eventLoop.scheduleTask(in: server.configuration.idleTimeout) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): began(head, context)
        case .body(let buffer): exchange?.received(buffer)
        case .end:
            idleTimer?.cancel()
            exchange?.receivedEnd()
        }
    }

    private func began(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let headers = head.headers.map { (name: $0.name.lowercased(), value: $0.value) }
        let request = HTTPRequest(
            method: head.method.rawValue, target: head.uri, headers: headers, body: [], peer: peer.address,
            peerIdentity: peer.identity)
        let exchange = HTTP1Exchange(head: head, request: request, handlers: handlers, connection: self)
        self.exchange = exchange
        if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
            context.writeAndFlush(
                wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
        }
        exchange.begin(on: context.eventLoop)
    }

    // MARK: Answers

    func write(_ head: HTTPResponseHead) {
        guard let context else { return }
        // What a stream sends once it is answered may take as long as it likes.
        idleTimer?.cancel()
        context.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    func flush() { context?.flush() }

    func write(_ bytes: [UInt8], flushes: Bool) {
        guard let context, !bytes.isEmpty else { return }
        let count = bytes.count
        if pendingBytes == 0 { lastProgress = context.eventLoop.now }
        pendingBytes += count
        server.configuration.responseMemory.note(count)
        if pendingBytes >= server.configuration.highWaterMark { producerWaits = true }
        watchForStall()
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolatedUnsafeUnchecked().whenComplete { [self] _ in wrote(count) }
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: promise)
        if flushes { context.flush() }
    }

    private func wrote(_ count: Int) {
        pendingBytes -= count
        server.configuration.responseMemory.note(-count)
        guard let context else { return }
        lastProgress = context.eventLoop.now
        guard producerWaits, pendingBytes <= server.configuration.lowWaterMark else { return }
        producerWaits = false
        exchange?.drained()
    }

    /// Closes the connection when its client takes nothing for long of what waits for it.
    private func watchForStall() {
        guard stallTimer == nil, let context else { return }
        let due = max(lastProgress, context.eventLoop.now - server.configuration.idleTimeout)
        stallTimer = context.eventLoop.scheduleTask(deadline: due + server.configuration.idleTimeout) { [self] in
            stallTimer = nil
            guard pendingBytes > 0, let context = self.context else { return }
            if context.eventLoop.now - lastProgress >= server.configuration.idleTimeout {
                server.observer.connectionRejected?(peer.address, "client left its answer unread")
                context.close(promise: nil)
            } else {
                watchForStall()
            }
        }
    }

    /// The answer is whole; the connection takes the next request or ends.
    func finish(_ finished: HTTP1Exchange, keepsAlive: Bool) {
        guard let context, exchange === finished else { return }
        exchange = nil
        setReading(true)
        let end = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: end)
        if keepsAlive {
            expectRequest()
        } else {
            let channel = context.channel
            end.futureResult.whenComplete { _ in channel.close(promise: nil) }
        }
    }

    func isCurrent(_ other: HTTP1Exchange) -> Bool { exchange === other && context != nil }

    func close() { context?.close(promise: nil) }

    func setReading(_ reads: Bool) {
        guard let context else { return }
        try? context.channel.syncOptions?.setOption(.autoRead, value: reads)
    }
}
