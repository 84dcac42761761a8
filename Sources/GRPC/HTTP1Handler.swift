import NIOCore
import NIOHTTP1

/// Requests over HTTP/1.1: one after the other on a connection, each given whole to the server's HTTP handler.
final class HTTP1Handler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: Server
    private let peer: Server.Peer
    private var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isTooLarge = false
    /// How many requests came before this one; an answer to one of those must not go to this one.
    private var sequence = 0
    private var isAnswered = true
    private var timer: Scheduled<Void>?

    init(server: Server, peer: Server.Peer) {
        self.server = server
        self.peer = peer
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        expectRequest()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        self.context = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What is no HTTP at all, a TLS handshake for one; it was answered with status 400.
        if error is HTTPParserError { server.observer.connectionRejected?(peer.address, "not HTTP: \(error)") }
        context.close(promise: nil)
    }

    /// A connection without a whole request is not kept for ever.
    private func expectRequest() {
        timer?.cancel()
        guard let context else { return }
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: server.configuration.idleTimeout) { channel.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            isTooLarge = false
            sequence += 1
            isAnswered = false
            if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                context.writeAndFlush(
                    wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
            }
        case .body(let buffer):
            guard !isTooLarge else { return }
            guard body.count + buffer.readableBytes <= server.configuration.maximumHTTPBody else {
                isTooLarge = true
                body = []
                return
            }
            body.append(contentsOf: buffer.readableBytesView)
        case .end:
            timer?.cancel()
            dispatch(context)
        }
    }

    private func dispatch(_ context: ChannelHandlerContext) {
        guard let head else { return }
        let sequence = sequence
        if isTooLarge { return answer(head, sequence, HTTPResponse(status: 413, text: "request body too large\n")) }
        guard let handler = server.httpHandler else {
            return answer(head, sequence, HTTPResponse(status: 404, text: "404 page not found\n"))
        }
        let headers = head.headers.map { (name: $0.name.lowercased(), value: $0.value) }
        let request = HTTPRequest(
            method: head.method.rawValue, target: head.uri, headers: headers, body: body, peer: peer.address,
            peerIdentity: peer.identity)
        body = []
        handler(HTTPCall(request: request, eventLoop: context.eventLoop) { [self] in answer(head, sequence, $0) })
    }

    private func answer(_ request: HTTPRequestHead, _ number: Int, _ response: HTTPResponse) {
        guard let context, number == sequence, !isAnswered else { return }
        isAnswered = true
        let keepsAlive = request.isKeepAlive
        var head = HTTPResponseHead(version: request.version, status: .init(statusCode: response.status))
        for (name, value) in response.headers { head.headers.add(name: name, value: value) }
        head.headers.replaceOrAdd(name: "content-length", value: String(response.body.count))
        if !keepsAlive { head.headers.replaceOrAdd(name: "connection", value: "close") }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD, !response.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body)))), promise: nil)
        }
        let end = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: end)
        if keepsAlive {
            expectRequest()
        } else {
            let channel = context.channel
            end.futureResult.whenComplete { _ in channel.close(promise: nil) }
        }
    }
}
