import Discovery
import Logging
import Member
import Membership
import NIOCore
import NIOHTTP1
import NIOPosix
import StoreV2
import TLS

/// Carries out the steps of a version-2 discovery over HTTP, one connection for each.
struct DiscoveryClientV2 {
    private let url: DiscoveryURL
    private let proxy: DiscoveryURL?
    private let logger: Logger
    private let text: String

    /// How long an answer may take that need not wait for others (etcd's client).
    private static let requestTimeout = TimeAmount.seconds(5)
    /// How long connecting may take.
    static let connectTimeout = TimeAmount.seconds(30)
    /// The longest answer that is taken: a list of members is far shorter.
    static let answerLimit = 1 << 20
    /// How often a service may send a request elsewhere.
    private static let redirects = 10

    init(url: String, proxy: String, logger: Logger) throws(StartError) {
        text = url
        do throws(DiscoveryError) {
            self.url = try DiscoveryURL(parsing: url)
            if proxy.isEmpty {
                self.proxy = nil
            } else {
                let address = proxy.hasPrefix("http") ? proxy : "http://\(proxy)"
                // A proxy's URL needs no path, and has no token.
                self.proxy = try DiscoveryURL(parsing: address + "/-")
                logger.info("running proxy with discovery", metadata: ["proxy-url": .string(address)])
            }
        } catch {
            throw StartError("\(error)")
        }
        self.logger = logger
    }

    /// Registers this member and waits for the others.
    func join(id: UInt64, ownURLs: String) async throws -> InitialCluster {
        logger.info("discovering the cluster's members", metadata: ["discovery-url": .string(text)])
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let outcome: Result<InitialCluster, any Error>
        do {
            let dialler = try TLSDialler(TLSSettings(), protocols: ["http/1.1"])
            outcome = .success(
                try await run(DiscoveryV2(directory: url.path, id: id, ownURLs: ownURLs), group, dialler))
        } catch {
            outcome = .failure(error)
        }
        try? await group.shutdownGracefully()
        return try outcome.get()
    }

    private func run(
        _ discovery: DiscoveryV2, _ group: MultiThreadedEventLoopGroup, _ tls: TLSDialler
    ) async throws -> InitialCluster {
        var discovery = discovery
        var step = discovery.first
        while true {
            let answer: DiscoveryV2.Answer
            switch step {
            case .get(let path):
                let question = HTTPQuestion(
                    .GET, path, "quorum=false&recursive=false&sorted=false", timeout: Self.requestTimeout)
                answer = await ask(question, group, tls)
            case .create(let path, let value):
                var question = HTTPQuestion(.PUT, path, "prevExist=false", timeout: Self.requestTimeout)
                question.form = "value=" + Self.escaped(value)
                answer = await ask(question, group, tls)
            case .watch(let path, let recursive, let since):
                MemberDiscovery.note(found: discovery.found, wanted: discovery.wanted, logger)
                answer = await ask(
                    HTTPQuestion(.GET, path, "recursive=\(recursive)&wait=true&waitIndex=\(since)", timeout: nil),
                    group, tls)
            case .pause(let seconds, let reason):
                MemberDiscovery.notePause(seconds, reason, logger)
                try await Task.sleep(for: .seconds(seconds))
                answer = .nothing
            case .done(let cluster):
                logger.info(
                    "found all needed peers from discovery server",
                    metadata: ["discovery-url": .string(text), "initial-cluster": .string(cluster.text)])
                return cluster
            case .failed(let error): throw StartError("\(error) (\(text))")
            }
            step = discovery.next(answer)
        }
    }

    private func ask(
        _ question: HTTPQuestion, _ group: MultiThreadedEventLoopGroup, _ tls: TLSDialler
    ) async -> DiscoveryV2.Answer {
        var question = question
        var target = url
        for _ in 0..<Self.redirects {
            let answer: HTTPReply
            do {
                answer = try await HTTPReply.get(question, target, proxy: proxy, group: group, tls: tls)
            } catch {
                return .unreachable("\(error)")
            }
            if answer.status >= 500 { return .unreachable("the service answers with status \(answer.status)") }
            if answer.status / 100 == 3, let location = answer.location {
                guard let next = HTTPQuestion.target(location, from: target) else { return .nonsense }
                (target, question.path, question.query) = next
                continue
            }
            // A proxy may end a wait that takes it too long.
            if answer.body.isEmpty && question.timeout == nil { return .nothing }
            guard let reply = KeysReply(decoding: answer.body) else { return .nonsense }
            return .reply(reply, index: answer.storeIndex)
        }
        return .unreachable("too many redirects")
    }

    private static func escaped(_ text: String) -> String {
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~".utf8)
        return text.utf8.reduce(into: "") { escaped, byte in
            if plain.contains(byte) {
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                escaped += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
    }
}

/// A request of a discovery.
struct HTTPQuestion: Sendable {
    var method: HTTPMethod
    var path: String
    var query: String
    /// The form in its body.
    var form: String?
    /// Nil for a request that waits as long as it takes.
    var timeout: TimeAmount?

    init(_ method: HTTPMethod, _ path: String, _ query: String, timeout: TimeAmount?) {
        self.method = method
        self.path = path
        self.query = query
        self.timeout = timeout
    }

    /// Where a service sends a request that it does not answer itself.
    static func target(_ location: String, from url: DiscoveryURL) -> (DiscoveryURL, path: String, query: String)? {
        let parts = location.split(separator: "?", maxSplits: 1).map(String.init)
        guard let place = parts.first else { return nil }
        let query = parts.count > 1 ? parts[1] : ""
        if place.hasPrefix("/") { return (url, place, query) }
        guard let target = try? DiscoveryURL(parsing: place) else { return nil }
        return (target, target.path, query)
    }
}

/// What a service answered.
struct HTTPReply: Sendable {
    var status: Int
    var location: String?
    var storeIndex: UInt64
    var body: [UInt8]

    private struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Sends `question` to `url`, by way of `proxy` when there is one.
    static func get(
        _ question: HTTPQuestion, _ url: DiscoveryURL, proxy: DiscoveryURL?, group: MultiThreadedEventLoopGroup,
        tls: TLSDialler
    ) async throws -> HTTPReply {
        if proxy != nil && url.isSecure {
            throw Failure(description: "a proxy is not gone through on the way to https URLs")
        }
        let loop = group.next()
        let promise = loop.makePromise(of: HTTPReply.self)
        let place = proxy ?? url
        let connect = { @Sendable in
            ClientBootstrap(group: loop)
                .connectTimeout(DiscoveryClientV2.connectTimeout)
                // Some requests wait for as long as it takes: a service that is gone must be noticed.
                .channelOption(.socketOption(.so_keepalive), value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if place.isSecure {
                            try tls.secure(channel, host: place.host, timeout: DiscoveryClientV2.connectTimeout)
                        }
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(ReplyCollector(promise))
                    }
                }
                .connect(host: place.host, port: place.port)
        }
        let channel: any Channel
        do {
            channel = try await (place.isSecure ? TLSDialler.secured(on: loop, connect) : connect()).get()
        } catch {
            promise.fail(error)
            throw error
        }
        let timer = question.timeout.map { limit in
            loop.scheduleTask(in: limit) { promise.fail(Failure(description: "the service has not answered in time")) }
        }
        var uri = question.path + (question.query.isEmpty ? "" : "?\(question.query)")
        if proxy != nil { uri = "http://\(url.authority)\(uri)" }
        var headers: HTTPHeaders = ["Host": url.authority, "Connection": "close"]
        let body = question.form.map { ByteBuffer(string: $0) }
        if let body {
            headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            headers.add(name: "Content-Length", value: "\(body.readableBytes)")
        }
        let head = HTTPRequestHead(version: .http1_1, method: question.method, uri: uri, headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body { channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        defer {
            timer?.cancel()
            channel.close(promise: nil)
        }
        return try await promise.futureResult.get()
    }

    /// Gathers an answer.
    private final class ReplyCollector: ChannelInboundHandler, @unchecked Sendable {
        typealias InboundIn = HTTPClientResponsePart

        private let promise: EventLoopPromise<HTTPReply>
        private var reply: HTTPReply?

        init(_ promise: EventLoopPromise<HTTPReply>) {
            self.promise = promise
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                if head.status.code < 200 { return }
                reply = HTTPReply(
                    status: Int(head.status.code), location: head.headers.first(name: "location"),
                    storeIndex: head.headers.first(name: "x-etcd-index").flatMap(UInt64.init) ?? 0, body: [])
            case .body(let piece):
                guard let count = reply?.body.count, count + piece.readableBytes <= DiscoveryClientV2.answerLimit else {
                    return promise.fail(Failure(description: "the service's answer is too long"))
                }
                reply?.body += piece.readableBytesView
            case .end:
                if let reply { promise.succeed(reply) }
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            promise.fail(Failure(description: "the service has closed the connection"))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            promise.fail(error)
            context.close(promise: nil)
        }
    }
}
