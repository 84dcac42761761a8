import Logging
import Membership
import Metrics
import NIOCore
import NIOHTTP1
import PeerProtocol
import RaftMessages

/// Everything between this member and one other. Belongs to the event loop.
///
/// Messages to the peer go by the streams that it has opened, or, while it has opened none, by posts. Messages from it
/// come by the streams that this member opens.
final class Peer {
    let id: UInt64
    let core: TransportCore
    let picker: URLPicker
    private(set) var status = PeerStatus()
    private let metrics: PeerMetrics
    private let appends: StreamWriter
    private let messages: StreamWriter
    private var readers: [StreamReader] = []
    private let pipeline: Pipeline
    private let prober: Prober

    init(_ id: UInt64, urls: [String], core: TransportCore) {
        self.id = id
        self.core = core
        picker = URLPicker(urls)
        metrics = core.settings.metrics.peer(Identity.text(id), local: core.identity.memberText)
        appends = StreamWriter(.appends, to: id, core: core)
        messages = StreamWriter(.messages, to: id, core: core)
        pipeline = Pipeline(id, picker: picker, core: core)
        prober = Prober(id, picker: picker, core: core)
        readers = StreamKind.allCases.map { StreamReader($0, from: self) }
    }

    func start() {
        for reader in readers { reader.dial() }
    }

    func stop() {
        for reader in readers { reader.stop() }
        appends.stop()
        messages.stop()
        pipeline.stop()
        prober.stop()
        metrics.active.set(0)
    }

    func setURLs(_ urls: [String]) {
        picker.update(urls)
    }

    func tick(_ now: NIODeadline) {
        for reader in readers { reader.tick(now) }
        appends.tick(now)
        messages.tick(now)
        pipeline.tick(now)
        prober.tick(now)
        post()
    }

    /// Shows the peer's state to other threads.
    private func post() {
        status.streamsOut = [appends, messages].count { $0.isOpen }
        status.streamsIn = readers.count { $0.isOpen }
        core.board[id] = status
    }

    /// A stream was opened or has ended.
    func streamsChanged() { if core.peers[id] === self { post() } }

    // MARK: Sending

    /// Puts `message` on its way, by ``flush()`` at the latest. Appends have a stream of their own, so that heartbeats
    /// and votes do not wait behind them.
    func send(_ message: Message) {
        if message.type == .snapshot {
            // Its database is missing; snapshots come by sendSnapshot.
            core.events.snapshotReported(id, false)
        } else if message.type == .append, appends.isOpen {
            appends.send(message)
        } else if messages.isOpen {
            messages.send(message)
        } else {
            pipeline.send(message)
        }
    }

    func flush() {
        appends.flush()
        messages.flush()
    }

    /// The peer has opened one of its streams.
    func attach(_ connection: ServerConnection, _ kind: StreamKind) {
        (kind == .appends ? appends : messages).attach(connection)
        activate()
    }

    // MARK: Whether the peer is there

    func activate() {
        guard status.activeSince == nil else { return }
        status.activeSince = Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000)
        metrics.active.set(1)
        post()
        core.logger.info("peer became active", metadata: ["peer-id": .string(Identity.text(id))])
    }

    func deactivate(_ what: String, _ reason: any Error) {
        guard status.activeSince != nil else { return }
        status.activeSince = nil
        metrics.active.set(0)
        metrics.disconnections.add()
        post()
        core.logger.warning(
            "peer became inactive (message send to peer failed)",
            metadata: ["peer-id": .string(Identity.text(id)), "error": .string("failed to \(what): \(reason)")])
    }

    /// Says why the peer cannot be reached, but not at each of ten attempts a second.
    func complain(_ reason: TransportError) {
        core.warn(
            "prober detected unhealthy status", about: "\(id) \(reason)",
            ["remote-peer-id": .string(Identity.text(id)), "error": .string("\(reason)")])
    }

    /// A message to the peer was lost.
    func lost(_ count: Int = 1) {
        status.sendFailures += UInt64(count)
        metrics.sendFailures.add(count)
        core.events.unreachable(id)
    }

    func sent(_ bytes: Int) {
        status.sentBytes += UInt64(bytes)
        metrics.bytesSent.add(bytes)
    }

    func received(_ bytes: Int) {
        status.receivedBytes += UInt64(bytes)
        metrics.bytesReceived.add(bytes)
    }

    /// Something came that is no message, or that must not be taken.
    func receiveFailed() { metrics.receiveFailures.add() }

    func probed(_ roundTrip: Int64, drift: Int64) {
        status.roundTripNanoseconds = roundTrip
        metrics.roundTrips.observe(nanoseconds: roundTrip)
        status.clockDriftNanoseconds = drift
    }
}

extension TransportCore {
    /// The headers of a request to a member at `url`.
    func headers(to url: ServiceURL) -> HTTPHeaders {
        var headers = HTTPHeaders(to: url)
        headers.add(name: PeerHeader.serverFrom, value: identity.memberText)
        headers.add(name: PeerHeader.serverVersion, value: settings.serverVersion)
        headers.add(name: PeerHeader.minimumClusterVersion, value: settings.minimumClusterVersion)
        headers.add(name: PeerHeader.clusterID, value: identity.clusterText)
        if !settings.advertisedPeerURLs.isEmpty {
            headers.add(name: PeerHeader.peerURLs, value: settings.advertisedPeerURLs.joined(separator: ","))
        }
        return headers
    }
}

/// etcd's timeouts of connections between members.
enum PeerTimeout {
    /// Silence after which a stream gets a heartbeat. Ticks come twice a second, so it goes out within etcd's 5/3 s.
    static let linkHeartbeat = TimeAmount.seconds(1)
    /// From a failed attempt to open a stream to the next, as in etcd; and from one that has no answer to the next, which
    /// is about how long a connection takes from the moment that the network is there again.
    static let redial = TimeAmount.milliseconds(100)
    static let nextAttempt = TimeAmount.milliseconds(300)
    /// Silence on an open stream after which another is asked for: etcd's heartbeats of the link come every 1.7 s.
    static let suspiciousSilence = TimeAmount.milliseconds(2500)
    /// From one probe to the next.
    static let probe = TimeAmount.seconds(4)
    /// Silence after which a connection that is between two posts is closed: before etcd's five seconds.
    static let idlePost = TimeAmount.seconds(3)
    /// Silence of one who has connected to this member and owes it bytes.
    static let idleRequest = TimeAmount.seconds(30)
}
