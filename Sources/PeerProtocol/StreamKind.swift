import RaftMessages

/// The two streams of messages from one member to another. The receiver opens each by a GET, and the sender answers with
/// a body that does not end.
public enum StreamKind: Sendable, Hashable, CaseIterable {
    /// Appends alone, in the form that etcd calls `msgappv2`: an append that goes on where the one before ended is its
    /// entries and the commit index.
    case appends
    /// Messages of every type.
    case messages

    /// The path that a receiver asks for, before its id.
    public var path: String {
        switch self {
        case .appends: "/raft/stream/msgapp"
        case .messages: "/raft/stream/message"
        }
    }

    /// etcd's name of the stream, for log lines.
    public var name: String {
        switch self {
        case .appends: "stream MsgApp v2"
        case .messages: "stream Message"
        }
    }
}

/// The first byte of each frame of a stream of appends.
enum AppendFrame {
    static let linkHeartbeat: UInt8 = 0
    static let entries: UInt8 = 1
    static let message: UInt8 = 2
}

/// The bounds of what a peer may send.
public enum PeerLimit {
    /// The longest message on a stream, in bytes: etcd's.
    public static let message = 512 << 20
    /// The longest message that is posted on its own, in bytes. Appends carry 512 KiB, or one entry if that is larger.
    public static let postedMessage = 64 << 20
    /// The most entries in one frame, as in a message.
    public static let entries = Message.largestEntryCount
}
