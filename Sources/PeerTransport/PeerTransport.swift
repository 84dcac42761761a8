import Backend
import Disk
import Logging
import NIOCore
import RaftMessages
import WriteAheadLog

/// The way between this member and the others: etcd's peer protocol over HTTP on the peer port.
///
/// Everything public may be called on any thread, and nothing waits. What comes from others is told through
/// ``PeerEvents``, on threads of the transport.
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

        /// The settings of a member of a cluster.
        public init(
            memberID: UInt64, clusterID: UInt64, serverVersion: String, advertisedPeerURLs: [String],
            electionMilliseconds: Int64, snapshots: SnapshotDirectory, logger: Logger
        ) {
            self.memberID = memberID
            self.clusterID = clusterID
            self.serverVersion = serverVersion
            self.advertisedPeerURLs = advertisedPeerURLs
            self.electionMilliseconds = electionMilliseconds
            self.snapshots = snapshots
            self.logger = logger
        }
    }

    /// A transport without peers that does not listen yet.
    public init(group: any EventLoopGroup, settings: Settings, events: PeerEvents) {}

    /// Serves the peer protocol on the listening socket `descriptor`.
    public func accept(from descriptor: CInt) async throws {}

    /// Adds the peer `id`, or tells its new URLs.
    public func setPeer(_ id: UInt64, urls: [String]) {}

    /// Ends the connections to `id` and refuses it from now on.
    public func removePeer(_ id: UInt64) {}

    /// Ends the connections to all peers but `ids`, without refusing them when they come back.
    public func keepOnlyPeers(_ ids: Set<UInt64>) {}

    /// The ids that are refused since they were removed from the cluster.
    public func setRemoved(_ ids: Set<UInt64>) {}

    /// Sends each message to the peer that it is for. What cannot be sent is dropped and reported as unreachable.
    public func send(_ messages: [Message]) {}

    /// Sends a snapshot message and the database that goes with it; ``PeerEvents/snapshotReported`` tells its fate.
    public func sendSnapshot(_ message: Message, _ database: BackendSnapshot) {}

    /// Since when the peer `id` has been connected without a break, in milliseconds of the monotonic clock; nil when it
    /// is not.
    public func activeSince(_ id: UInt64) -> Int64? { nil }

    /// Asks a member, at the first of `urls` that answers, within `timeout`.
    public func request(
        _ request: PeerRequest, urls: [String], timeout: TimeAmount
    ) async throws -> PeerResponse {
        PeerResponse(status: 503)
    }

    /// Ends all connections.
    public func stop() async {}
}

/// What the transport tells its owner. Any thread.
public struct PeerEvents: Sendable {
    /// Messages from peers, in the order of each stream.
    public var received: @Sendable ([Message]) -> Void
    /// A message to this peer could not be delivered.
    public var unreachable: @Sendable (UInt64) -> Void
    /// What became of a snapshot to a peer.
    public var snapshotReported: @Sendable (_ to: UInt64, _ succeeded: Bool) -> Void
    /// A peer says that this member was removed from the cluster.
    public var removed: @Sendable () -> Void
    /// A request on the peer port that is none of the transport's own.
    public var request: @Sendable (PeerCall) -> Void

    /// Events that go to these closures.
    public init(
        received: @escaping @Sendable ([Message]) -> Void, unreachable: @escaping @Sendable (UInt64) -> Void,
        snapshotReported: @escaping @Sendable (UInt64, Bool) -> Void, removed: @escaping @Sendable () -> Void,
        request: @escaping @Sendable (PeerCall) -> Void
    ) {
        self.received = received
        self.unreachable = unreachable
        self.snapshotReported = snapshotReported
        self.removed = removed
        self.request = request
    }
}

/// A request of one member to another apart from Raft's traffic.
public struct PeerRequest: Sendable {
    public var method: String
    /// The path with its query.
    public var target: String
    /// Names are in lower case.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    /// A request for `target`.
    public init(
        _ method: String, _ target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = []
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
    }

    /// The path without the query.
    public var path: String { String(target.prefix { $0 != "?" }) }
}

/// The answer to a ``PeerRequest``.
public struct PeerResponse: Sendable {
    public var status: Int
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    /// A response of `status`.
    public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A response that says `text`.
    public init(status: Int, text: String) {
        self.init(
            status: status,
            headers: [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")],
            body: Array(text.utf8))
    }
}

/// A request that waits for its answer.
public struct PeerCall: Sendable {
    public var request: PeerRequest
    /// Answers, once. Any thread.
    public var respond: @Sendable (PeerResponse) -> Void

    /// A call that `respond` answers.
    public init(_ request: PeerRequest, respond: @escaping @Sendable (PeerResponse) -> Void) {
        self.request = request
        self.respond = respond
    }
}
