import Backend
import Logging
import Metrics
import NIOCore
import NIOPosix
import PeerProtocol
import RaftMessages
import Synchronization
import TLS
import WriteAheadLog

/// The way between this member and the others: etcd's peer protocol over HTTP on the peer port.
///
/// Everything public may be called on any thread, and nothing waits. What comes from others is told through
/// ``PeerEvents``, on the transport's event loop or on threads of its own.
///
/// All connections to and from members live on one event loop, so that nothing in here needs a lock. What other threads
/// ask for goes through one box, in order; the loop is woken once however much is put there before it comes to look.
public final class PeerTransport: Sendable {
    /// What the transport is, fixed for its life.
    public struct Settings: Sendable {
        public var memberID: UInt64
        public var clusterID: UInt64
        /// The version that other members are told.
        public var serverVersion: String
        /// The oldest version that this member talks to.
        public var minimumClusterVersion = "3.0.0"
        /// Where others reach this member, so that one who does not know it yet can answer.
        public var advertisedPeerURLs: [String]
        /// The election timeout, by which connecting is limited, in milliseconds.
        public var electionMilliseconds: Int64
        /// Where databases that arrive are put.
        public var snapshots: SnapshotDirectory
        public var logger: Logger
        /// What is counted of the traffic, and timed of databases that arrive.
        let metrics: NetworkMetrics
        let diskMetrics: DiskMetrics
        /// TLS for peers whose URLs ask for it.
        public var dialler: TLSDialler?
        /// The address that connections to other members come from; nil for the system's choice.
        public var localAddress: String?
        /// Silence on a stream after which it is broken, in milliseconds; etcd's is three of its heartbeats.
        public var readTimeout: Int64 = 5000
        /// Time in which a stream must take some of what waits for it, in milliseconds.
        public var writeTimeout: Int64 = 5000
        /// Connections from others at a time: each member has a handful, and the rest are strangers.
        public var connectionLimit = 1024
        /// Bytes that have come on one way and that the owner has not taken, above which that way is not read.
        public var backlogBytes = PeerBacklog.byteLimit

        /// The settings of a member of a cluster.
        public init(
            memberID: UInt64, clusterID: UInt64, serverVersion: String, advertisedPeerURLs: [String],
            electionMilliseconds: Int64, snapshots: SnapshotDirectory, logger: Logger, dialler: TLSDialler? = nil,
            metrics: MemberMetrics = MemberMetrics()
        ) {
            self.memberID = memberID
            self.clusterID = clusterID
            self.serverVersion = serverVersion
            self.advertisedPeerURLs = advertisedPeerURLs
            self.electionMilliseconds = electionMilliseconds
            self.snapshots = snapshots
            self.logger = logger
            self.dialler = dialler
            self.metrics = metrics.network
            diskMetrics = metrics.disk
        }
    }

    private enum Order: Sendable {
        case send([Message])
        case perform(@Sendable (TransportCore) -> Void)
    }

    private struct Box {
        var orders: [Order] = []
        var isLoopWoken = false
        /// The event loop may be gone, so nothing is put here any more.
        var isStopped = false
    }

    private let core: TransportCore
    private let box = Mutex(Box())

    /// A transport without peers that does not listen yet. It takes one event loop of `group`; one that serves nothing
    /// else keeps heartbeats from waiting for clients.
    public init(group: any EventLoopGroup, settings: Settings, events: PeerEvents) {
        core = TransportCore(loop: group.next(), settings: settings, events: events)
        core.loop.execute { [core] in core.start() }
    }

    /// Leaves `order` for the event loop; false when the transport has stopped. The loop is woken under the lock, so that it
    /// is not once the transport has stopped.
    @discardableResult
    private func put(_ order: Order, isLast: Bool = false) -> Bool {
        box.withLock { box in
            if box.isStopped { return false }
            box.orders.append(order)
            box.isStopped = isLast
            if !box.isLoopWoken {
                box.isLoopWoken = true
                core.loop.execute { self.drain() }
            }
            return true
        }
    }

    private func drain() {
        let orders = box.withLock { box in
            var taken: [Order] = []
            swap(&taken, &box.orders)
            box.isLoopWoken = false
            return taken
        }
        for order in orders {
            switch order {
            case .send(let messages): core.send(messages)
            case .perform(let work): work(core)
            }
        }
        core.flush()
    }

    /// Serves the peer protocol on the listening socket `descriptor`, which it closes in the end; over TLS when `tls` is
    /// given.
    public func accept(from descriptor: CInt, tls: TLSListener? = nil) async throws {
        let channel = try await core.serverBootstrap(tls).withBoundSocket(descriptor).get()
        if !put(.perform { $0.listens(on: channel) }) { try await channel.close() }
    }

    /// Adds the peer `id`, or tells its new URLs.
    public func setPeer(_ id: UInt64, urls: [String]) {
        put(.perform { $0.setPeer(id, urls: urls) })
    }

    /// Ends the connections to `id` and refuses it from now on.
    public func removePeer(_ id: UInt64) {
        put(
            .perform {
                $0.dropPeer(id)
                $0.removed.insert(id)
            })
    }

    /// Ends the connections to all peers but `ids`, without refusing them when they come back.
    public func keepOnlyPeers(_ ids: Set<UInt64>) {
        put(.perform { core in for id in core.peers.keys where !ids.contains(id) { core.dropPeer(id) } })
    }

    /// The ids that are refused since they were removed from the cluster.
    public func setRemoved(_ ids: Set<UInt64>) {
        put(.perform { $0.removed = ids })
    }

    /// Sends each message to the peer that it is for. What cannot be sent is dropped and reported as unreachable.
    public func send(_ messages: [Message]) {
        if !messages.isEmpty { put(.send(messages)) }
    }

    /// Sends a snapshot message and the database that goes with it; ``PeerEvents/snapshotReported`` tells its fate.
    public func sendSnapshot(_ message: Message, _ database: BackendSnapshot) {
        put(.perform { $0.sendSnapshot(message, database) })
    }

    /// Since when the peer `id` has been connected without a break, in milliseconds of the monotonic clock; nil when it
    /// is not.
    public func activeSince(_ id: UInt64) -> Int64? { core.board[id]?.activeSince }

    /// What is known of each peer's connections.
    public var statuses: [UInt64: PeerStatus] { core.board.all }

    /// Asks a member, at the first of `urls` that answers, within `timeout` for each.
    public func request(
        _ request: PeerRequest, urls: [String], timeout: TimeAmount
    ) async throws -> PeerResponse {
        try await withCheckedThrowingContinuation { continuation in
            let isTaken = put(
                .perform { core in
                    core.request(request, urls: urls[...], timeout: timeout) { continuation.resume(with: $0) }
                })
            if !isTaken { continuation.resume(throwing: TransportError.stopped) }
        }
    }

    /// Ends all connections. What is asked for afterwards does not happen.
    public func stop() async {
        await withCheckedContinuation { continuation in
            let isFirst = put(
                .perform { core in core.stop().whenComplete { _ in continuation.resume() } }, isLast: true)
            if !isFirst { continuation.resume() }
        }
    }
}
