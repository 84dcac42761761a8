import RaftMessages

/// What the transport tells its owner. Any thread.
public struct PeerEvents: Sendable {
    /// Messages from peers, in the order of each stream. Until they are said to be taken they count against what may wait.
    public var received: @Sendable (ReceivedMessages) -> Void
    /// A message to this peer could not be delivered.
    public var unreachable: @Sendable (UInt64) -> Void
    /// Nothing listens any more where this peer was: its process has ended. Told at each attempt to reach it.
    public var gone: @Sendable (UInt64) -> Void
    /// What became of a snapshot to a peer.
    public var snapshotReported: @Sendable (_ to: UInt64, _ succeeded: Bool) -> Void
    /// A peer says that this member was removed from the cluster.
    public var removed: @Sendable () -> Void
    /// A request on the peer port that is none of the transport's own.
    public var request: @Sendable (PeerCall) -> Void

    /// Events that go to these closures.
    public init(
        received: @escaping @Sendable (ReceivedMessages) -> Void, unreachable: @escaping @Sendable (UInt64) -> Void,
        gone: @escaping @Sendable (UInt64) -> Void = { _ in },
        snapshotReported: @escaping @Sendable (UInt64, Bool) -> Void, removed: @escaping @Sendable () -> Void,
        request: @escaping @Sendable (PeerCall) -> Void
    ) {
        self.received = received
        self.unreachable = unreachable
        self.gone = gone
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
