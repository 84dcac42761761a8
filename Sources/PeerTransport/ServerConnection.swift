import Membership
import NIOCore
import NIOHTTP1
import PeerProtocol
import RaftMessages

/// A connection that someone has made to this member's peer port. Belongs to the event loop.
final class ServerConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// A body apart from Raft's traffic.
    private static let otherBodyLimit = 1 << 20
    /// What is read of a body after its request was refused. One who sends more has its connection closed.
    private static let discardLimit = 256 << 10

    private enum State {
        /// Between two requests.
        case idle
        /// The request's body is coming.
        case gathering(limit: Int)
        /// A snapshot is coming, or is being kept.
        case receiving(SnapshotReceiver)
        /// The request is refused, and the rest of it thrown away.
        case refusing(PeerResponse, discarded: Int)
        /// The answer is being made.
        case answering
        /// The answer is a stream that does not end.
        case streaming(StreamWriter?)
        case closed
    }

    private let core: TransportCore
    private var channel: (any Channel)?
    private var state = State.idle
    private var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
    private var body = ByteBuffer()
    private var reserved = 0
    /// Counts requests, so that an answer finds its own.
    private var request = 0
    private(set) var lastRead = NIODeadline.now()
    /// Whether the request has come in full.
    private var isRequestComplete = false
    private var isPaused = false

    init(core: TransportCore) {
        self.core = core
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // After a TLS handshake the channel has long been active.
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard channel == nil else { return }
        channel = context.channel
        if !core.opened(self) { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch state {
        case .streaming(let writer): writer?.detached(self)
        case .receiving(let receiver): receiver.abandon()
        default: break
        }
        state = .closed
        releaseBody()
        core.closed(self)
        channel = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastRead = .now()
        switch unwrapInboundIn(data) {
        case .head(let head):
            guard case .idle = state else {
                // Members ask one thing at a time.
                context.close(promise: nil)
                return
            }
            self.head = head
            request += 1
            isRequestComplete = false
            begin()
        case .body(let piece): gather(piece)
        case .end(let trailers):
            isRequestComplete = true
            endRequest(trailers)
        }
    }

    private var path: String { String(head.uri.prefix { $0 != "?" }) }

    // MARK: Requests

    /// Decides by the head whether the body is wanted.
    private func begin() {
        switch path {
        case "/raft":
            if let refusal = refusalOfPost() { return refuse(refusal) }
            state = .gathering(limit: PeerLimit.postedMessage)
        case "/raft/snapshot":
            if let refusal = refusalOfPost() { return refuse(refusal) }
            let announcesHash = head.headers[canonicalForm: "trailer"].contains {
                $0.lowercased() == PeerHeader.databaseSHA256.lowercased()
            }
            state = .receiving(SnapshotReceiver(self, core: core, announcesHash: announcesHash))
        case "/raft/probing": state = .gathering(limit: 0)
        default: state = .gathering(limit: Self.otherBodyLimit)
        }
    }

    private func gather(_ piece: ByteBuffer) {
        switch state {
        case .gathering(let limit):
            guard body.readableBytes + piece.readableBytes <= limit, core.gather(piece.readableBytes) else {
                releaseBody()
                return refuse(response(.unreadable))
            }
            reserved += piece.readableBytes
            body.writeImmutableBuffer(piece)
        case .receiving(let receiver):
            receiver.feed(piece)
            setPaused(!receiver.hasRoom)
        case .refusing(let response, let discarded):
            let total = discarded + piece.readableBytes
            guard total <= Self.discardLimit else { return answer(response, thenClose: true) }
            state = .refusing(response, discarded: total)
        default: break
        }
    }

    private func releaseBody() {
        core.release(reserved)
        reserved = 0
        body = ByteBuffer()
    }

    private func endRequest(_ trailers: HTTPHeaders?) {
        switch state {
        case .receiving(let receiver): receiver.ended(trailers)
        case .gathering:
            state = .answering
            switch path {
            case "/raft": takeMessage()
            case "/raft/probing":
                let probe = ProbeAnswer(isWell: true, unixNanoseconds: UnixClock.nanoseconds)
                var response = PeerResponse(status: 200, text: probe.json)
                response.headers.removeLast()
                answer(response)
            case let path where path.hasPrefix("/raft/stream/"): openStream(path)
            default: hand()
            }
        case .refusing(let response, _): answer(response)
        default: break
        }
    }

    /// Gives a request that is not the transport's own to the owner.
    private func hand() {
        let headers = head.headers.map { (name: $0.name.lowercased(), value: $0.value) }
        let question = PeerRequest(
            head.method.rawValue, head.uri, headers: headers, body: Array(body.readableBytesView))
        releaseBody()
        let number = request
        core.events.request(
            PeerCall(question) { response in
                self.core.loop.execute {
                    if number == self.request { self.answer(response) }
                }
            })
    }

    // MARK: Raft's traffic

    private var headers: PeerHeaders { PeerHeaders { head.headers.first(name: $0) } }

    private var clusterHeader: (name: String, value: String) { (PeerHeader.clusterID, core.identity.clusterText) }

    /// Refuses what is no post of a member of this cluster; notes the URLs of one that is.
    private func refusalOfPost() -> PeerResponse? {
        guard head.method == .POST else { return notAllowed("POST") }
        let headers = headers
        if let refusal = core.identity.refusal(of: headers) {
            core.noteRefusal(refusal, headers)
            return response(refusal)
        }
        core.noteSender(headers.from, urls: headers.peerURLs)
        return nil
    }

    private func notAllowed(_ method: String) -> PeerResponse {
        var refusal = PeerResponse(status: 405, text: PeerRefusal.methodNotAllowed.text + "\n")
        refusal.headers.append(("Allow", method))
        return refusal
    }

    func response(_ refusal: PeerRefusal) -> PeerResponse {
        var response = PeerResponse(status: refusal.status, text: refusal.text + "\n")
        response.headers.append(clusterHeader)
        return response
    }

    private func takeMessage() {
        let message: Message
        do {
            message = try body.readableBytesView.withUnsafeBytes { try Message(decoding: $0) }
        } catch {
            releaseBody()
            if let from = headers.from { core.peers[from]?.receiveFailed() }
            return answer(response(.undecodable))
        }
        let size = body.readableBytes
        core.peers[message.from]?.received(size)
        releaseBody()
        if let refusal = core.refusal(of: message) {
            core.note(refusal, of: message)
            return answer(response(to: refusal))
        }
        // The sender's Raft hears of it.
        if core.posted.isFull(for: message) { return answer(response(.notProcessed)) }
        core.receive([message], bytes: size, in: core.posted)
        answer(PeerResponse(status: 204, headers: [clusterHeader]))
    }

    func response(to refusal: MessageRefusal) -> PeerResponse {
        switch refusal {
        case .removedSender:
            PeerResponse(
                status: 403, headers: [clusterHeader, ("Content-Type", "application/json")],
                body: Array("{\"message\":\"\(PeerRefusal.removedSender)\"}".utf8))
        case .otherReceiver: response(.receiverMismatch)
        case .notForPeers, .notAMember, .entriesOutOfOrder: response(.wrongMessageType)
        }
    }

    private func openStream(_ path: String) {
        releaseBody()
        guard head.method == .GET else { return answer(notAllowed("GET")) }
        let headers = headers
        if let refusal = core.identity.refusal(of: headers) { return answerStream(refusal, headers) }
        switch StreamTarget(path: path) {
        case .refused(let refusal): answerStream(refusal, headers)
        case .stream(let kind, let id):
            if core.removed.contains(id) { return answerStream(.removedMember, headers) }
            guard let peer = core.peers[id] else {
                core.noteSender(id, urls: headers.peerURLs)
                return answerStream(.unknownSender, headers)
            }
            guard headers.raftTo == core.identity.memberText else { return answerStream(.receiverMismatch, headers) }
            beginStream()
            // Whoever asked may be gone by now, and then it shows as this is written.
            if case .streaming = state { peer.attach(self, kind) }
        }
    }

    private func answerStream(_ refusal: PeerRefusal, _ headers: PeerHeaders) {
        core.noteRefusal(refusal, headers)
        var response = response(refusal)
        response.headers.append((PeerHeader.serverVersion, core.settings.serverVersion))
        answer(response)
    }

    private func beginStream() {
        state = .streaming(nil)
        let headers: HTTPHeaders = [
            PeerHeader.serverVersion: core.settings.serverVersion,
            PeerHeader.clusterID: core.identity.clusterText, "Transfer-Encoding": "chunked",
        ]
        write(.head(HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)))
        channel?.flush()
    }

    /// From now on `writer` hears of the connection's end.
    func streams(for writer: StreamWriter) {
        if case .streaming = state { state = .streaming(writer) }
    }

    /// Writes `bytes` of the stream.
    func stream(_ bytes: ByteBuffer) -> EventLoopFuture<Void> {
        guard case .streaming = state, let channel else {
            return core.loop.makeFailedFuture(TransportError.closed)
        }
        return channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(bytes)))
    }

    /// Bytes of the stream that the system has not taken yet.
    var unwrittenBytes: Int {
        guard let options = channel?.syncOptions else { return 0 }
        return (try? options.getOption(.bufferedWritableBytes)) ?? 0
    }

    // MARK: Snapshots

    private func setPaused(_ pauses: Bool) {
        guard pauses != isPaused, let channel else { return }
        isPaused = pauses
        channel.setOption(.autoRead, value: !pauses).whenFailure { _ in }
        // The time that the disk takes is not the sender's silence.
        lastRead = .now()
    }

    /// The snapshot's receiver has made room.
    func readMore() {
        if case .receiving(let receiver) = state { setPaused(!receiver.hasRoom) }
    }

    /// The snapshot is kept.
    func received() {
        if case .receiving = state { answer(PeerResponse(status: 204, headers: [clusterHeader])) }
    }

    // MARK: Answers

    /// Answers with `response` once the request has come in full, or too much of it.
    func refuse(_ response: PeerResponse) {
        if case .closed = state { return }
        setPaused(false)
        if isRequestComplete { return answer(response) }
        state = .refusing(response, discarded: 0)
    }

    private func write(_ part: HTTPServerResponsePart) {
        channel?.write(part, promise: nil)
    }

    private func answer(_ response: PeerResponse, thenClose: Bool = false) {
        guard let channel else { return }
        let keepsOpen = head.isKeepAlive && !thenClose
        var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
        if response.status != 204 { headers.replaceOrAdd(name: "Content-Length", value: "\(response.body.count)") }
        if !keepsOpen { headers.replaceOrAdd(name: "Connection", value: "close") }
        write(
            .head(
                HTTPResponseHead(
                    version: head.version, status: HTTPResponseStatus(statusCode: response.status), headers: headers)))
        if !response.body.isEmpty && head.method != .HEAD {
            write(.body(.byteBuffer(ByteBuffer(bytes: response.body))))
        }
        request += 1
        if keepsOpen {
            state = .idle
            channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
        } else {
            state = .closed
            channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { _ in channel.close(promise: nil) }
        }
    }

    /// Whether nothing is lost when the connection ends: there is no stream, no snapshot and no answer on it.
    var mayGo: Bool {
        switch state {
        case .idle, .gathering, .refusing: true
        case .receiving, .answering, .streaming, .closed: false
        }
    }

    func tick(_ now: NIODeadline) {
        switch state {
        case .answering, .streaming, .closed: break
        case .receiving where isPaused || isRequestComplete: break
        case .idle, .gathering, .receiving, .refusing:
            if now - lastRead > PeerTimeout.idleRequest { close() }
        }
    }

    /// Ends the connection.
    @discardableResult
    func close() -> EventLoopFuture<Void> {
        guard let channel else { return core.loop.makeSucceededVoidFuture() }
        channel.close(promise: nil)
        return channel.closeFuture
    }
}
