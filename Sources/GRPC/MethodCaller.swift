import NIOCore

/// Calls methods of the server in the name of a client whose call is being carried out: with the metadata, the address
/// and the certificate that its call came with. What the client may not do itself it may not do through another method
/// either.
///
/// May be used on any thread, and when the client's call is over too.
public struct MethodCaller: Sendable {
    let server: Server
    let metadata: Metadata
    let peer: String
    let peerIdentity: String?
    let eventLoop: any EventLoop

    /// Calls the unary method at `path` and gives its reply, or throws its ``Status``. Not ended by the task's end: what
    /// was asked is asked.
    public func call(_ path: String, _ message: [UInt8]) async throws(Status) -> [UInt8] {
        let result = await withCheckedContinuation { (waiter: CheckedContinuation<Result<[UInt8], Status>, Never>) in
            eventLoop.execute {
                let receiver = ReplyReceiver(waiter)
                guard let call = begin(path, receiver) else { return receiver.finish(Self.unknown(path)) }
                call.begin()
                call.send(message)
                call.halfClose()
            }
        }
        return try result.get()
    }

    /// Opens the streaming method at `path` with one request; the requests stay open.
    public func open(_ path: String, _ message: [UInt8]) -> MethodReplies {
        let replies = MethodReplies(eventLoop: eventLoop)
        eventLoop.execute {
            guard let call = begin(path, replies) else {
                replies.callFinished(Self.unknown(path), trailers: Metadata())
                return
            }
            replies.begun(call)
            call.begin()
            call.send(message)
        }
        return replies
    }

    private func begin(_ path: String, _ receiver: any LocalCallReceiver) -> LocalCall? {
        server.makeCall(
            path, metadata: metadata, peer: peer, peerIdentity: peerIdentity, isPart: true, eventLoop: eventLoop,
            timeout: nil, receiver: receiver)
    }

    private static func unknown(_ path: String) -> Status { Status(.unimplemented, "unknown method \(path)") }
}

/// The reply to a unary call that somebody waits for. Belongs to its event loop.
private final class ReplyReceiver: LocalCallReceiver {
    private var waiter: CheckedContinuation<Result<[UInt8], Status>, Never>?
    private var reply: [UInt8] = []

    init(_ waiter: CheckedContinuation<Result<[UInt8], Status>, Never>) { self.waiter = waiter }

    let pendingBytes = 0
    func callAnswered(_ metadata: Metadata) {}
    func callReplied(_ parts: [[UInt8]]) { reply = Array(parts.joined()) }
    func callFinished(_ status: Status, trailers: Metadata) { finish(status) }
    func callReads() {}

    func finish(_ status: Status) {
        waiter?.resume(returning: status.code == .ok ? .success(reply) : .failure(status))
        waiter = nil
    }
}

/// The replies of a streaming method, taken one by one. Replies that nobody took yet count as unread, so that the method
/// waits with further ones.
///
/// ``next()`` and ``cancel()`` may be called on any thread, ``next()`` by one at a time.
public final class MethodReplies: LocalCallReceiver, @unchecked Sendable {
    private let eventLoop: any EventLoop
    private var call: LocalCall?
    private var replies: [[UInt8]] = []
    private var end: Status?
    private var waiter: CheckedContinuation<Result<[UInt8], Status>, Never>?
    public private(set) var pendingBytes = 0

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func begun(_ call: LocalCall) {
        // It may have been cancelled before.
        if end == nil { self.call = call } else { call.cancel(.reset(code: 8)) }
    }

    /// The next reply; throws the status with which the stream has ended, also when that is OK.
    public func next() async throws(Status) -> [UInt8] {
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (waiter: CheckedContinuation<Result<[UInt8], Status>, Never>) in
                eventLoop.execute { self.wait(waiter) }
            }
        } onCancel: {
            cancel()
        }
        return try result.get()
    }

    /// Ends the stream.
    public func cancel() {
        eventLoop.execute { [self] in
            call?.cancel(.reset(code: 8))
            callFinished(Status(.cancelled, "context canceled"), trailers: Metadata())
        }
    }

    private func wait(_ waiter: CheckedContinuation<Result<[UInt8], Status>, Never>) {
        precondition(self.waiter == nil, "one at a time waits for replies")
        if !replies.isEmpty {
            let reply = replies.removeFirst()
            pendingBytes -= reply.count
            waiter.resume(returning: .success(reply))
            call?.drained()
        } else if let end {
            waiter.resume(returning: .failure(end))
        } else {
            self.waiter = waiter
        }
    }

    public func callAnswered(_ metadata: Metadata) {}

    public func callReplied(_ parts: [[UInt8]]) {
        let reply = Array(parts.joined())
        if let waiter {
            self.waiter = nil
            waiter.resume(returning: .success(reply))
        } else {
            replies.append(reply)
            pendingBytes += reply.count
        }
    }

    public func callFinished(_ status: Status, trailers: Metadata) {
        guard end == nil else { return }
        end = status
        call = nil
        waiter?.resume(returning: .failure(status))
        waiter = nil
    }

    public func callReads() {}
}

extension CallCarrier {
    fileprivate var caller: MethodCaller {
        MethodCaller(
            server: server, metadata: metadata, peer: peer, peerIdentity: peerIdentity, eventLoop: eventLoop)
    }

    fileprivate var isPart: Bool {
        if case .local(let call) = self { return call.isPart }
        return false
    }

    fileprivate func onEnd(_ hook: @escaping (Status.Code) -> Void) {
        eventLoop.preconditionInEventLoop()
        switch self {
        case .stream(let stream): stream.onEnd = hook
        case .local(let call): call.onEnd = hook
        }
    }
}

extension UnaryCall {
    /// Calls other methods in this call's name.
    public var caller: MethodCaller { carrier.caller }
    /// Whether another method makes the call as a part of what it was asked.
    public var isPart: Bool { carrier.isPart }

    /// Has `hook` called, once, on the event loop, when the call has ended in whatever way. Only on `eventLoop`; a second
    /// hook takes the place of the first.
    public func onEnd(_ hook: @escaping (Status.Code) -> Void) { carrier.onEnd(hook) }
}

extension StreamCall {
    /// Calls other methods in this call's name.
    public var caller: MethodCaller { carrier.caller }
    /// Whether another method makes the call as a part of what it was asked.
    public var isPart: Bool { carrier.isPart }

    /// Has `hook` called, once, on the event loop, when the call has ended in whatever way. Only on `eventLoop`; a second
    /// hook takes the place of the first.
    public func onEnd(_ hook: @escaping (Status.Code) -> Void) { carrier.onEnd(hook) }
}
