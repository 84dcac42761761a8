import CNGHTTP2
import NIOCore

/// One request on the server's side of an HTTP/2 connection: a gRPC call, or a plain HTTP request. It is both the
/// stream's state and what `UnaryCall` and `StreamCall` refer to, so that a call costs one object.
final class ServerStream: HTTP2Stream, HTTPExchange, @unchecked Sendable {
    private enum Kind {
        case undecided, unary, streaming, http
    }

    /// Ten years: far beyond any call, and far from the end of the clock's range.
    private static let longestTimeout: Int64 = 10 * 365 * 86_400 * 1_000_000_000

    let connection: ServerConnection
    private(set) var entry: MethodTable.Entry?
    private(set) var metadata = Metadata()
    private(set) var deadline: NIODeadline?
    private(set) var isCancelled = false
    /// Follows this call, when somebody does.
    private(set) var trace: (any CallTrace)?
    var onEnd: ((Status.Code) -> Void)?
    /// The handler gave the call's outcome, or the call was ended for it.
    private(set) var isFinished = false
    /// What an unfinished unary call does when it is cancelled.
    var onCancel: ((CancelReason) -> Void)?

    private var kind = Kind.undecided
    /// What a streaming call's requests go to, until the call is over; of a unary one, what makes its reply in pieces.
    private var handler: (any StreamHandler)?
    private var encoding = RequestHead.Encoding.identity
    @exclusivity(unchecked) private var reader = MessageReader()
    /// What the connection's account of unfinished requests holds for this one.
    private var reservedBytes = 0
    /// How much of that is for a large head, which stays until the end.
    private var headBytes = 0
    private var hasSentHead = false
    /// The bytes of a reply in pieces that are still to come.
    private var replyRest = 0
    private var hasDispatched = false
    /// Arrived bytes that a paused handler has not been given.
    private var held: [UInt8] = []
    /// How many bytes of a paused request that is not gRPC the window has yet to open by.
    private var heldBytes = 0
    private var isPaused = false
    private var httpRequest: HTTPRequest?
    /// What a request that is not gRPC goes to as it comes.
    private var httpHandler: (any HTTPStreamHandler)?
    private var wantsHeadOnly = false
    private var trailers = Metadata()
    private var status = Status.ok
    private var traffic = CallSummary.Traffic()
    private var started: NIODeadline?

    private var configuration: Server.Configuration { connection.server.configuration }

    init(connection: ServerConnection) {
        self.connection = connection
        super.init()
    }

    // MARK: What arrives

    override func receivedHeaders(endStream: Bool) {
        // A second block is the request's trailers, which gRPC does not use.
        guard kind == .undecided, !isFinished else { return }
        if let head = session?.requestHead { begin(head) }
    }

    private func begin(_ head: RequestHead) {
        entry = head.path.withUnsafeBytes { connection.findMethod($0) }
        if head.contentType != .grpc && entry == nil || !connection.endpoint.servesGRPC,
            let handlers = connection.endpoint.http
        {
            return beginHTTP(head, handlers)
        }
        if let refusal = refusal(of: head) { return refuse(refusal.status, httpStatus: refusal.httpStatus) }
        guard let entry else { return refuse(connection.server.methods.refusal(of: head.path)) }
        metadata = head.takeMetadata()
        encoding = head.encoding
        headBytes = head.excessBytes
        if let observer = entry.observer {
            started = connection.now
            trace = observer.started(metadata, peer: connection.peer)
        }
        if let timeout = head.timeout {
            let limit = connection.now + .nanoseconds(min(timeout, Self.longestTimeout))
            deadline = limit
            connection.watchDeadline(limit)
        }
        if case .unknown(let name) = head.encoding {
            trailers.add("grpc-accept-encoding", "identity,gzip")
            let text = "grpc: Decompressor is not installed for grpc-encoding \"\(name)\""
            return fail(Status(.unimplemented, text), reason: .refused(Status(.unimplemented, text)))
        }
        if headBytes > 0, let refusal = noteHeld() { return refuseCall(refusal) }
        switch entry.method {
        case .unary: kind = .unary
        case .stream(let makeHandler):
            kind = .streaming
            let handler = makeHandler(StreamCall(carrier: .stream(self)))
            // A factory may have ended the call already.
            if !isFinished { self.handler = handler }
            connection.loop.noteDispatch()
        }
    }

    private func refusal(of head: RequestHead) -> (status: Status, httpStatus: Int)? {
        if head.contentType != .grpc {
            let text = head.contentType == .none ? "" : String(decoding: head.contentTypeText, as: UTF8.self)
            return (Status(.invalidArgument, "invalid gRPC request content-type \"\(text)\""), 415)
        }
        if !head.isPost {
            let method = String(decoding: head.method, as: UTF8.self)
            return (
                Status(.internal, "Received a HEADERS frame with :method \"\(method)\" which should be POST"), 405
            )
        }
        if let reason = head.malformedTimeout { return (Status(.internal, "malformed grpc-timeout: \(reason)"), 400) }
        return nil
    }

    private func refuse(_ status: Status, httpStatus: Int = 200) {
        isFinished = true
        var block = HeaderBlock()
        block.add(":status", String(httpStatus))
        block.add("content-type", "application/grpc")
        block.add(status)
        block.withFields { session?.submitResponse(self, $0, hasBody: false) }
    }

    override func received(_ bytes: UnsafeRawBufferPointer) {
        guard !isFinished else { return }
        switch kind {
        case .http: receivedBody(bytes)
        case .undecided: return
        case .unary, .streaming:
            if isPaused {
                held.append(contentsOf: bytes)
                if let refusal = noteHeld() { refuseCall(refusal) }
                return
            }
            read(bytes)
        }
    }

    /// Gives the handler the messages in `bytes`, and opens the window by them. What comes behind a message upon which the
    /// handler pauses is kept, and opens the window only when it is read in its turn: else a handler that takes a message
    /// at a time would let the client send without end.
    private func read(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        var kept = 0
        defer { session?.consume(self, bytes.count - kept) }
        do {
            while !isFinished {
                if isPaused {
                    held.append(contentsOf: rest)
                    kept = rest.count
                    break
                }
                guard let message = try reader.next(&rest, maximum: connection.maximumMessageSize) else { break }
                try deliver(message)
            }
            if let refusal = noteHeld() { throw refusal }
        } catch let failure as MessageReader.Failure {
            switch failure {
            case .tooLarge(let length, let maximum):
                let text = "grpc: received message larger than max (\(length) vs. \(maximum))"
                refuseCall(Status(.resourceExhausted, text))
            case .unknownFlag(let flag):
                refuseCall(Status(.internal, "grpc: received unexpected payload format \(flag)"))
            }
        } catch let status as Status {
            refuseCall(status)
        } catch {
            refuseCall(Status(.internal, "\(error)"))
        }
    }

    /// Puts what is kept of the request now on the connection's account. Returns the refusal when that is too much.
    private func noteHeld() -> Status? {
        let growth = headBytes + reader.bufferedBytes + held.count + (httpRequest?.body.count ?? 0) - reservedBytes
        guard growth != 0 else { return nil }
        reservedBytes += growth
        do throws(Status) {
            try connection.reserve(growth)
            return nil
        } catch {
            return error
        }
    }

    private func deliver(_ message: MessageReader.Message) throws {
        var bytes = message.bytes
        if message.isCompressed {
            guard encoding == .gzip else {
                throw Status(.internal, "grpc: compressed flag set with identity or empty encoding")
            }
            bytes = try decompress(bytes)
        }
        traffic.messagesReceived += 1
        traffic.bytesReceived += bytes.count
        entry?.observer?.received(bytes: bytes.count)
        if connection.isOverdrawn {
            // Its own replies are what fills the memory.
            throw configuration.overloadRefusal
        }
        switch kind {
        case .unary:
            guard !hasDispatched, case .unary(let method) = entry?.method else { return }
            hasDispatched = true
            connection.loop.noteDispatch()
            method(UnaryCall(carrier: .stream(self)), bytes)
        case .streaming:
            connection.loop.noteDispatch()
            handler?.received(bytes)
        case .undecided, .http: return
        }
    }

    private func decompress(_ bytes: [UInt8]) throws -> [UInt8] {
        let maximum = connection.maximumMessageSize
        do {
            return try Gzip.decompress(bytes, maximum: maximum)
        } catch .tooLarge {
            let text = "grpc: received message after decompression larger than max (\(maximum + 1) vs. \(maximum))"
            throw Status(.resourceExhausted, text)
        } catch {
            throw Status(.internal, "grpc: failed to decompress the received message: not a gzip stream")
        }
    }

    private func refuseCall(_ status: Status) {
        fail(status, reason: .refused(status))
        // The client may be slow to learn of it.
        reader = MessageReader()
        held = []
        _ = noteHeld()
    }

    override func receivedEnd() {
        guard !isFinished else { return }
        switch kind {
        case .http:
            if let httpHandler { return httpHandler.ended() }
            guard let request = httpRequest else { return }
            httpRequest = nil
            _ = noteHeld()
            connection.endpoint.http?.answer(makeHTTPCall(request))
        case .unary:
            guard !hasDispatched else { return }
            let text =
                reader.isBetweenMessages
                ? "cardinality violation: received no request message from non-client-streaming RPC"
                : "unexpected EOF"
            refuseCall(Status(.internal, text))
        case .streaming:
            guard !isPaused else { return }
            guard reader.isBetweenMessages else { return refuseCall(Status(.internal, "unexpected EOF")) }
            handler?.halfClosed()
        case .undecided: return
        }
    }

    override func closed(code: UInt32) {
        connection.release(reservedBytes)
        guard !isFinished else { return }
        isFinished = true
        let gone = connection.sessionIfOpen == nil
        cancel(gone ? .connectionClosed : .reset(code: code))
        report(.cancelled)
    }

    private func cancel(_ reason: CancelReason) {
        guard !isCancelled else { return }
        isCancelled = true
        let hook = onCancel
        onCancel = nil
        let handler = handler
        self.handler = nil
        let httpHandler = httpHandler
        self.httpHandler = nil
        handler?.cancelled(reason)
        httpHandler?.cancelled()
        hook?(reason)
    }

    // MARK: Back pressure on requests

    /// Stops giving messages to the handler. The client may send one window more, which is kept.
    func pauseReading() { isPaused = true }

    /// Gives the handler what was kept and opens the window again.
    func resumeReading() {
        guard isPaused, !isFinished else { return }
        isPaused = false
        if kind == .http {
            session?.consume(self, heldBytes)
            heldBytes = 0
            connection.setDirty()
            return
        }
        let bytes = held
        held = []
        _ = noteHeld()
        bytes.withUnsafeBytes { read($0) }
        if remoteEnded, !isPaused { receivedEnd() }
        connection.setDirty()
    }

    // MARK: What is answered

    func respond(_ message: [UInt8], trailers: Metadata) {
        guard !isFinished, !hasSentHead, !connection.takesNothing, let session else { return }
        // Calls that came before the memory was used up are answered in one turn, and may be many.
        if connection.hasNoMemory(for: message.count) {
            return fail(Self.noMemory, reason: .unread)
        }
        isFinished = true
        isEnding = true
        self.trailers = trailers
        queue(message)
        onCancel = nil
        session.submitResponse(self, HeaderBlock.responseHead, hasBody: true)
        connection.setDirty()
        report(.ok)
        connection.checkQueued()
    }

    func beginReply(length: Int, source: any StreamHandler) {
        guard !isFinished, !hasSentHead else { return }
        guard length <= UnaryCall.longestReply else {
            // The source is told too, or it would make all of a reply that goes nowhere.
            handler = source
            onCancel = nil
            let status = UnaryCall.tooLong(length, maximum: UnaryCall.longestReply)
            return fail(status, reason: .refused(status))
        }
        sendHead(Metadata())
        handler = source
        onCancel = nil
        replyRest = length
        outbound.append(beginningOf: length)
        session?.queued(MessageReader.prefixLength)
        traffic.messagesSent += 1
    }

    /// The outcome of a call whose reply was made and cannot be kept.
    private static let noMemory = Status(
        .resourceExhausted, "grpc: the call was carried out, but too many replies are unread to keep its own")

    func continueReply(_ piece: [UInt8]) {
        guard !isFinished, !connection.takesNothing, let session else { return }
        precondition(piece.count <= replyRest, "a reply in pieces is as long as was said")
        replyRest -= piece.count
        outbound.append(raw: piece)
        session.queued(piece.count)
        traffic.bytesSent += piece.count
        entry?.observer?.sent(bytes: piece.count)
        if outbound.pendingBytes >= configuration.highWaterMark { producerWaits = true }
        if replyRest == 0 { return finish(.ok, trailers: Metadata()) }
        session.resume(self)
        connection.setDirty()
        connection.checkQueued()
    }

    func sendHead(_ metadata: Metadata) {
        guard !isFinished, !hasSentHead, let session else { return }
        hasSentHead = true
        if metadata.isEmpty {
            session.submitResponse(self, HeaderBlock.responseHead, hasBody: true)
        } else {
            var block = HeaderBlock()
            block.add(":status", "200")
            block.add("content-type", "application/grpc")
            block.add(metadata)
            block.withFields { session.submitResponse(self, $0, hasBody: true) }
        }
        connection.setDirty()
    }

    func send(_ parts: [[UInt8]]) {
        guard !isFinished, !connection.takesNothing, let session else { return }
        guard outbound.pendingBytes <= configuration.pendingLimit else {
            let text = "grpc: the client left more than \(configuration.pendingLimit) bytes unread"
            return fail(Status(.resourceExhausted, text), reason: .unread)
        }
        if !hasSentHead { sendHead(Metadata()) }
        if parts.count == 1 { queue(parts[0]) } else { queue(parts) }
        if outbound.pendingBytes >= configuration.highWaterMark { producerWaits = true }
        session.resume(self)
        connection.setDirty()
        connection.checkQueued()
    }

    /// Ends the call in order: what is queued goes out first.
    func finish(_ status: Status, trailers: Metadata) {
        guard !isFinished, let session else { return }
        guard hasSentHead else { return fail(status, trailers: trailers, reason: nil) }
        isFinished = true
        isEnding = true
        self.status = status
        self.trailers = trailers
        session.resume(self)
        connection.setDirty()
        handler = nil
        report(status.code)
    }

    /// Ends the call at once, ahead of anything queued. A handler that did not ask for it is told `reason`.
    func fail(_ status: Status, trailers: Metadata = [:], reason: CancelReason?) {
        guard !isFinished, let session else { return }
        isFinished = true
        self.status = status
        if self.trailers.isEmpty { self.trailers = trailers }
        if hasSentHead {
            _ = submitTrailers()
        } else {
            var block = HeaderBlock()
            block.add(":status", "200")
            block.add("content-type", "application/grpc")
            block.add(status)
            block.add(self.trailers)
            block.withFields { session.submitResponse(self, $0, hasBody: false) }
        }
        connection.setDirty()
        report(status.code)
        if let reason { cancel(reason) } else { handler = nil }
        onCancel = nil
    }

    override func submitTrailers() -> Bool {
        if kind == .http { return false }
        guard let session else { return false }
        if status == .ok, trailers.isEmpty {
            session.submitTrailers(self, HeaderBlock.okTrailers)
        } else {
            var block = HeaderBlock()
            block.add(status)
            block.add(trailers)
            block.withFields { session.submitTrailers(self, $0) }
        }
        return true
    }

    override func drained() {
        guard !isFinished else { return }
        handler?.writable()
        httpHandler?.writable()
    }

    private func queue(_ message: [UInt8]) {
        let before = outbound.pendingBytes
        outbound.append(message: message)
        noteQueued(outbound.pendingBytes - before)
    }

    private func queue(_ parts: [[UInt8]]) {
        let before = outbound.pendingBytes
        outbound.append(parts: parts)
        noteQueued(outbound.pendingBytes - before)
    }

    private func noteQueued(_ count: Int) {
        session?.queued(count)
        traffic.messagesSent += 1
        traffic.bytesSent += count - MessageReader.prefixLength
        entry?.observer?.sent(bytes: count - MessageReader.prefixLength)
    }

    private func report(_ code: Status.Code) {
        let onEnd = onEnd
        self.onEnd = nil
        onEnd?(code)
        guard let entry, let observer = entry.observer else { return }
        if kind == .undecided || kind == .unary && !hasDispatched {
            observer.refused(UnaryCall(carrier: .stream(self)), code)
        }
        let duration = started.map { connection.now - $0 } ?? .zero
        observer.finished(
            CallSummary(
                path: entry.path, peer: connection.peer, code: code, traffic: traffic, duration: duration))
        trace?.finished(code)
        trace = nil
    }

    // MARK: Plain HTTP

    private func beginHTTP(_ head: RequestHead, _ handlers: HTTPHandlers) {
        kind = .http
        entry = nil
        let request = HTTPRequest(head: head, peer: connection.peer, peerIdentity: connection.peerIdentity)
        wantsHeadOnly = request.method == "HEAD"
        if let fault = request.fault { return respond(HTTPResponse(status: 400, text: fault)) }
        httpRequest = request
        headBytes = head.excessBytes
        if headBytes > 0, noteHeld() != nil { return refuseForMemory() }
        guard let stream = handlers.stream, let handler = stream(makeHTTPCall(request)) else { return }
        httpRequest = nil
        if !isFinished { httpHandler = handler }
    }

    private func makeHTTPCall(_ request: HTTPRequest) -> HTTPCall {
        HTTPCall(request: request, eventLoop: connection.loop.eventLoop, server: connection.server, exchange: self)
    }

    private func receivedBody(_ bytes: UnsafeRawBufferPointer) {
        if let httpHandler {
            if !isPaused { session?.consume(self, bytes.count) } else { heldBytes += bytes.count }
            return httpHandler.received(Array(bytes))
        }
        guard let count = httpRequest?.body.count, count + bytes.count <= configuration.maximumHTTPBody else {
            httpRequest = nil
            _ = noteHeld()
            return respond(HTTPResponse(status: 413, text: "request body too large\n"))
        }
        httpRequest?.body.append(contentsOf: bytes)
        if noteHeld() != nil { return refuseForMemory() }
        session?.consume(self, bytes.count)
    }

    private func refuseForMemory() {
        httpRequest = nil
        respond(.overloaded)
        _ = noteHeld()
    }

    var pendingBytes: Int { outbound.pendingBytes }

    func respond(_ response: HTTPResponse) {
        guard !isFinished, !hasSentHead, !connection.takesNothing else { return }
        if connection.hasNoMemory(for: response.body.count) {
            return respond(HTTPResponse(status: 503, text: "too many replies are unread\n"))
        }
        let headers = response.headers.filter { $0.name.lowercased() != "content-length" }
        let length = ("content-length", String(response.body.count))
        let hasBody = !response.body.isEmpty && !wantsHeadOnly
        sendHTTPHead(response.status, [length] + headers, hasBody: hasBody)
        if hasBody { write(response.body) }
        end()
    }

    func begin(status: Int, headers: [(name: String, value: String)]) {
        guard !isFinished, !hasSentHead else { return }
        sendHTTPHead(status, headers, hasBody: !wantsHeadOnly)
    }

    private func sendHTTPHead(_ status: Int, _ headers: [(name: String, value: String)], hasBody: Bool) {
        guard let session else { return }
        hasSentHead = true
        var block = HeaderBlock()
        block.add(":status", String(status))
        block.add("date", HTTPDate.now)
        for (name, value) in headers { block.add(name.lowercased(), value) }
        if !hasBody { isEnding = true }
        block.withFields { session.submitResponse(self, $0, hasBody: hasBody) }
        connection.setDirty()
    }

    func write(_ bytes: [UInt8]) {
        guard !isFinished, hasSentHead, !isEnding, !connection.takesNothing, let session else { return }
        outbound.append(raw: bytes)
        session.queued(bytes.count)
        if outbound.pendingBytes >= configuration.highWaterMark { producerWaits = true }
        session.resume(self)
        connection.setDirty()
        connection.checkQueued()
    }

    func end() {
        guard !isFinished, hasSentHead else { return }
        isFinished = true
        isEnding = true
        httpHandler = nil
        session?.resume(self)
        connection.setDirty()
    }

    func abort() {
        guard !isFinished else { return }
        isFinished = true
        httpHandler = nil
        session?.reset(self, code: NGHTTP2_INTERNAL_ERROR.rawValue)
        connection.setDirty()
    }
}
