import RaftMessages

/// The addresses of a member's own storage workers, used with asynchronous storage writes.
public enum LocalThread {
    /// Appends entries, hard state and snapshots to stable storage.
    public static let append = UInt64.max
    /// Applies committed entries to the state machine.
    public static let apply = UInt64.max - 1

    /// Whether `id` names one of the workers and not a member.
    public static func isLocal(_ id: UInt64) -> Bool { id == append || id == apply }
}

extension MessageType {
    /// Whether messages of this type never come from another member.
    public var isLocal: Bool {
        switch self {
        case .hup, .beat, .unreachable, .snapshotStatus, .checkQuorum, .storageAppend, .storageAppendResponse,
            .storageApply, .storageApplyResponse:
            true
        default: false
        }
    }

    /// Whether messages of this type answer another.
    public var isResponse: Bool {
        switch self {
        case .appendResponse, .voteResponse, .heartbeatResponse, .unreachable, .readIndexResponse, .preVoteResponse,
            .storageAppendResponse, .storageApplyResponse:
            true
        default: false
        }
    }

    /// Etcd's name of the type, which its logs and transcripts use.
    public var name: String {
        switch self {
        case .hup: "MsgHup"
        case .beat: "MsgBeat"
        case .propose: "MsgProp"
        case .append: "MsgApp"
        case .appendResponse: "MsgAppResp"
        case .vote: "MsgVote"
        case .voteResponse: "MsgVoteResp"
        case .snapshot: "MsgSnap"
        case .heartbeat: "MsgHeartbeat"
        case .heartbeatResponse: "MsgHeartbeatResp"
        case .unreachable: "MsgUnreachable"
        case .snapshotStatus: "MsgSnapStatus"
        case .checkQuorum: "MsgCheckQuorum"
        case .transferLeader: "MsgTransferLeader"
        case .timeoutNow: "MsgTimeoutNow"
        case .readIndex: "MsgReadIndex"
        case .readIndexResponse: "MsgReadIndexResp"
        case .preVote: "MsgPreVote"
        case .preVoteResponse: "MsgPreVoteResp"
        case .storageAppend: "MsgStorageAppend"
        case .storageAppendResponse: "MsgStorageAppendResp"
        case .storageApply: "MsgStorageApply"
        case .storageApplyResponse: "MsgStorageApplyResp"
        case .forgetLeader: "MsgForgetLeader"
        }
    }
}

extension UInt64 {
    /// The number in lower-case hexadecimal, as etcd writes member ids.
    var hex: String { String(self, radix: 16) }
}
