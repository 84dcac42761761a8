import GRPC
import JSONMapping
import NIOCore

/// etcd's API in JSON over HTTP: a request makes the same call as gRPC does, within the process, through the same table of
/// methods and their guards.
public struct JSONGateway: Sendable {
    private let errors: ErrorShape
    private let limit: Int
    private let calls: [String: GatewayMethod]

    /// A gateway.
    /// - Parameters:
    ///   - errors: how errors look.
    ///   - limit: the longest JSON value of a request, in bytes.
    public init(errors: ErrorShape = .first, limit: Int) {
        self.errors = errors
        self.limit = limit
        calls = Routes.table.reduce(into: [:]) { calls, route in
            guard let mapping = Schema.etcd.method(route.value) else {
                preconditionFailure("JSONGateway: the schema has no method \(route.value)")
            }
            calls[route.key] = GatewayMethod(
                path: route.value, mapping: mapping, repliesStream: Routes.streams.contains(route.value),
                takesStream: Routes.requestStreams.contains(route.value))
        }
    }

    /// Whether `path` is one of the gateway's, known or not.
    public static func owns(_ path: String) -> Bool {
        path.hasPrefix(Routes.prefix) || path.hasPrefix(Routes.oldPrefix)
    }

    private func method(_ request: HTTPRequest) -> GatewayMethod? {
        let path = request.path
        guard path.hasPrefix(Routes.oldPrefix) else { return calls[path] }
        return calls[Routes.prefix + path.dropFirst(Routes.oldPrefix.count)]
    }

    /// Takes a request for one of the methods; nil when it is for none, and then ``refuse(_:)`` answers it.
    public func stream(_ call: HTTPCall) -> (any HTTPStreamHandler)? {
        guard call.request.method == "POST", !isRefusedWebSocket(call.request), let method = method(call.request) else {
            return nil
        }
        return GatewayCall(call, method, errors: errors, limit: limit)
    }

    /// Answers a request that is for none of the methods.
    public func refuse(_ call: HTTPCall) {
        if isRefusedWebSocket(call.request) {
            let isGet = call.request.method == "GET"
            var response = HTTPResponse(
                status: isGet ? 400 : 405, text: isGet ? "Bad Request\n" : "Method Not Allowed\n")
            response.headers += [("Sec-WebSocket-Version", "13"), ("X-Content-Type-Options", "nosniff")]
            return call.respond(response)
        }
        let isKnown = method(call.request) != nil
        var response = HTTPResponse(
            status: isKnown ? 405 : 404, text: isKnown ? "Method Not Allowed\n" : "Not Found\n")
        response.headers.append(("X-Content-Type-Options", "nosniff"))
        call.respond(response)
    }

    /// A request for a WebSocket that did not become one, since it breaks the rules for such.
    private func isRefusedWebSocket(_ request: HTTPRequest) -> Bool {
        !request.isWebSocket && request.asksForWebSocket
    }

    /// The request that a WebSocket's messages make: whatever the method was, it stands for POST. A token can come as the
    /// name of a subprotocol or in a cookie, since pages of a browser can set no fields.
    public static func webSocketRequest(_ request: HTTPRequest) -> HTTPRequest? {
        guard owns(request.path) else { return nil }
        var result = request
        result.method = "POST"
        result.headers = request.headers.filter { $0.name == "origin" || $0.name == "referer" || $0.name == "host" }
        var token = request.header("sec-websocket-protocol").map { name in
            // `Bearer, TOKEN` is how two names stand in one field.
            name.hasPrefix("Bearer") ? name.replacingFirst(",", with: "") : name
        }
        for cookie in (request.header("cookie") ?? "").split(separator: ";") {
            let pair = cookie.drop { $0 == " " }.split(separator: "=", maxSplits: 1)
            if pair.count == 2, pair[0] == "token" { token = "Bearer \(pair[1])" }
        }
        if let token { result.headers.append(("authorization", token)) }
        return result
    }
}

/// What a path leads to.
struct GatewayMethod: Sendable {
    var path: String
    var mapping: MethodMapping
    var repliesStream: Bool
    var takesStream: Bool
}

extension String {
    fileprivate func replacingFirst(_ character: Character, with text: String) -> String {
        guard let index = firstIndex(of: character) else { return self }
        return self[..<index] + text + self[self.index(after: index)...]
    }
}
