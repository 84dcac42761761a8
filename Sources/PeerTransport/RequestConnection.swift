import Membership
import NIOCore
import NIOHTTP1

/// A connection to a member that carries one request at a time and is kept for the next. Belongs to the event loop.
final class RequestConnection: @unchecked Sendable {
    struct Question {
        var method: HTTPMethod
        var path: String
        var headers: HTTPHeaders
        var body: ByteBuffer?
        /// The longest body that is taken as an answer.
        var answerLimit: Int
        var timeout: TimeAmount
    }

    struct Answer {
        var status: UInt
        var headers: HTTPHeaders
        var body: ByteBuffer
        /// From the request's last byte to the answer's first.
        var roundTrip: TimeAmount
    }

    typealias Completion = (Result<Answer, any Error>) -> Void

    private struct Pending {
        var question: Question
        var completion: Completion
        var timer: Scheduled<Void>
        var sentAt = NIODeadline.now()
        var head: HTTPResponseHead?
        var answeredAt = NIODeadline.now()
        var body = ByteBuffer()
    }

    private let dialer: Dialer
    private var channel: (any Channel)?
    private var url: ServiceURL?
    private var pending: Pending?
    /// Tells connections that were given up from the present one.
    private var attempt = 0
    private(set) var idleSince = NIODeadline.now()

    init(dialer: Dialer) {
        self.dialer = dialer
    }

    var isBusy: Bool { pending != nil }

    /// Sends `question` to `url`, on the connection that there is or on a new one.
    func ask(_ question: Question, at url: ServiceURL, completion: @escaping Completion) {
        precondition(pending == nil, "a connection carries one request at a time")
        let timer = dialer.loop.scheduleTask(in: question.timeout) { self.fail(TransportError.timedOut) }
        pending = Pending(question: question, completion: completion, timer: timer)
        if let channel, channel.isActive, self.url == url { return write(to: channel) }
        disconnect()
        self.url = url
        let current = attempt
        // A handler serves one channel, so each connection has a handler of its own that leads back here.
        dialer.connect(to: url, handler: Relay(self, attempt: current)).whenComplete { result in
            guard current == self.attempt else {
                if case .success(let channel) = result { channel.close(promise: nil) }
                return
            }
            switch result {
            case .success(let channel):
                self.channel = channel
                self.write(to: channel)
            case .failure(let error):
                self.fail(error is TransportError ? error : TransportError.connect("\(error)"))
            }
        }
    }

    private func write(to channel: any Channel) {
        guard let question = pending?.question else { return }
        var headers = question.headers
        if question.body != nil || question.method == .POST {
            headers.replaceOrAdd(name: "Content-Length", value: "\(question.body?.readableBytes ?? 0)")
        }
        let head = HTTPRequestHead(version: .http1_1, method: question.method, uri: question.path, headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body = question.body { channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        pending?.sentAt = .now()
    }

    fileprivate func read(_ part: HTTPClientResponsePart, attempt: Int) {
        guard attempt == self.attempt, var pending else { return }
        switch part {
        case .head(let head):
            if head.status.code < 200 { return }
            pending.head = head
            pending.answeredAt = .now()
            self.pending = pending
        case .body(let piece):
            guard pending.body.readableBytes + piece.readableBytes <= pending.question.answerLimit else {
                return fail(TransportError.tooLong)
            }
            self.pending = nil
            pending.body.writeImmutableBuffer(piece)
            self.pending = pending
        case .end:
            guard let head = pending.head else { return }
            idleSince = .now()
            if !head.isKeepAlive { disconnect() }
            finish(
                .success(
                    Answer(
                        status: head.status.code, headers: head.headers, body: pending.body,
                        roundTrip: pending.answeredAt - pending.sentAt)))
        }
    }

    fileprivate func ended(_ error: any Error, attempt: Int) {
        if attempt == self.attempt { fail(error) }
    }

    private func fail(_ error: any Error) {
        disconnect()
        finish(.failure(error))
    }

    private func finish(_ result: Result<Answer, any Error>) {
        guard let finished = pending else { return }
        pending = nil
        finished.timer.cancel()
        finished.completion(result)
    }

    private func disconnect() {
        attempt += 1
        channel?.close(promise: nil)
        channel = nil
    }

    /// Ends the connection; a request that waits fails.
    func close() {
        fail(TransportError.stopped)
    }

    /// Ends a connection that nothing has used for `limit`, before the other side does.
    func closeIfIdle(_ now: NIODeadline, limit: TimeAmount) {
        if pending == nil, channel != nil, now - idleSince > limit { disconnect() }
    }
}

/// The channel's side of a ``RequestConnection``.
private final class Relay: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPClientResponsePart

    private let connection: RequestConnection
    private let attempt: Int

    init(_ connection: RequestConnection, attempt: Int) {
        self.connection = connection
        self.attempt = attempt
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.read(unwrapInboundIn(data), attempt: attempt)
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.ended(TransportError.closed, attempt: attempt)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        connection.ended(TransportError.malformed("\(error)"), attempt: attempt)
        context.close(promise: nil)
    }
}
