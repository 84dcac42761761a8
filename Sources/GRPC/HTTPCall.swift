import NIOCore

/// A request that is not gRPC, over HTTP/1.1 or HTTP/2, with its whole body.
public struct HTTPRequest: Sendable {
    /// The method, such as `GET`.
    public var method: String
    /// The target as it came: the path and, after `?`, the query.
    public var target: String
    /// The header fields in order, names in lower case.
    public var headers: [(name: String, value: String)]
    /// The body, at most `Server.Configuration.maximumHTTPBody` bytes.
    public var body: [UInt8]
    /// The address the request came from, as `host:port`.
    public var peer: String
    /// The common name in the client's certificate, when one was asked for and verified; else nil.
    public var peerIdentity: String?

    /// The target without its query.
    public var path: String { String(target.prefix { $0 != "?" }) }

    /// The first value of a header field.
    public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    init(
        method: String, target: String, headers: [(name: String, value: String)], body: [UInt8], peer: String,
        peerIdentity: String? = nil
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.peer = peer
        self.peerIdentity = peerIdentity
    }

    init(head: RequestHead, peer: String, peerIdentity: String?) {
        method = head.isPost ? "POST" : String(decoding: head.method, as: UTF8.self)
        target = String(decoding: head.path, as: UTF8.self)
        headers = head.takeMetadata().wireFields
        body = []
        self.peer = peer
        self.peerIdentity = peerIdentity
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

/// A request that waits for its answer, which may be given once, now or later, on any thread.
public final class HTTPCall: Sendable {
    public let request: HTTPRequest
    /// The event loop of the connection the request came on.
    public let eventLoop: any EventLoop
    private let reply: @Sendable (HTTPResponse) -> Void

    init(request: HTTPRequest, eventLoop: any EventLoop, reply: @escaping @Sendable (HTTPResponse) -> Void) {
        self.request = request
        self.eventLoop = eventLoop
        self.reply = reply
    }

    /// Answers the request. A second answer does nothing.
    public func respond(_ response: HTTPResponse) {
        if eventLoop.inEventLoop {
            reply(response)
        } else {
            eventLoop.execute { [reply] in reply(response) }
        }
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
