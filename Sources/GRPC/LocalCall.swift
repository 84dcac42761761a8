import NIOCore

/// What comes of a call that was made within this process. Everything is called on the call's event loop.
public protocol LocalCallReceiver: AnyObject {
    /// How many bytes of replies the receiver holds that went nowhere yet. A producer that can wait does so while they
    /// are many.
    var pendingBytes: Int { get }
    /// The call is answered, with these fields; replies follow. Not called of a call that fails at once.
    func callAnswered(_ metadata: Metadata)
    /// A unary reply of `length` bytes is to come. Whoever takes it in pieces gets them by ``callContinued(_:)``, until
    /// the call finishes; whoever does not gets it whole.
    func callBeginsReply(length: Int) -> Bool
    /// The next bytes of that reply.
    func callContinued(_ piece: [UInt8])
    /// A reply, in parts that belong together.
    func callReplied(_ parts: [[UInt8]])
    /// The call is over; nothing is called afterwards.
    func callFinished(_ status: Status, trailers: Metadata)
    /// The method takes requests again after ``LocalCall/isReading`` was false.
    func callReads()
}

extension LocalCallReceiver {
    public func callBeginsReply(length: Int) -> Bool { false }
    public func callContinued(_ piece: [UInt8]) {}
}

/// A call of one of the server's methods made within this process, as a request in another form than gRPC is. To the
/// method it is a call like any other: it goes through the same table, guards included, and counts alike.
///
/// Belongs to its event loop.
public final class LocalCall: @unchecked Sendable {
    let server: Server
    let metadata: Metadata
    let peer: String
    /// The common name in the certificate of the client in whose name the call is made.
    let peerIdentity: String?
    /// The common name in the certificate of the connection that the call comes from. It stands for nothing.
    let shownIdentity: String?
    let path: String
    let eventLoop: any EventLoop
    let deadline: NIODeadline?
    private(set) var isCancelled = false
    /// Who follows this call, if anybody does.
    private(set) var trace: (any CallTrace)?
    var onCancel: ((CancelReason) -> Void)?
    var onEnd: ((Status.Code) -> Void)?
    /// Whether the call is made by a method, as a part of what a client has asked of that.
    let isPart: Bool

    private let entry: MethodTable.Entry
    /// Parts of calls are not counted as calls.
    private let observer: (any CallObserver)?
    private let loop: EventLoopContext
    private var receiver: (any LocalCallReceiver)?
    private var handler: (any StreamHandler)?
    private var isFinished = false
    private var hasAnswered = false
    private var hasDispatched = false
    private var producerWaits = false
    /// Whether the method takes requests. What is sent nevertheless is kept.
    public private(set) var isReading = true
    private var held: [[UInt8]] = []
    private var hasHalfClosed = false
    private var timer: Scheduled<Void>?
    /// A reply that comes in pieces, and how long it will be.
    private var gathered: [UInt8] = []
    private var gatheredLength = 0
    /// What of a reply is to come that the receiver takes in pieces.
    private var replyRest = 0
    private var traffic = CallSummary.Traffic()
    private let started: NIODeadline

    init(
        server: Server, loop: EventLoopContext, entry: MethodTable.Entry, metadata: Metadata, peer: String,
        peerIdentity: String?, shownIdentity: String?, isPart: Bool, timeout: TimeAmount?,
        receiver: any LocalCallReceiver
    ) {
        self.server = server
        self.peerIdentity = peerIdentity
        self.shownIdentity = shownIdentity ?? peerIdentity
        self.isPart = isPart
        observer = isPart ? nil : entry.observer
        self.loop = loop
        self.metadata = metadata
        self.peer = peer
        self.receiver = receiver
        self.entry = entry
        path = entry.path
        eventLoop = loop.eventLoop
        started = loop.eventLoop.now
        deadline = timeout.map { loop.eventLoop.now + $0 }
    }

    /// Begins the call, once: a streaming method hears of it. What is sent before goes nowhere.
    public func begin() {
        eventLoop.preconditionInEventLoop()
        trace = observer?.started(metadata, peer: peer)
        if let deadline {
            timer = eventLoop.scheduleTask(deadline: deadline) { [weak self] in
                self?.fail(Status(.deadlineExceeded, "context deadline exceeded"), reason: .deadlineExceeded)
            }
        }
        guard case .stream(let open) = entry.method else { return }
        let handler = open(StreamCall(carrier: .local(self)))
        if !isFinished { self.handler = handler }
        loop.noteDispatch()
    }

    // MARK: What the caller does

    /// Sends a request.
    public func send(_ message: [UInt8]) {
        eventLoop.preconditionInEventLoop()
        guard !isFinished else { return }
        guard isReading else { return held.append(message) }
        let maximum = server.configuration.maximumMessageSize
        guard message.count <= maximum else {
            let text = "grpc: received message larger than max (\(message.count) vs. \(maximum))"
            let status = Status(.resourceExhausted, text)
            return fail(status, reason: .refused(status))
        }
        traffic.messagesReceived += 1
        traffic.bytesReceived += message.count
        observer?.received(bytes: message.count)
        loop.noteDispatch()
        switch entry.method {
        case .unary(let body):
            guard !hasDispatched else { return }
            hasDispatched = true
            body(UnaryCall(carrier: .local(self)), message)
        case .stream: handler?.received(message)
        }
    }

    /// Says that no more requests follow.
    public func halfClose() {
        eventLoop.preconditionInEventLoop()
        guard !isFinished, !hasHalfClosed else { return }
        hasHalfClosed = true
        if isReading { handler?.halfClosed() }
    }

    /// Ends the call for its caller, who hears nothing more of it.
    public func cancel(_ reason: CancelReason) {
        eventLoop.preconditionInEventLoop()
        guard !isFinished else { return }
        receiver = nil
        end(.cancelled)
        tellCancelled(reason)
    }

    /// Says that the receiver's bytes went out, so that there is room again.
    public func drained() {
        eventLoop.preconditionInEventLoop()
        guard producerWaits, !isFinished, pendingBytes <= server.configuration.lowWaterMark else { return }
        producerWaits = false
        handler?.writable()
    }

    // MARK: What the method does

    var pendingBytes: Int { receiver?.pendingBytes ?? 0 }

    func respond(_ message: [UInt8], trailers: Metadata) {
        guard !isFinished, let receiver else { return }
        noteSent(message.count)
        answer(Metadata())
        receiver.callReplied([message])
        finish(.ok, trailers: trailers)
    }

    /// The longest reply that is put together from pieces. What is made of it, such as JSON, takes as much again and more.
    public static let longestReply = 128 << 20

    func beginReply(length: Int, source: any StreamHandler) {
        guard !isFinished, gatheredLength == 0, let receiver else { return }
        if length <= UnaryCall.longestReply, receiver.callBeginsReply(length: length) {
            replyRest = length
            onCancel = nil
            handler = source
            noteSent(length)
            return answer(Metadata())
        }
        let reserved = server.configuration.responseMemory.reserve(length)
        guard length <= Self.longestReply, reserved else {
            if reserved { server.configuration.responseMemory.release(length) }
            let status =
                reserved
                ? UnaryCall.tooLong(length, maximum: Self.longestReply) : server.configuration.overloadRefusal
            // The source is told too, or it would make all of a reply that goes nowhere.
            onCancel = nil
            handler = source
            return fail(status, reason: .refused(status))
        }
        gatheredLength = length
        gathered.reserveCapacity(length)
        onCancel = nil
        handler = source
    }

    func continueReply(_ piece: [UInt8]) {
        guard !isFinished else { return }
        if replyRest > 0 {
            precondition(piece.count <= replyRest, "a reply in pieces is as long as was said")
            replyRest -= piece.count
            receiver?.callContinued(piece)
            if pendingBytes >= server.configuration.highWaterMark { producerWaits = true }
            if replyRest == 0 { finish(.ok, trailers: Metadata()) }
            return
        }
        gathered += piece
        guard gathered.count == gatheredLength else { return }
        var message: [UInt8] = []
        swap(&message, &gathered)
        respond(message, trailers: Metadata())
    }

    /// Whether a reply in pieces is to go on.
    var isWritable: Bool { gatheredLength > 0 || pendingBytes < server.configuration.highWaterMark }

    func sendHead(_ metadata: Metadata) {
        guard !isFinished else { return }
        answer(metadata)
    }

    private func answer(_ metadata: Metadata) {
        guard !hasAnswered else { return }
        hasAnswered = true
        receiver?.callAnswered(metadata)
    }

    func send(_ parts: [[UInt8]]) {
        guard !isFinished, let receiver else { return }
        let limit = server.configuration.pendingLimit
        guard receiver.pendingBytes <= limit else {
            let status = Status(.resourceExhausted, "grpc: the client left more than \(limit) bytes unread")
            return fail(status, reason: .unread)
        }
        answer(Metadata())
        noteSent(parts.reduce(0) { $0 + $1.count })
        receiver.callReplied(parts)
        if receiver.pendingBytes >= server.configuration.highWaterMark { producerWaits = true }
    }

    func finish(_ status: Status, trailers: Metadata) {
        guard !isFinished else { return }
        let receiver = receiver
        end(status.code)
        onCancel = nil
        handler = nil
        receiver?.callFinished(status, trailers: trailers)
    }

    /// Ends the call with an error. A handler that did not ask for it is told `reason`.
    func fail(_ status: Status, trailers: Metadata = Metadata(), reason: CancelReason?) {
        guard !isFinished else { return }
        guard let reason else { return finish(status, trailers: trailers) }
        let receiver = receiver
        end(status.code)
        receiver?.callFinished(status, trailers: trailers)
        tellCancelled(reason)
    }

    func pauseReading() { isReading = false }

    func resumeReading() {
        guard !isReading, !isFinished else { return }
        isReading = true
        let messages = held
        held = []
        for message in messages { send(message) }
        guard isReading, !isFinished else { return }
        if hasHalfClosed { handler?.halfClosed() } else { receiver?.callReads() }
    }

    private func end(_ code: Status.Code) {
        isFinished = true
        timer?.cancel()
        timer = nil
        receiver = nil
        held = []
        gathered = []
        if gatheredLength > 0 { server.configuration.responseMemory.release(gatheredLength) }
        gatheredLength = 0
        replyRest = 0
        observer?.finished(
            CallSummary(path: path, peer: peer, code: code, traffic: traffic, duration: eventLoop.now - started))
        trace?.finished(code)
        let onEnd = onEnd
        self.onEnd = nil
        onEnd?(code)
    }

    private func noteSent(_ count: Int) {
        traffic.messagesSent += 1
        traffic.bytesSent += count
        observer?.sent(bytes: count)
    }

    private func tellCancelled(_ reason: CancelReason) {
        isCancelled = true
        let hook = onCancel
        onCancel = nil
        let handler = handler
        self.handler = nil
        handler?.cancelled(reason)
        hook?(reason)
    }
}
