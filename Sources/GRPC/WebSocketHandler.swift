import NIOCore
import NIOHTTP1
import NIOWebSocket

/// A WebSocket as a request and its answer: each message that comes is a line of the request's body, each line of the
/// answer's body goes out as a text message. The answer's status and fields have no place there, and when it ends, so
/// does the connection.
final class WebSocketHandler: ChannelInboundHandler, HTTPExchange, @unchecked Sendable {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let server: Server
    private let request: HTTPRequest
    private let handlers: HTTPHandlers
    private var context: ChannelHandlerContext?
    private var handler: (any HTTPStreamHandler)?
    /// The fragments so far of a message that is not whole.
    private var message: [UInt8]?
    private var share: RequestShare
    private let intake: HTTP1Intake
    /// The end of what was written, which is no whole line yet.
    private var line: [UInt8] = []
    private var isOver = false
    /// The frames that wait for the socket, which has one at a time.
    private var frames = CircularBuffer<(opcode: WebSocketOpcode, payload: ArraySlice<UInt8>, isLast: Bool)>()
    private var isFrameUnderWay = false
    private(set) var pendingBytes = 0
    private var producerWaits = false
    private var keepalive: RepeatedTask?
    /// Whether the socket has taken something since the last look.
    private var hasProgress = false
    private var isPingOutstanding = false
    private var isPongUnderWay = false
    /// The last ping that came while the answer to another one was under way.
    private var lastPing: ByteBuffer?

    /// What one frame holds at most; longer messages go out in fragments, so that a slow client is seen to read.
    static let frameSize = 1 << 20

    init(server: Server, request: HTTPRequest, handlers: HTTPHandlers, intake: HTTP1Intake) {
        self.server = server
        self.intake = intake
        share = RequestShare(of: server.configuration.requestMemory)
        var request = request
        request.isWebSocket = true
        self.request = request
        self.handlers = handlers
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let interval = server.configuration.idleTimeout
        keepalive = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [self] _ in
            checkKeepalive()
        }
        guard let stream = handlers.stream else { return close(context) }
        let call = HTTPCall(request: request, eventLoop: context.eventLoop, server: server, exchange: self)
        guard let handler = stream(call) else { return handlers.answer(call) }
        if !isOver { self.handler = handler }
    }

    func handlerRemoved(context: ChannelHandlerContext) { closed() }

    func channelInactive(context: ChannelHandlerContext) {
        closed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    private func closed() {
        keepalive?.cancel()
        keepalive = nil
        context = nil
        isOver = true
        // The frame under way its promise tells of.
        let forgotten = frames.reduce(0) { $0 + $1.payload.count }
        frames = []
        pendingBytes -= forgotten
        server.configuration.responseMemory.note(-forgotten)
        let handler = handler
        self.handler = nil
        handler?.cancelled()
    }

    /// A peer that has nothing to say is asked whether it is there. One that takes what it was sent is.
    private func checkKeepalive() {
        guard let context else { return }
        if hasProgress {
            hasProgress = false
            return
        }
        if isPingOutstanding { return close(context) }
        isPingOutstanding = true
        let frame = WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer())
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }

    // MARK: What arrives

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        intake.noteProgress()
        isPingOutstanding = false
        // RFC 6455, sections 5.1 and 5.2: clients mask all that they send, and no extension was agreed on.
        guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            return refuse(.protocolError, context)
        }
        switch frame.opcode {
        case .text, .binary:
            guard message == nil else { return refuse(.protocolError, context) }
            message = []
            add(frame, context)
        case .continuation:
            guard message != nil else { return refuse(.protocolError, context) }
            add(frame, context)
        case .ping: answerPing(frame.unmaskedData)
        case .connectionClose:
            var data = frame.unmaskedData
            guard let code = data.readInteger(as: UInt16.self) else { return refuse(nil, context) }
            refuse(Self.mayBeSent(code) ? WebSocketErrorCode(codeNumber: Int(code)) : .protocolError, context)
        case .pong: break
        default: refuse(.protocolError, context)
        }
    }

    /// One answer at a time waits for the socket, so that a client that pings and does not read fills no memory. Of the
    /// pings that come meanwhile the last is answered, as RFC 6455, section 5.5.3, allows.
    private func answerPing(_ data: ByteBuffer) {
        guard let context else { return }
        guard !isPongUnderWay else { return lastPing = data }
        isPongUnderWay = true
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolatedUnsafeUnchecked().whenComplete { [self] _ in
            isPongUnderWay = false
            guard let next = lastPing else { return }
            lastPing = nil
            answerPing(next)
        }
        context.writeAndFlush(
            wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: data)), promise: promise)
    }

    private func add(_ frame: WebSocketFrame, _ context: ChannelHandlerContext) {
        message?.append(contentsOf: frame.unmaskedData.readableBytesView)
        guard let count = message?.count, count <= server.configuration.maximumHTTPBody else {
            return refuse(.messageTooLarge, context)
        }
        // 1013 is the registered code for "try again later".
        guard share.hold(frame.fin ? 0 : count) else { return refuse(.unknown(1013), context) }
        guard frame.fin, let whole = message else { return }
        message = nil
        handler?.received(whole + [UInt8(ascii: "\n")])
    }

    /// Whether a client may close with `code`: the registered ones but those that mean no such frame came, and those of
    /// libraries and applications (RFC 6455, section 7.4).
    private static func mayBeSent(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }

    /// Closes, with `code` or as the client did without one.
    private func refuse(_ code: WebSocketErrorCode?, _ context: ChannelHandlerContext) {
        var data = ByteBuffer()
        if let code { data.write(webSocketErrorCode: code) }
        context.write(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: data)), promise: nil)
        close(context)
    }

    private func close(_ context: ChannelHandlerContext) {
        context.flush()
        context.close(promise: nil)
    }

    // MARK: The answer

    func respond(_ response: HTTPResponse) {
        write(response.body)
        end()
    }

    func begin(status: Int, headers: [(name: String, value: String)]) {}

    func write(_ bytes: [UInt8]) {
        guard !isOver else { return }
        var rest = bytes[...]
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            line += rest[..<newline]
            rest = rest[(newline + 1)...]
            sendLine()
        }
        line += rest
    }

    private func sendLine() {
        guard context != nil, !line.isEmpty else { return }
        pendingBytes += line.count
        server.configuration.responseMemory.note(line.count)
        if pendingBytes >= server.configuration.highWaterMark { producerWaits = true }
        var rest = line[...]
        line = []
        var opcode = WebSocketOpcode.text
        while !rest.isEmpty {
            let payload = rest.prefix(Self.frameSize)
            rest = rest.dropFirst(payload.count)
            frames.append((opcode, payload, rest.isEmpty))
            opcode = .continuation
        }
        sendFrame()
    }

    private func sendFrame() {
        guard let context, !isFrameUnderWay, let (opcode, payload, isLast) = frames.popFirst() else { return }
        isFrameUnderWay = true
        let count = payload.count
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolatedUnsafeUnchecked().whenComplete { [self] _ in wrote(count) }
        let frame = WebSocketFrame(fin: isLast, opcode: opcode, data: ByteBuffer(bytes: payload))
        context.writeAndFlush(wrapOutboundOut(frame), promise: promise)
    }

    private func wrote(_ count: Int) {
        isFrameUnderWay = false
        hasProgress = true
        pendingBytes -= count
        server.configuration.responseMemory.note(-count)
        guard let context else { return }
        if isOver, frames.isEmpty { return context.close(promise: nil) }
        // In another turn, so that a fast client does not have the loop for itself.
        if !frames.isEmpty { context.eventLoop.execute { [self] in sendFrame() } }
        guard producerWaits, pendingBytes <= server.configuration.lowWaterMark else { return }
        producerWaits = false
        handler?.writable()
    }

    func end() {
        guard !isOver else { return }
        sendLine()
        isOver = true
        handler = nil
        // Not before all that was said is with the socket.
        if pendingBytes == 0 { context?.close(promise: nil) }
    }

    func abort() {
        guard !isOver else { return }
        isOver = true
        handler = nil
        context?.close(promise: nil)
    }

    func pauseReading() { try? context?.channel.syncOptions?.setOption(.autoRead, value: false) }

    func resumeReading() { try? context?.channel.syncOptions?.setOption(.autoRead, value: true) }
}

extension WebSocketHandler {
    /// What turns connections of `server` into WebSockets, when their request asks for it and `handlers` agree.
    static func upgrader(
        server: Server, handlers: HTTPHandlers, peer: Server.Peer, intake: HTTP1Intake
    ) -> NIOWebSocketServerUpgrader? {
        guard let accepts = handlers.webSocket else { return nil }
        @Sendable func request(_ head: HTTPRequestHead) -> HTTPRequest? {
            let headers = head.headers.map { (name: $0.name.lowercased(), value: $0.value) }
            return accepts(
                HTTPRequest(
                    method: head.method.rawValue, target: head.uri, headers: headers, body: [], peer: peer.address,
                    peerIdentity: peer.identity))
        }
        return NIOWebSocketServerUpgrader(
            maxFrameSize: server.configuration.maximumHTTPBody,
            shouldUpgrade: { channel, head in
                guard head.method == .GET, request(head) != nil else {
                    return channel.eventLoop.makeSucceededFuture(nil)
                }
                var answer = HTTPHeaders()
                // A token may come as the name of a subprotocol, which the client then wants to be confirmed.
                if head.headers.first(name: "sec-websocket-protocol")?.hasPrefix("Bearer") == true {
                    answer.add(name: "Sec-WebSocket-Protocol", value: "Bearer")
                }
                return channel.eventLoop.makeSucceededFuture(answer)
            },
            upgradePipelineHandler: { channel, head in
                channel.eventLoop.makeCompletedFuture {
                    guard let request = request(head) else { throw ChannelError.inappropriateOperationForState }
                    try channel.pipeline.syncOperations.addHandler(
                        WebSocketHandler(server: server, request: request, handlers: handlers, intake: intake))
                }
            })
    }
}
