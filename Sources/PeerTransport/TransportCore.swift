import Backend
import Logging
import Membership
import NIOCore
import NIOHTTP1
import NIOPosix
import PeerProtocol
import RaftMessages
import Sockets
import TLS

/// The transport's state. Belongs to its event loop.
final class TransportCore: @unchecked Sendable {
    /// How often timeouts are looked at and idle streams kept alive.
    private static let tickInterval = TimeAmount.milliseconds(500)
    /// Unknown members that may be answered at a time; their ids and URLs come from anyone who asks.
    private static let remoteLimit = 64
    /// Between two warnings of the same, and how many different ones are told apart.
    private static let warningInterval = TimeAmount.seconds(30)
    private static let warningLimit = 64
    /// Snapshots that are being sent at a time; each has a thread and pins pages of the database.
    private static let senderLimit = 8
    /// Bodies of posts that are being gathered, in all: two of the longest, or many of the usual size.
    private static let bodyBudget = 2 * PeerLimit.postedMessage
    /// Messages of snapshots that are being gathered, in all: one of the longest. They are short unless there is a large
    /// version-2 store.
    private static let snapshotMessageBudget = PeerLimit.message + (1 << 20)
    /// What a request apart from Raft's traffic may be answered with at most: the keys of a large lease, for example.
    static let answerLimit = 64 << 20

    let loop: any EventLoop
    let settings: PeerTransport.Settings
    let events: PeerEvents
    let identity: PeerIdentity
    let dialer: Dialer
    let board = StatusBoard()
    /// Posts that the owner has not taken, of all senders: who they are is only their word.
    let posted: PeerBacklog
    /// Threads that read and write databases.
    let diskThreads = NIOThreadPool(numberOfThreads: 2)
    var logger: Logger { settings.logger }

    private(set) var peers: [UInt64: Peer] = [:]
    private var remotes: [UInt64: Pipeline] = [:]
    var removed: Set<UInt64> = []
    private var served: [ObjectIdentifier: ServerConnection] = [:]
    private var listeners: [any Channel] = []
    private var requests: [ObjectIdentifier: RequestConnection] = [:]
    private var senders: [ObjectIdentifier: SnapshotSender] = [:]
    private var serial: UInt64 = 0
    private var warnings: [String: NIODeadline] = [:]
    private var ticker: RepeatedTask?
    private var gatheredBytes = 0
    private var gatheredSnapshotBytes = 0
    private var hasReportedRemoval = false
    private(set) var isStopped = false

    init(loop: any EventLoop, settings: PeerTransport.Settings, events: PeerEvents) {
        self.loop = loop
        self.settings = settings
        self.events = events
        guard let version = ServerVersion(settings.serverVersion),
            let minimum = ServerVersion(settings.minimumClusterVersion)
        else { preconditionFailure("the member's own versions have the form major.minor.patch") }
        posted = PeerBacklog(byteLimit: settings.backlogBytes)
        identity = PeerIdentity(
            memberID: settings.memberID, clusterID: settings.clusterID, serverVersion: version,
            minimumClusterVersion: minimum)
        // etcd's: a second, and one election timeout.
        dialer = Dialer(
            loop: loop, names: HostNames(loop: loop), timeout: .milliseconds(1000 + settings.electionMilliseconds),
            tls: settings.dialler, localAddress: settings.localAddress)
        diskThreads.start()
        do {
            for path in try settings.snapshots.removeUnfinishedDatabases() {
                logger.info("removed an unfinished database", metadata: ["path": .string(path)])
            }
        } catch {
            logger.warning("failed to look for unfinished databases", metadata: ["error": .string("\(error)")])
        }
    }

    func start() {
        ticker = loop.scheduleRepeatedTask(initialDelay: Self.tickInterval, delay: Self.tickInterval) {
            [weak self] _ in self?.tick()
        }
    }

    private func tick() {
        let now = NIODeadline.now()
        for peer in peers.values { peer.tick(now) }
        for remote in remotes.values { remote.tick(now) }
        for sender in senders.values { sender.tick(now) }
        for connection in served.values { connection.tick(now) }
    }

    // MARK: Peers

    func setPeer(_ id: UInt64, urls: [String]) {
        guard !isStopped, id != settings.memberID else { return }
        if let peer = peers[id] {
            peer.setURLs(urls)
            return
        }
        remotes.removeValue(forKey: id)?.stop()
        let peer = Peer(id, urls: urls, core: self)
        peers[id] = peer
        board[id] = peer.status
        logger.info(
            "added remote peer",
            metadata: [
                "local-member-id": .string(identity.memberText), "remote-peer-id": .string(Identity.text(id)),
                "remote-peer-urls": .array(urls.map { .string($0) }),
            ])
        peer.start()
    }

    func dropPeer(_ id: UInt64) {
        remotes.removeValue(forKey: id)?.stop()
        guard let peer = peers.removeValue(forKey: id) else { return }
        peer.stop()
        board[id] = nil
        for sender in senders.values where sender.to == id { sender.finish(.stopped) }
        logger.info(
            "removed remote peer",
            metadata: [
                "local-member-id": .string(identity.memberText), "removed-remote-peer-id": .string(Identity.text(id)),
            ])
    }

    /// Keeps the URLs that an unknown sender tells, so that it can be answered before this member hears of it through
    /// the log: a member that has just joined must catch up with the log first.
    func noteSender(_ id: UInt64?, urls: [String]) {
        guard let id, id != 0, id != settings.memberID, !urls.isEmpty, peers[id] == nil, remotes[id] == nil,
            !removed.contains(id), remotes.count < Self.remoteLimit, !isStopped
        else { return }
        remotes[id] = Pipeline(id, picker: URLPicker(urls), core: self)
        logger.info(
            "added new remote peer",
            metadata: [
                "local-member-id": .string(identity.memberText), "remote-peer-id": .string(Identity.text(id)),
                "remote-peer-urls": .array(urls.map { .string($0) }),
            ])
    }

    // MARK: Sending

    func send(_ messages: [Message]) {
        for message in messages where message.to != 0 {
            if let peer = peers[message.to] {
                peer.send(message)
            } else if let remote = remotes[message.to] {
                remote.send(message)
            } else {
                logger.debug(
                    "ignored message send request; unknown remote peer target",
                    metadata: [
                        "type": .string("\(message.type)"),
                        "unknown-target-peer-id": .string(Identity.text(message.to)),
                    ])
            }
        }
    }

    /// Writes out what ``send(_:)`` put into the streams.
    func flush() {
        for peer in peers.values { peer.flush() }
    }

    func sendSnapshot(_ message: Message, _ database: BackendSnapshot) {
        let id = message.to
        guard let peer = peers[id], !isStopped, senders.count < Self.senderLimit else {
            return events.snapshotReported(id, false)
        }
        let metrics = settings.metrics
        let to = Identity.text(id)
        let start = NIODeadline.now()
        metrics.snapshotsBeingSent[to].add(1)
        let sender = SnapshotSender(message, database, picker: peer.picker, core: self) { [self] sender, error in
            metrics.snapshotsBeingSent[to].add(-1)
            if error == nil {
                metrics.snapshotsSent[to].add()
                let took = (NIODeadline.now() - start).nanoseconds
                metrics.snapshotSends[to].observe(nanoseconds: took)
                settings.diskMetrics.backendSnapshot.observe(nanoseconds: took)
            } else {
                metrics.snapshotSendFailures[to].add()
            }
            senders[ObjectIdentifier(sender)] = nil
            if let error {
                peers[id]?.deactivate("post a snapshot", error)
                peers[id]?.lost()
            } else {
                peers[id]?.activate()
            }
            if !isStopped { events.snapshotReported(id, error == nil) }
        }
        senders[ObjectIdentifier(sender)] = sender
        sender.start()
    }

    /// Tells apart databases that arrive at the same time.
    func nextSerial() -> UInt64 {
        serial += 1
        return serial
    }

    /// Another member says that this one was removed.
    func reportRemoval() {
        guard !hasReportedRemoval, !isStopped else { return }
        hasReportedRemoval = true
        logger.warning("the member has been permanently removed from the cluster")
        events.removed()
    }

    // MARK: Receiving

    /// Hands the messages that may reach Raft to the owner. They came as `bytes` and wait in `backlog`.
    func receive(_ messages: [Message], bytes: Int, in backlog: PeerBacklog) {
        guard !isStopped else { return }
        var admitted = messages
        if messages.contains(where: { refusal(of: $0) != nil }) {
            admitted = messages.filter { message in
                guard let refusal = refusal(of: message) else { return true }
                note(refusal, of: message)
                return false
            }
        }
        if !admitted.isEmpty { events.received(backlog.add(admitted, bytes: bytes)) }
    }

    /// Why `message` must not reach Raft by a stream or a post.
    func refusal(of message: Message) -> MessageRefusal? {
        if message.type == .snapshot { return .notForPeers(.snapshot) }
        return message.refusal(receiver: settings.memberID) { removed.contains($0) }
    }

    func note(_ refusal: MessageRefusal, of message: Message) {
        warn(
            "rejected Raft message", about: "\(message.from) \(message.type) \(refusal)",
            [
                "local-member-id": .string(identity.memberText), "message-type": .string("\(message.type)"),
                "from": .string(Identity.text(message.from)), "error": .string("\(refusal)"),
            ])
    }

    /// Warns of something that happens again and again, such as a stranger who asks for a stream ten times a second: once
    /// in ``warningInterval`` for each `subject`.
    func warn(_ text: Logger.Message, about subject: String, _ metadata: Logger.Metadata) {
        let now = NIODeadline.now()
        if let last = warnings[subject], now - last < Self.warningInterval { return }
        if warnings.count >= Self.warningLimit { warnings = warnings.filter { now - $0.value < Self.warningInterval } }
        // More subjects than that at a time are an attack, of which the first lines say enough.
        guard warnings.count < Self.warningLimit else { return }
        warnings[subject] = now
        logger.warning(text, metadata: metadata)
    }

    /// Someone was refused a stream or a post.
    func noteRefusal(_ refusal: PeerRefusal, _ headers: PeerHeaders) {
        let from = headers.from.map { Identity.text($0) } ?? "unknown"
        warn(
            "rejected a request of a peer", about: "\(from) \(refusal.text)",
            [
                "local-member-id": .string(identity.memberText),
                "local-member-cluster-id": .string(identity.clusterText),
                "remote-peer-id": .string(from),
                "remote-peer-cluster-id": .string(String(headers.clusterID.prefix(16))),
                "remote-peer-server-version": .string(String(headers.serverVersion.prefix(32))),
                "error": .string(refusal.text),
            ])
    }

    // MARK: Serving

    func serverBootstrap(_ tls: TLSListener?) -> ServerBootstrap {
        ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 1024)
            .pausingWhenExhausted()
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let tls else { return try setUp(channel) }
                    try tls.secure(
                        channel, secured: { [self] _ in try setUp(channel) },
                        refused: { [self] reason in rejected(channel, reason) })
                }
            }
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.recvAllocator, value: Dialer.receiveBuffers)
    }

    private func setUp(_ channel: any Channel) throws {
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withPipeliningAssistance: false, withErrorHandling: true)
        try channel.pipeline.syncOperations.addHandler(ServerConnection(core: self))
    }

    private func rejected(_ channel: any Channel, _ reason: String) {
        let address = channel.remoteAddress
        warn(
            "rejected connection on peer endpoint", about: "\(address?.ipAddress ?? "") \(reason)",
            [
                "remote-addr": .string(address.map { "\($0.ipAddress ?? ""):\($0.port ?? 0)" } ?? ""),
                "error": .string(reason),
            ])
    }

    func listens(on channel: any Channel) {
        listeners.append(channel)
        if isStopped { channel.close(promise: nil) }
    }

    /// Counts a connection that was accepted; false when it is one too many. Before that, one on which nobody has been heard
    /// for longest goes, so that strangers who connect and wait do not keep members out.
    func opened(_ connection: ServerConnection) -> Bool {
        guard !isStopped else { return false }
        if served.count >= settings.connectionLimit {
            let idle = served.values.filter(\.mayGo)
            guard let oldest = idle.min(by: { $0.lastRead < $1.lastRead }) else { return false }
            closed(oldest)
            oldest.close()
        }
        served[ObjectIdentifier(connection)] = connection
        return true
    }

    func closed(_ connection: ServerConnection) {
        served[ObjectIdentifier(connection)] = nil
    }

    /// Takes room for `count` more bytes of bodies; false when there is none.
    func gather(_ count: Int) -> Bool {
        guard gatheredBytes + count <= Self.bodyBudget else { return false }
        gatheredBytes += count
        return true
    }

    func release(_ count: Int) {
        gatheredBytes -= count
    }

    /// Takes room for `count` more bytes of the messages of snapshots; false when there is none.
    func gatherSnapshotMessage(_ count: Int) -> Bool {
        guard gatheredSnapshotBytes + count <= Self.snapshotMessageBudget else { return false }
        gatheredSnapshotBytes += count
        return true
    }

    func releaseSnapshotMessage(_ count: Int) {
        gatheredSnapshotBytes -= count
    }

    // MARK: Requests apart from Raft's traffic

    func request(
        _ request: PeerRequest, urls: ArraySlice<String>, timeout: TimeAmount,
        completion: @escaping @Sendable (Result<PeerResponse, any Error>) -> Void
    ) {
        guard !isStopped else { return completion(.failure(TransportError.stopped)) }
        guard let text = urls.first else { return completion(.failure(TransportError.noURL)) }
        let rest = urls.dropFirst()
        let failed: @Sendable (any Error) -> Void = { error in
            if rest.isEmpty { return completion(.failure(error)) }
            self.request(request, urls: rest, timeout: timeout, completion: completion)
        }
        let url: ServiceURL
        do {
            url = try ServiceURL(parsing: text)
        } catch {
            return failed(TransportError.url(error.description))
        }
        let connection = RequestConnection(dialer: dialer)
        requests[ObjectIdentifier(connection)] = connection
        var headers = HTTPHeaders(to: url)
        for (name, value) in request.headers { headers.add(name: name, value: value) }
        headers.add(name: "Connection", value: "close")
        let question = RequestConnection.Question(
            method: HTTPMethod(rawValue: request.method), path: request.target, headers: headers,
            body: request.body.isEmpty ? nil : ByteBuffer(bytes: request.body), answerLimit: Self.answerLimit,
            timeout: timeout)
        connection.ask(question, at: url) { result in
            self.requests[ObjectIdentifier(connection)] = nil
            connection.close()
            switch result {
            case .success(let answer):
                completion(
                    .success(
                        PeerResponse(
                            status: Int(answer.status),
                            headers: answer.headers.map { ($0.name.lowercased(), $0.value) },
                            body: Array(answer.body.readableBytesView))))
            case .failure(let error): failed(error)
            }
        }
    }

    // MARK: Ending

    func stop() -> EventLoopFuture<Void> {
        guard !isStopped else { return loop.makeSucceededVoidFuture() }
        isStopped = true
        ticker?.cancel()
        var endings = listeners.map { $0.close() }
        for connection in served.values { endings.append(connection.close()) }
        for peer in peers.values { peer.stop() }
        for remote in remotes.values { remote.stop() }
        for sender in senders.values { sender.finish(.stopped) }
        for request in requests.values { request.close() }
        dialer.names.stop()
        (listeners, peers, remotes, requests) = ([], [:], [:], [:])
        return EventLoopFuture.andAllComplete(endings, on: loop).flatMap { [self] in
            let promise = loop.makePromise(of: Void.self)
            diskThreads.shutdownGracefully { _ in promise.succeed() }
            return promise.futureResult
        }
    }
}
