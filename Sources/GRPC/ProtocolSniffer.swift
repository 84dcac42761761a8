import NIOCore
import NIOHTTP1

/// Tells HTTP/2 from HTTP/1.1 by the first bytes of a connection, and puts the right handlers in its own place.
final class ProtocolSniffer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let server: Server
    private let endpoint: Server.Endpoint
    private let loop: EventLoopContext
    private let peer: Server.Peer
    private var received = ByteBuffer()
    private var timer: Scheduled<Void>?

    init(server: Server, endpoint: Server.Endpoint, loop: EventLoopContext, peer: Server.Peer) {
        self.server = server
        self.endpoint = endpoint
        self.loop = loop
        self.peer = peer
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: server.configuration.idleTimeout) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        let length = min(received.readableBytes, Self.preface.count)
        let isHTTP2 = received.readableBytesView.prefix(length).elementsEqual(Self.preface.prefix(length))
        if isHTTP2, length < Self.preface.count { return }
        do {
            let operations = context.pipeline.syncOperations
            if isHTTP2 {
                try operations.addHandler(
                    ServerConnection(server: server, endpoint: endpoint, loop: loop, peer: peer), position: .after(self)
                )
            } else {
                try addHTTP1(context)
            }
        } catch {
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(wrapInboundOut(received))
        received = ByteBuffer()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func addHTTP1(_ context: ChannelHandlerContext) throws {
        guard let handlers = endpoint.http else {
            server.observer.connectionRejected?(peer.address, "not HTTP/2, and nothing but gRPC is spoken here")
            throw ChannelError.inappropriateOperationForState
        }
        let operations = context.pipeline.syncOperations
        let intake = HTTP1Intake(server: server, peer: peer.address)
        let upgrader = WebSocketHandler.upgrader(server: server, handlers: handlers, peer: peer, intake: intake)
        let handler = HTTP1Handler(
            server: server, handlers: handlers, peer: peer, upgrader: upgrader, intake: intake)
        // Who has asked may say that nothing follows, and wait: `nc` does. Of TLS the library takes care.
        if !peer.isSecure { try context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true) }
        var upgrade: NIOHTTPServerUpgradeConfiguration?
        if let upgrader {
            upgrade = (
                upgraders: [upgrader],
                completionHandler: { context in
                    context.pipeline.syncOperations.removeHandler(handler, promise: nil)
                }
            )
        }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = Int(server.configuration.maximumHeaderList)
        try operations.configureHTTPServerPipeline(
            position: .after(self), withPipeliningAssistance: true, withServerUpgrade: upgrade,
            withErrorHandling: true, withOutboundHeaderValidation: true, withEncoderConfiguration: .init(),
            withDecoderLimitConfiguration: limits)
        try operations.addHandler(handler)
        try operations.addHandler(intake, position: .after(self))
    }
}
