import RaftMessages

extension Message {
    /// The ids that a member's own storage threads have in Raft's messages. No member has them.
    private static let localThreads: ClosedRange<UInt64> = (.max - 1)...UInt64.max

    /// Why this message, which came over the network to the member `receiver`, must not reach Raft; nil when it may.
    /// Snapshots come by a way of their own, because a database belongs to each.
    public func refusal(receiver: UInt64, isRemoved: (UInt64) -> Bool) -> MessageRefusal? {
        switch type {
        case .hup, .beat, .unreachable, .snapshotStatus, .checkQuorum, .storageAppend, .storageAppendResponse,
            .storageApply, .storageApplyResponse, .forgetLeader:
            return .notForPeers(type)
        default: break
        }
        if from == 0 || Self.localThreads.contains(from) { return .notAMember(from) }
        // A member's own acknowledgements do not travel. What others pass on to a leader bears the name of whom it came from,
        // who may lead by now.
        if from == receiver && ![.propose, .readIndex, .transferLeader].contains(type) { return .notAMember(from) }
        if isRemoved(from) { return .removedSender }
        if to != receiver { return .otherReceiver(to) }
        if !responses.isEmpty { return .notForPeers(type) }
        return hasConsecutiveEntries ? nil : .entriesOutOfOrder
    }

    /// The entries of an append follow each other and the entry that it names. Those of a proposal have no index yet.
    private var hasConsecutiveEntries: Bool {
        guard type == .append else { return true }
        guard index <= .max - UInt64(entries.count) else { return false }
        var previous = (index: index, term: logTerm)
        for entry in entries {
            guard entry.index == previous.index + 1, entry.term >= previous.term, entry.term <= term else {
                return false
            }
            previous = (entry.index, entry.term)
        }
        return true
    }
}

/// Why a message from the network does not reach Raft.
public enum MessageRefusal: Equatable, Sendable, CustomStringConvertible {
    /// A kind of message that a member sends to itself alone.
    case notForPeers(MessageType)
    /// A sender's id that no other member has.
    case notAMember(UInt64)
    /// The sender was removed from the cluster.
    case removedSender
    /// The message is for another member.
    case otherReceiver(UInt64)
    /// An append whose entries do not follow each other.
    case entriesOutOfOrder

    public var description: String {
        switch self {
        case .notForPeers(let type): "a message of type \(type) does not travel between members"
        case .notAMember(let id): "the sender's id \(String(id, radix: 16)) is no other member's"
        case .removedSender: "the sender was removed from the cluster"
        case .otherReceiver(let id): "the message is for member \(String(id, radix: 16))"
        case .entriesOutOfOrder: "the entries of an append do not follow each other"
        }
    }
}
