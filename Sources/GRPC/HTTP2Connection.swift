import CNGHTTP2
import NIOCore

/// A connection that speaks HTTP/2: the one channel handler that stands between a socket and a session. The server's
/// and the client's connections add what they do with streams.
///
/// It pulls from the session only while the socket takes bytes, so that what waits stays in the streams' queues, where
/// it is counted.
class HTTP2Connection: ChannelInboundHandler, HTTP2SessionDelegate, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    final let loop: EventLoopContext
    final private(set) var context: ChannelHandlerContext?
    final private(set) var sessionIfOpen: HTTP2Session?
    /// When bytes last arrived.
    final private(set) var lastRead: NIODeadline
    private let makeSession: (HTTP2Connection) -> HTTP2Session
    private var isReading = false
    private var isFlushing = false
    private var isDirty = false
    private var closesAfterFlush = false
    private var keepaliveTimer: Scheduled<Void>?
    private let keepalive: Keepalive
    private var isPingOutstanding = false
    /// The last read had a large head or many calls.
    final private(set) var readsLittle = false

    /// Pings that find out whether a silent peer is still there.
    struct Keepalive {
        /// After this long without a byte, a ping goes out.
        var interval: TimeAmount
        /// After this long without a byte in answer, the connection is closed.
        var timeout: TimeAmount
    }

    /// Told apart from pings that serve other ends.
    static let keepalivePayload: UInt64 = 0x6B65_6570_616C_6976

    init(loop: EventLoopContext, keepalive: Keepalive, makeSession: @escaping (HTTP2Connection) -> HTTP2Session) {
        self.loop = loop
        self.keepalive = keepalive
        self.makeSession = makeSession
        lastRead = loop.eventLoop.now
    }

    /// The time on the event loop's clock.
    final var now: NIODeadline { loop.eventLoop.now }

    // MARK: What the two sides add

    func openedStream(_ id: Int32) -> HTTP2Stream { HTTP2Stream() }
    func receivedPing() {}
    func receivedReset() {}
    func sentReset(code: UInt32) {}
    func receivedGoAway(code: UInt32, lastStream: Int32, debug: UnsafeRawBufferPointer) {}
    func sentGoAway(reason: String) {}
    func becameIdle() {}
    /// What the socket takes now has been given to it.
    func flushed(_ session: HTTP2Session) {}
    /// The session is there.
    func opened() {}
    /// The channel is gone and all streams were told.
    func closed() {}

    func receivedPingAnswer(_ payload: UInt64) {
        if payload == Self.keepalivePayload { isPingOutstanding = false }
    }

    // MARK: Channel

    final func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { open() }
    }

    final func handlerRemoved(context: ChannelHandlerContext) {
        close(code: NGHTTP2_CONNECT_ERROR.rawValue)
        self.context = nil
    }

    final func channelActive(context: ChannelHandlerContext) {
        open()
        context.fireChannelActive()
    }

    final func channelInactive(context: ChannelHandlerContext) {
        close(code: NGHTTP2_CONNECT_ERROR.rawValue)
        context.fireChannelInactive()
    }

    final func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    final func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let session = sessionIfOpen else { return }
        isReading = true
        lastRead = now
        isPingOutstanding = false
        unwrapInboundIn(data).withUnsafeReadableBytes { session.receive($0) }
        let readsLittle = session.hasTakenMuch(calls: self.readsLittle ? ReadSize.someCalls : ReadSize.manyCalls)
        if readsLittle != self.readsLittle { setReadSize(little: readsLittle, context) }
        if let failure = session.failure, !closesAfterFlush {
            closesAfterFlush = true
            sentGoAway(reason: failure)
        }
    }

    final func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        flush()
        context.fireChannelReadComplete()
    }

    final func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { flush() }
        context.fireChannelWritabilityChanged()
    }

    private func setReadSize(little: Bool, _ context: ChannelHandlerContext) {
        readsLittle = little
        let allocator: any RecvByteBufferAllocator = little ? ReadSize.small : ReadSize.usual
        try? context.channel.syncOptions?.setOption(.recvAllocator, value: allocator)
    }

    private func open() {
        guard sessionIfOpen == nil, context != nil else { return }
        sessionIfOpen = makeSession(self)
        lastRead = now
        scheduleKeepalive(in: keepalive.interval)
        opened()
        setDirty()
    }

    private func close(code: UInt32) {
        keepaliveTimer?.cancel()
        keepaliveTimer = nil
        guard let session = sessionIfOpen else { return }
        sessionIfOpen = nil
        if session.isInside {
            // What a call was told made it close the channel: nghttp2 must return first.
            loop.eventLoop.execute { self.tearDown(session, code: code) }
        } else {
            tearDown(session, code: code)
        }
    }

    private func tearDown(_ session: HTTP2Session, code: UInt32) {
        session.tearDown(code: code)
        closed()
    }

    // MARK: Sending

    /// There is something to send; it goes out at the end of the read, or of this turn of the event loop.
    final func setDirty() {
        guard !isReading, !isFlushing, !isDirty else { return }
        isDirty = true
        loop.markDirty(self)
    }

    final func flushIfDirty() {
        isDirty = false
        flush()
    }

    /// Closes the channel once all that can be sent has been handed to it.
    final func closeAfterFlush() {
        closesAfterFlush = true
        setDirty()
    }

    private func flush() {
        guard !isFlushing, let context, let session = sessionIfOpen else { return }
        isFlushing = true
        repeat {
            while context.channel.isWritable {
                loop.scratch.clear()
                let count = loop.scratch.writeWithUnsafeMutableBytes(minimumWritableBytes: EventLoopContext.writeSize) {
                    session.pull(into: UnsafeMutableRawBufferPointer(rebasing: $0.prefix(EventLoopContext.writeSize)))
                }
                if count > 0 { context.writeAndFlush(wrapOutboundOut(loop.scratch), promise: nil) }
                // A failed write closes the channel, and with it the session, on the spot.
                if !session.hasMore || sessionIfOpen == nil { break }
            }
        } while session.notifyDrained()
        isFlushing = false
        guard sessionIfOpen != nil else { return }
        flushed(session)
        if closesAfterFlush || session.failure != nil || session.isFinished { context.close(promise: nil) }
    }

    // MARK: Keepalive

    private func scheduleKeepalive(in amount: TimeAmount) {
        // Held until the connection closes, which cancels it; a weak reference would slow every other one down.
        keepaliveTimer = loop.eventLoop.scheduleTask(in: amount) { self.checkKeepalive() }
    }

    private func checkKeepalive() {
        guard let session = sessionIfOpen else { return }
        let silence = now - lastRead
        if isPingOutstanding {
            context?.close(promise: nil)
        } else if silence >= keepalive.interval {
            isPingOutstanding = true
            session.submitPing(Self.keepalivePayload)
            setDirty()
            scheduleKeepalive(in: keepalive.timeout)
        } else {
            scheduleKeepalive(in: keepalive.interval - silence)
        }
    }
}
