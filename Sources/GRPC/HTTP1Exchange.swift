import NIOCore
import NIOHTTP1

/// One request over HTTP/1.1 and its answer.
final class HTTP1Exchange: HTTPExchange {
    private let head: HTTPRequestHead
    private var request: HTTPRequest
    private let handlers: HTTPHandlers
    private unowned let connection: HTTP1Handler
    private var handler: (any HTTPStreamHandler)?
    private var body: [UInt8] = []
    private var isTooLarge = false
    private var isStreaming = false
    private var hasBegun = false
    private var isAnswered = false
    private var isWhole = false
    private var eventLoop: (any EventLoop)?

    init(head: HTTPRequestHead, request: HTTPRequest, handlers: HTTPHandlers, connection: HTTP1Handler) {
        self.head = head
        self.request = request
        self.handlers = handlers
        self.connection = connection
    }

    private func makeCall(_ eventLoop: any EventLoop) -> HTTPCall {
        HTTPCall(request: request, eventLoop: eventLoop, server: connection.server, exchange: self)
    }

    /// Asks who takes the request.
    func begin(on eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        guard let stream = handlers.stream, let handler = stream(makeCall(eventLoop)) else { return }
        isStreaming = true
        if !isAnswered { self.handler = handler }
    }

    func received(_ buffer: ByteBuffer) {
        if isStreaming {
            handler?.received(Array(buffer.readableBytesView))
            return
        }
        guard !isTooLarge else { return }
        guard body.count + buffer.readableBytes <= connection.server.configuration.maximumHTTPBody else {
            isTooLarge = true
            body = []
            return
        }
        body.append(contentsOf: buffer.readableBytesView)
    }

    func receivedEnd() {
        isWhole = true
        if isStreaming {
            handler?.ended()
            return
        }
        guard !isAnswered, let eventLoop else { return }
        if isTooLarge { return respond(HTTPResponse(status: 413, text: "request body too large\n")) }
        request.body = body
        body = []
        handlers.answer(makeCall(eventLoop))
    }

    func drained() { handler?.writable() }

    func connectionClosed() {
        isAnswered = true
        let handler = handler
        self.handler = nil
        handler?.cancelled()
    }

    // MARK: The answer

    var pendingBytes: Int { connection.isCurrent(self) ? connection.pendingBytes : 0 }

    func respond(_ response: HTTPResponse) {
        guard !isAnswered, !hasBegun, connection.isCurrent(self) else { return }
        var headers = response.headers.filter { $0.name.lowercased() != "content-length" }
        headers.append(("content-length", String(response.body.count)))
        begin(status: response.status, headers: headers)
        if head.method != .HEAD { connection.write(response.body, flushes: false) }
        end()
    }

    func begin(status: Int, headers: [(name: String, value: String)]) {
        guard !isAnswered, !hasBegun, connection.isCurrent(self) else { return }
        hasBegun = true
        var answer = HTTPResponseHead(version: head.version, status: .init(statusCode: status))
        for (name, value) in headers { answer.headers.add(name: name, value: value) }
        if !keepsAlive(answer) { answer.headers.replaceOrAdd(name: "connection", value: "close") }
        connection.write(answer)
        // A stream's first piece may be long in coming.
        if isStreaming { connection.flush() }
        endsConnection = !keepsAlive(answer)
    }

    private var endsConnection = false

    /// HTTP/1.0 knows no chunks: there a body without a length ends with the connection.
    private func keepsAlive(_ answer: HTTPResponseHead) -> Bool {
        head.isKeepAlive && (head.version != .http1_0 || answer.headers.contains(name: "content-length"))
    }

    func write(_ bytes: [UInt8]) {
        guard !isAnswered, hasBegun, connection.isCurrent(self), head.method != .HEAD else { return }
        connection.write(bytes, flushes: true)
    }

    func end() {
        guard !isAnswered, hasBegun else { return }
        isAnswered = true
        handler = nil
        // What is left of a request's stream is not read: the connection cannot go on behind it.
        connection.finish(self, keepsAlive: !endsConnection && isWhole)
    }

    func abort() {
        guard !isAnswered, connection.isCurrent(self) else { return }
        isAnswered = true
        handler = nil
        connection.close()
    }

    func pauseReading() { if connection.isCurrent(self) { connection.setReading(false) } }

    func resumeReading() { if connection.isCurrent(self) { connection.setReading(true) } }
}
