import NIOCore

/// Counts what arrived on an HTTP/1.1 connection and led to nothing so far: the beginning of a head, or of a WebSocket's
/// frame, which the handlers behind this one keep until it is whole.
final class HTTP1Intake: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let server: Server
    private let peer: String
    private var share: RequestShare
    private var count = 0
    private var hasProgressed = false

    init(server: Server, peer: String) {
        self.server = server
        self.peer = peer
        share = RequestShare(of: server.configuration.requestMemory)
    }

    /// Something became whole. What is left behind it is counted from the next read on.
    func noteProgress() { hasProgressed = true }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let arrived = unwrapInboundIn(data).readableBytes
        hasProgressed = false
        context.fireChannelRead(data)
        count = hasProgressed ? 0 : count + arrived
        guard !share.hold(count) else { return }
        server.observer.connectionRejected?(peer, "too many requests are unfinished")
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        _ = share.hold(0)
        context.fireChannelInactive()
    }
}
