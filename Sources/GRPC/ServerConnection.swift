import CNGHTTP2
import NIOCore

/// The server's side of one HTTP/2 connection: its calls, their deadlines, and the bounds on what a client may do.
final class ServerConnection: HTTP2Connection, @unchecked Sendable {
    let server: Server
    let endpoint: Server.Endpoint
    let peer: String
    /// The common name in the client's certificate, when one was verified.
    let peerIdentity: String?
    /// The method of the last request.
    private var lastEntry: MethodTable.Entry?
    /// The server's limit, at hand for every request.
    let maximumMessageSize: Int

    @exclusivity(unchecked) private var pingPolicy: PingPolicy
    private var resets: TokenBucket
    private var isRejected = false
    private var isDraining = false
    private var hasSaidFarewell = false
    private var requestBytes = 0
    /// What the account of all connections' replies holds for this one.
    private var notedBytes = 0
    private let memory: ResponseMemory
    private let requestMemory: RequestMemory
    private var deadlineTimer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture

    /// Expired calls are looked for at most this often, so that many short deadlines do not mean many searches.
    private static let deadlineGrain = TimeAmount.milliseconds(5)
    /// How many heads may be beyond the limit, each of which has cost as much as hundreds of requests.
    private static let oversizedHeads = 16
    /// Told apart from pings that serve other ends.
    private static let farewellPayload: UInt64 = 0x6661_7265_7765_6C6C

    init(server: Server, endpoint: Server.Endpoint, loop: EventLoopContext, peer: Server.Peer) {
        self.server = server
        self.endpoint = endpoint
        self.peer = peer.address
        peerIdentity = peer.identity
        let configuration = server.configuration
        memory = configuration.responseMemory
        requestMemory = configuration.requestMemory
        maximumMessageSize = configuration.maximumMessageSize
        pingPolicy = PingPolicy(
            minimumInterval: configuration.minimumPingInterval,
            permitsWithoutStream: configuration.permitsPingWithoutStream)
        resets = TokenBucket(capacity: configuration.resetBurst, perSecond: configuration.resetsPerSecond)
        super.init(loop: loop, keepalive: configuration.keepalive) { connection in
            HTTP2Session(
                server: true, settings: configuration.sessionSettings, lowWaterMark: configuration.lowWaterMark,
                delegate: connection)
        }
    }

    // MARK: Session

    override func opened() {
        if let channel = context?.channel { server.register(self, on: channel) }
    }

    override func closed() {
        deadlineTimer?.cancel()
        deadlineTimer = nil
        noteQueued(0)
    }

    override func sentGoAway(reason: String) { noteRejection(reason) }

    private func noteRejection(_ reason: String) {
        guard !isRejected else { return }
        isRejected = true
        server.observer.connectionRejected?(peer, reason)
    }

    override func openedStream(_ id: Int32) -> HTTP2Stream {
        ServerStream(connection: self)
    }

    /// The method that a path names. Clients repeat themselves, so that of the last request is the first guess.
    func findMethod(_ path: UnsafeRawBufferPointer) -> MethodTable.Entry? {
        if let lastEntry, lastEntry.matches(path) { return lastEntry }
        guard let entry = server.methods.find(path) else { return nil }
        lastEntry = entry
        return entry
    }

    override func receivedPing() {
        guard let session = sessionIfOpen else { return }
        let hasStreams = !session.streams.isEmpty
        if session.hasSentHeadersOrData {
            session.hasSentHeadersOrData = false
            pingPolicy.sentHeadersOrData()
        }
        if !pingPolicy.accept(at: now, hasStreams: hasStreams) {
            reject(NGHTTP2_ENHANCE_YOUR_CALM.rawValue, "too_many_pings", "client sent pings too often")
        }
    }

    override func receivedReset() {
        if !resets.take(at: now) {
            reject(NGHTTP2_ENHANCE_YOUR_CALM.rawValue, "too_many_resets", "client reset streams too often")
        }
    }

    /// Making the server reset streams is as good as resetting them.
    override func sentReset(code: UInt32) {
        let isOversized = code == NGHTTP2_ENHANCE_YOUR_CALM.rawValue
        let share = isOversized ? max(1, server.configuration.resetBurst / Self.oversizedHeads) : 1
        if !resets.take(share, at: now) {
            reject(NGHTTP2_ENHANCE_YOUR_CALM.rawValue, "too_many_errors", "client made too many wrong requests")
        }
    }

    private func reject(_ code: UInt32, _ debug: StaticString, _ reason: String) {
        sessionIfOpen?.submitGoAway(code: code, debug: debug)
        closeAfterFlush()
        noteRejection(reason)
    }

    // MARK: Bounds

    /// Puts `count` bytes of unfinished requests on the connection's account; negative when a request was finished.
    func reserve(_ count: Int) throws(Status) {
        requestBytes += count
        requestMemory.note(count)
        guard count > 0 else { return }
        if requestBytes > server.configuration.maximumRequestBytes {
            throw Status(.resourceExhausted, "grpc: too many bytes of unfinished requests on one connection")
        }
        if !requestMemory.allows(requestBytes) { throw server.configuration.overloadRefusal }
    }

    /// Takes `count` bytes of a request that is gone from the account.
    func release(_ count: Int) {
        guard count != 0 else { return }
        requestBytes -= count
        requestMemory.note(-count)
    }

    /// Whether the connection is about to be closed for what its client has done: nothing more is queued for it.
    var takesNothing: Bool { isRejected }

    /// Whether the memory for replies is used up and this connection's client has part in it.
    var isOverdrawn: Bool {
        memory.isUsedUp && (sessionIfOpen?.pendingBytes ?? 0) > ResponseMemory.dueOfConnection
    }

    /// Whether a reply of `count` bytes is more than the memory allows.
    func hasNoMemory(for count: Int) -> Bool { count > ResponseMemory.dueOfConnection && memory.isUsedUp }

    override func flushed(_ session: HTTP2Session) {
        if session.pendingBytes != notedBytes { noteQueued(session.pendingBytes) }
    }

    private func noteQueued(_ count: Int) {
        memory.note(count - notedBytes)
        notedBytes = count
    }

    /// Gives up on a client that makes calls and reads no answers.
    func checkQueued() {
        guard let session = sessionIfOpen else { return }
        // The rest is noted when the turn ends.
        if session.pendingBytes - notedBytes > ResponseMemory.dueOfConnection { noteQueued(session.pendingBytes) }
        guard session.pendingBytes > server.configuration.connectionPendingLimit else { return }
        // One huge answer is not the client's fault; many that wait together are.
        guard session.streams.count > 1 else { return }
        reject(NGHTTP2_ENHANCE_YOUR_CALM.rawValue, "too_much_unread", "client left too many bytes unread")
    }

    // MARK: Deadlines

    /// Has calls whose deadline has passed ended no earlier than `deadline`, and soon after.
    func watchDeadline(_ deadline: NIODeadline) {
        guard deadline < timerDeadline else { return }
        deadlineTimer?.cancel()
        timerDeadline = deadline
        deadlineTimer = loop.eventLoop.scheduleTask(deadline: deadline) { self.endExpiredCalls() }
    }

    private func endExpiredCalls() {
        timerDeadline = .distantFuture
        guard let session = sessionIfOpen else { return }
        let now = now
        var next = NIODeadline.distantFuture
        for case let stream as ServerStream in session.streams where !stream.isFinished {
            guard let deadline = stream.deadline else { continue }
            if deadline <= now {
                stream.fail(Status(.deadlineExceeded, "context deadline exceeded"), reason: .deadlineExceeded)
            } else if deadline < next {
                next = deadline
            }
        }
        if next < .distantFuture { watchDeadline(max(next, now + Self.deadlineGrain)) }
    }

    // MARK: Farewell

    /// Lets running calls end and takes no more. The client learns of it by a first GOAWAY; the last one, after a
    /// round trip, refuses what was not under way by then.
    func drain() {
        guard !isDraining, let session = sessionIfOpen else { return }
        isDraining = true
        session.submitShutdownNotice()
        session.submitPing(Self.farewellPayload)
        setDirty()
    }

    override func receivedPingAnswer(_ payload: UInt64) {
        super.receivedPingAnswer(payload)
        guard payload == Self.farewellPayload, isDraining, !hasSaidFarewell, let session = sessionIfOpen else { return }
        hasSaidFarewell = true
        session.submitGoAway(code: NGHTTP2_NO_ERROR.rawValue)
        if session.streams.isEmpty { closeAfterFlush() }
    }

    override func becameIdle() {
        if hasSaidFarewell { closeAfterFlush() }
    }

}
