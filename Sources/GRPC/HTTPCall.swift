import NIOCore

/// A request that is not gRPC, over HTTP/1.1 or HTTP/2.
public struct HTTPRequest: Sendable {
    /// The method, such as `GET`.
    public var method: String
    /// The path as it came, without the host that it may name, and after `?` the query.
    public let target: String
    /// The path with what stands for its escapes. Empty when one of them is none; such a request is refused before
    /// anybody is asked.
    public let path: String
    /// The header fields in order, names in lower case. HTTP/2's `:authority` stands as `host`.
    public var headers: [(name: String, value: String)]
    /// The body, at most `Server.Configuration.maximumHTTPBody` bytes; empty when it is streamed.
    public var body: [UInt8]
    /// The address the request came from, as `host:port`.
    public var peer: String
    /// The common name in the client's certificate, when one was asked for and verified; else nil.
    public var peerIdentity: String?
    /// Whether messages of a WebSocket are the body.
    public internal(set) var isWebSocket = false

    /// The target without its query, escapes as they came.
    public var escapedPath: String { String(target.prefix { $0 != "?" }) }

    /// What follows `?` in the target; empty when there is none.
    public var query: String { String(target.drop { $0 != "?" }.dropFirst()) }

    /// The first value of a header field.
    public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    init(
        method: String, target: String, headers: [(name: String, value: String)], body: [UInt8], peer: String,
        peerIdentity: String? = nil
    ) {
        let target = HTTPTarget(target)
        self.method = method
        self.target = target.text
        path = target.path ?? ""
        self.headers = headers
        if let authority = target.authority {
            self.headers.removeAll { $0.name == "host" }
            self.headers.append(("host", authority))
        }
        self.body = body
        self.peer = peer
        self.peerIdentity = peerIdentity
    }

    init(head: RequestHead, peer: String, peerIdentity: String?) {
        self.init(
            method: head.isPost ? "POST" : String(decoding: head.method, as: UTF8.self),
            target: String(decoding: head.path, as: UTF8.self),
            headers: head.takeMetadata().wireFields.map { ($0.name == ":authority" ? "host" : $0.name, $0.value) },
            body: [], peer: peer, peerIdentity: peerIdentity)
    }

    /// Why the request is no good, in the words that Go's servers answer; nil when it is one.
    var fault: String? { path.isEmpty ? "400 Bad Request" : nil }

    /// `path` as it stands in a target.
    public static func escaped(_ path: String) -> String { HTTPTarget.escaped(path.utf8) }

    /// Whether it asks for a WebSocket in the place of an answer.
    public var asksForWebSocket: Bool {
        func has(_ name: String, _ token: String) -> Bool {
            headers.contains { field in
                field.name == name
                    && field.value.lowercased().split(separator: ",").contains { item in
                        item.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" } == token
                    }
            }
        }
        return has("connection", "upgrade") && has("upgrade", "websocket")
    }
}

/// The answer to a request that is not gRPC.
public struct HTTPResponse: Sendable {
    /// The status, such as 200.
    public var status: Int
    /// The header fields; `content-length` is added.
    public var headers: [(name: String, value: String)]
    /// The body; not sent when the method was HEAD.
    public var body: [UInt8]

    /// An answer of these parts.
    public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// An answer of plain text.
    public init(status: Int, text: String) {
        self.init(status: status, headers: [("content-type", "text/plain; charset=utf-8")], body: Array(text.utf8))
    }
}

extension HTTPResponse {
    /// What is answered to a request whose unfinished body finds no room.
    static var overloaded: HTTPResponse { HTTPResponse(status: 503, text: "too many requests are unfinished\n") }

    /// The answer with its body compressed, when `request` takes that.
    public func compressed(for request: HTTPRequest) -> HTTPResponse {
        let takes = request.headers.contains { field in
            field.name == "accept-encoding"
                && field.value.split(separator: ",").contains { item in
                    let item = item.drop { $0 == " " }
                    return item == "gzip" || item.hasPrefix("gzip;") && !item.hasSuffix("q=0")
                }
        }
        guard takes else { return self }
        var response = self
        response.headers.append(("Content-Encoding", "gzip"))
        // The text of metrics gets hardly smaller by more work, and an event loop waits for it.
        response.body = Gzip.compress(body, isFast: true)
        return response
    }
}

/// How requests that are not gRPC are answered. Everything is called on the event loop of the request's connection.
public struct HTTPHandlers: Sendable {
    /// Answers a request whose body came whole.
    public var answer: @Sendable (HTTPCall) -> Void
    /// Asked when the head of a request has arrived: an object that the rest is told to as it comes, or nil to have
    /// the body collected for `answer`.
    public var stream: (@Sendable (HTTPCall) -> (any HTTPStreamHandler)?)?
    /// Asked of a request that would become a WebSocket: the request that the socket's messages make, or nil to take it
    /// as an ordinary request.
    public var webSocket: (@Sendable (HTTPRequest) -> HTTPRequest?)?

    /// Handlers of these parts.
    public init(
        answer: @escaping @Sendable (HTTPCall) -> Void,
        stream: (@Sendable (HTTPCall) -> (any HTTPStreamHandler)?)? = nil,
        webSocket: (@Sendable (HTTPRequest) -> HTTPRequest?)? = nil
    ) {
        self.answer = answer
        self.stream = stream
        self.webSocket = webSocket
    }
}

/// What a request is told whose body or answer is a stream. Everything is called on the connection's event loop.
public protocol HTTPStreamHandler: AnyObject {
    /// Bytes of the body arrived.
    func received(_ bytes: [UInt8])
    /// The body is whole.
    func ended()
    /// What waited went out, and there is room again after `HTTPCall.isWritable` was false.
    func writable()
    /// The client is gone before the answer was whole. Nothing is called afterwards.
    func cancelled()
}

/// The way of one request and its answer over a connection. Belongs to the connection's event loop.
protocol HTTPExchange: AnyObject {
    /// Bytes of the answer that wait.
    var pendingBytes: Int { get }
    func respond(_ response: HTTPResponse)
    func begin(status: Int, headers: [(name: String, value: String)])
    func write(_ bytes: [UInt8])
    func end()
    func abort()
    func pauseReading()
    func resumeReading()
}

/// A request that waits for its answer. The answer is given whole by `respond`, now or later, on any thread; or in
/// pieces by `begin`, `write` and `end`, on `eventLoop`.
public final class HTTPCall: @unchecked Sendable {
    public let request: HTTPRequest
    /// The event loop of the connection the request came on.
    public let eventLoop: any EventLoop
    private let server: Server
    private let exchange: any HTTPExchange
    private var share: RequestShare

    init(request: HTTPRequest, eventLoop: any EventLoop, server: Server, exchange: any HTTPExchange) {
        self.request = request
        self.eventLoop = eventLoop
        self.server = server
        self.exchange = exchange
        share = RequestShare(of: server.configuration.requestMemory)
    }

    /// Says how many bytes of the request's body the handler keeps now. Returns false when there is no room for them, and the
    /// handler is to give the request up.
    public func keeps(_ count: Int) -> Bool {
        eventLoop.preconditionInEventLoop()
        return share.hold(count)
    }

    /// Fields that the answer carries besides its own.
    private var addedHeaders: [(name: String, value: String)] = []

    /// Has the answer carry a field, whoever gives it. Before that, on `eventLoop`.
    public func addHeader(_ name: String, _ value: String) {
        eventLoop.preconditionInEventLoop()
        addedHeaders.append((name, value))
    }

    private var answerHook: ((Int) -> Void)?

    /// Has `hook` called once with the status when the answer is given or begins, though nobody may be left to hear it.
    /// Before that, on `eventLoop`.
    public func onAnswer(_ hook: @escaping (Int) -> Void) {
        eventLoop.preconditionInEventLoop()
        answerHook = hook
    }

    private func noteAnswer(_ status: Int) {
        answerHook?(status)
        answerHook = nil
    }

    /// Answers the request. A second answer does nothing.
    public func respond(_ response: HTTPResponse) {
        guard eventLoop.inEventLoop else { return eventLoop.execute { [self] in respond(response) } }
        var response = response
        response.headers = addedHeaders + response.headers
        noteAnswer(response.status)
        exchange.respond(response)
    }

    /// Begins an answer whose body follows in pieces.
    public func begin(status: Int, headers: [(name: String, value: String)]) {
        eventLoop.preconditionInEventLoop()
        noteAnswer(status)
        exchange.begin(status: status, headers: addedHeaders + headers)
    }

    /// Sends a piece of the answer.
    public func write(_ bytes: [UInt8]) {
        eventLoop.preconditionInEventLoop()
        exchange.write(bytes)
    }

    /// Ends the answer after what was written.
    public func end() {
        eventLoop.preconditionInEventLoop()
        exchange.end()
    }

    /// Breaks the answer off, so that the client sees that it is not whole.
    public func abort() {
        eventLoop.preconditionInEventLoop()
        exchange.abort()
    }

    /// How many bytes of the answer wait for the client.
    public var pendingBytes: Int { exchange.pendingBytes }

    /// Whether few enough bytes wait that more may be written.
    public var isWritable: Bool { pendingBytes < server.configuration.highWaterMark }

    /// Stops the flow of the request's body; some bytes that are on their way may still come.
    public func pauseReading() { exchange.pauseReading() }

    /// Lets the body flow again.
    public func resumeReading() { exchange.resumeReading() }

    /// Calls the server's method at `path` for this request, or gives nil when there is none. The call has no identity of
    /// its own: whoever made the connection, only `metadata` says on whose behalf it is made.
    public func call(
        _ path: String, metadata: Metadata, timeout: TimeAmount?, receiver: any LocalCallReceiver
    ) -> LocalCall? {
        server.makeCall(
            path, metadata: metadata, peer: request.peer, shownIdentity: request.peerIdentity, eventLoop: eventLoop,
            timeout: timeout, receiver: receiver)
    }
}

extension Metadata {
    /// The fields as they are on the wire, as text.
    fileprivate var wireFields: [(name: String, value: String)] {
        var list: [(name: String, value: String)] = []
        forEachField { list.append((String(decoding: $0, as: UTF8.self), String(decoding: $1, as: UTF8.self))) }
        return list
    }
}
