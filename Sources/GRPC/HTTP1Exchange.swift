import NIOCore
import NIOHTTP1

/// One request over HTTP/1.1 and its answer.
final class HTTP1Exchange: HTTPExchange {
    private let head: HTTPRequestHead
    private var request: HTTPRequest
    private let handlers: HTTPHandlers
    private let server: Server
    /// The connection, until the answer is whole or the connection gone: nothing of it can be reached afterwards.
    private var connection: HTTP1Handler?
    private var handler: (any HTTPStreamHandler)?
    private var body: [UInt8] = []
    private var share: RequestShare
    /// What the request is refused with when it has come to its end.
    private var refusal: HTTPResponse?
    private var isStreaming = false
    private var hasBegun = false
    private var isWhole = false
    private var eventLoop: (any EventLoop)?

    init(head: HTTPRequestHead, request: HTTPRequest, handlers: HTTPHandlers, connection: HTTP1Handler) {
        self.head = head
        self.request = request
        self.handlers = handlers
        self.connection = connection
        server = connection.server
        share = RequestShare(of: connection.server.configuration.requestMemory)
    }

    private var isOver: Bool { connection == nil }

    private func makeCall(_ eventLoop: any EventLoop) -> HTTPCall {
        HTTPCall(request: request, eventLoop: eventLoop, server: server, exchange: self)
    }

    /// Asks who takes the request.
    func begin(on eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        if let brokenRule { return respond(brokenRule) }
        guard let stream = handlers.stream, let handler = stream(makeCall(eventLoop)) else { return }
        isStreaming = true
        if !isOver { self.handler = handler }
    }

    /// What Go's servers answer to requests that break HTTP's rules.
    private var brokenRule: HTTPResponse? {
        if let fault = request.fault { return HTTPResponse(status: 400, text: fault) }
        let hosts = head.headers["host"].count
        if head.version == .http1_1, hosts == 0, head.method != .CONNECT {
            return HTTPResponse(status: 400, text: "400 Bad Request: missing required Host header")
        }
        if hosts > 1 { return HTTPResponse(status: 400, text: "400 Bad Request") }
        if let host = head.headers.first(name: "host"), !host.utf8.allSatisfy(Self.mayBeInHost) {
            return HTTPResponse(status: 400, text: "400 Bad Request: malformed Host header")
        }
        // A body in an encoding that is not undone would be taken for another one, or for another request.
        let encodings = head.headers["transfer-encoding"]
        if head.version == .http1_1, !encodings.isEmpty, encodings.map({ $0.lowercased() }) != ["chunked"] {
            return HTTPResponse(status: 501, text: "Unsupported transfer encoding")
        }
        if let expected = head.headers.first(name: "expect"), expected.lowercased() != "100-continue" {
            return HTTPResponse(status: 417)
        }
        return nil
    }

    /// What Go takes in the field Host: names, addresses, ports, and some that URLs allow there.
    private static func mayBeInHost(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: "!$%&()*+,-.:;=@['][_~".utf8.contains(byte)
        }
    }

    func received(_ buffer: ByteBuffer) {
        if isStreaming {
            handler?.received(Array(buffer.readableBytesView))
            return
        }
        guard refusal == nil else { return }
        let count = body.count + buffer.readableBytes
        guard count <= server.configuration.maximumHTTPBody else {
            return refuse(HTTPResponse(status: 413, text: "request body too large\n"))
        }
        guard share.hold(count) else { return refuse(.overloaded) }
        body.append(contentsOf: buffer.readableBytesView)
    }

    private func refuse(_ response: HTTPResponse) {
        refusal = response
        body = []
        _ = share.hold(0)
    }

    func receivedEnd() {
        isWhole = true
        if isStreaming {
            handler?.ended()
            return
        }
        guard !isOver, let eventLoop else { return }
        if let refusal { return respond(refusal) }
        request.body = body
        body = []
        _ = share.hold(0)
        handlers.answer(makeCall(eventLoop))
    }

    /// Whether the answer goes to a client that has said that it sends no more. A call is not carried on for one: a
    /// client that is gone looks the same.
    var outlivesInput: Bool { isWhole && !isStreaming }

    func drained() { handler?.writable() }

    func connectionClosed() {
        connection = nil
        let handler = handler
        self.handler = nil
        handler?.cancelled()
    }

    // MARK: The answer

    var pendingBytes: Int { connection?.pendingBytes ?? 0 }

    func respond(_ response: HTTPResponse) {
        guard !hasBegun, let connection else { return }
        let memory = server.configuration.responseMemory
        if response.body.count > ResponseMemory.dueOfConnection, memory.isUsedUp {
            return respond(HTTPResponse(status: 503, text: "too many replies are unread\n"))
        }
        var headers = response.headers.filter { $0.name.lowercased() != "content-length" }
        headers.append(("content-length", String(response.body.count)))
        // The rest of the request is not waited for.
        if !isWhole { headers.append(("connection", "close")) }
        begin(status: response.status, headers: headers)
        if head.method != .HEAD { connection.write(response.body, flushes: false) }
        end()
    }

    func begin(status: Int, headers: [(name: String, value: String)]) {
        guard !hasBegun, let connection else { return }
        hasBegun = true
        var answer = HTTPResponseHead(version: head.version, status: .init(statusCode: status))
        for (name, value) in headers { answer.headers.add(name: name, value: value) }
        endsConnection = !keepsAlive(answer)
        if endsConnection {
            answer.headers.replaceOrAdd(name: "connection", value: "close")
        } else if head.version == .http1_0 {
            answer.headers.add(name: "connection", value: "keep-alive")
        }
        answer.headers.add(name: "date", value: HTTPDate.now)
        connection.write(answer)
        // A stream's first piece may be long in coming.
        if isStreaming { connection.flush() }
    }

    private var endsConnection = false

    /// HTTP/1.0 knows no chunks: there a body without a length ends with the connection.
    private func keepsAlive(_ answer: HTTPResponseHead) -> Bool {
        head.isKeepAlive && (head.version != .http1_0 || answer.headers.contains(name: "content-length"))
    }

    func write(_ bytes: [UInt8]) {
        guard hasBegun, let connection, head.method != .HEAD else { return }
        connection.write(bytes, flushes: true)
    }

    func end() {
        guard hasBegun, let connection else { return }
        self.connection = nil
        handler = nil
        // What is left of a request's stream is not read: the connection cannot go on behind it.
        connection.finish(self, keepsAlive: !endsConnection && isWhole)
    }

    func abort() {
        guard let connection else { return }
        self.connection = nil
        handler = nil
        connection.close()
    }

    func pauseReading() { connection?.setReading(false) }

    func resumeReading() { connection?.setReading(true) }
}
