/// The names of the headers of the peer protocol, as etcd writes them.
public enum PeerHeader {
    public static let clusterID = "X-Etcd-Cluster-ID"
    public static let serverFrom = "X-Server-From"
    public static let serverVersion = "X-Server-Version"
    public static let minimumClusterVersion = "X-Min-Cluster-Version"
    public static let raftTo = "X-Raft-To"
    public static let peerURLs = "X-PeerURLs"
    /// A trailer of a posted snapshot: the SHA-256 of the database in hexadecimal digits. Members of etcd neither send it
    /// nor mind it.
    public static let databaseSHA256 = "X-Database-SHA256"
}

/// What the headers of a request say about its sender.
public struct PeerHeaders: Sendable {
    public var clusterID: String
    public var serverVersion: String
    public var minimumClusterVersion: String
    /// The sender's id, if it tells one.
    public var from: UInt64?
    /// The id that the sender takes this member for, as text.
    public var raftTo: String
    /// Where the sender is reached; empty when it does not tell.
    public var peerURLs: [String]

    /// Reads the headers through `value`, which finds a header by name in any case.
    public init(_ value: (String) -> String?) {
        clusterID = value(PeerHeader.clusterID) ?? ""
        serverVersion = value(PeerHeader.serverVersion) ?? ServerVersion.untold
        minimumClusterVersion = value(PeerHeader.minimumClusterVersion) ?? ServerVersion.untold
        from = value(PeerHeader.serverFrom).flatMap { Self.id($0) }
        raftTo = value(PeerHeader.raftTo) ?? ""
        peerURLs = (value(PeerHeader.peerURLs) ?? "").split(separator: ",").map(String.init)
    }

    /// A member's id from hexadecimal digits.
    public static func id(_ text: some StringProtocol) -> UInt64? {
        guard (1...16).contains(text.utf8.count), text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }) else { return nil }
        return UInt64(text, radix: 16)
    }
}

/// A refusal of a request: the status and the text, without the newline that ends it on the wire.
public struct PeerRefusal: Equatable, Sendable {
    public var status: Int
    public var text: String

    /// A refusal with `status` that says `text`.
    public init(status: Int, text: String) {
        self.status = status
        self.text = text
    }

    public static let incompatibleVersion = PeerRefusal(status: 412, text: "incompatible version")
    public static let clusterMismatch = PeerRefusal(status: 412, text: "cluster ID mismatch")
    public static let receiverMismatch = PeerRefusal(status: 412, text: "to field mismatch")
    public static let invalidPath = PeerRefusal(status: 404, text: "invalid path")
    public static let invalidSender = PeerRefusal(status: 404, text: "invalid from")
    public static let unknownSender = PeerRefusal(status: 404, text: "error sender not found")
    public static let removedMember = PeerRefusal(status: 410, text: "removed member")
    public static let methodNotAllowed = PeerRefusal(status: 405, text: "Method Not Allowed")
    public static let unreadable = PeerRefusal(status: 400, text: "error reading raft message")
    public static let undecodable = PeerRefusal(status: 400, text: "error unmarshalling raft message")
    public static let notProcessed = PeerRefusal(status: 500, text: "error processing raft message")
    public static let wrongMessageType = PeerRefusal(status: 400, text: "wrong raft message type")

    /// What a removed member is told that posts a message. A member of etcd that hears it stops.
    public static let removedSender = "cannot process message from removed member"
}

/// What a member tells of itself, and by which it judges others.
public struct PeerIdentity: Sendable {
    public var memberID: UInt64
    public var clusterID: UInt64
    public var serverVersion: ServerVersion
    public var minimumClusterVersion: ServerVersion

    /// A member of a cluster.
    public init(
        memberID: UInt64, clusterID: UInt64, serverVersion: ServerVersion, minimumClusterVersion: ServerVersion
    ) {
        self.memberID = memberID
        self.clusterID = clusterID
        self.serverVersion = serverVersion
        self.minimumClusterVersion = minimumClusterVersion
    }

    /// The cluster's id as text.
    public var clusterText: String { String(clusterID, radix: 16) }
    /// The member's id as text.
    public var memberText: String { String(memberID, radix: 16) }

    /// Why a request with `headers` is refused; nil when its sender is of this cluster and its version and this one's get
    /// along.
    public func refusal(of headers: PeerHeaders) -> PeerRefusal? {
        guard let server = ServerVersion(headers.serverVersion),
            let minimum = ServerVersion(headers.minimumClusterVersion),
            !server.isEarlierRelease(than: minimumClusterVersion), !serverVersion.isEarlierRelease(than: minimum)
        else { return .incompatibleVersion }
        return headers.clusterID == clusterText ? nil : .clusterMismatch
    }
}

/// What the path of a request for a stream names.
public enum StreamTarget: Equatable, Sendable {
    case stream(StreamKind, UInt64)
    case refused(PeerRefusal)

    /// Reads `path`, which begins with `/raft/stream/`.
    public init(path: String) {
        guard let slash = path.lastIndex(of: "/"),
            let kind = StreamKind.allCases.first(where: { $0.path == path[..<slash] })
        else {
            self = .refused(.invalidPath)
            return
        }
        if let id = PeerHeaders.id(path[path.index(after: slash)...]) {
            self = .stream(kind, id)
        } else {
            self = .refused(.invalidSender)
        }
    }
}
