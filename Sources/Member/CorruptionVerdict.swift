import MVCC

/// What a member said of its data.
public struct MemberHash: Equatable, Sendable {
    public var memberID: UInt64
    public var hash: UInt32
    /// The compacted revision that the hash started from.
    public var compactRevision: Int64
    /// The member's revision when it was asked.
    public var currentRevision: Int64

    /// A member's answer.
    public init(memberID: UInt64, hash: UInt32, compactRevision: Int64, currentRevision: Int64) {
        self.memberID = memberID
        self.hash = hash
        self.compactRevision = compactRevision
        self.currentRevision = currentRevision
    }
}

/// What the hashes of several members say of their data. Hashes compare only where both start from one compaction.
public enum CorruptionVerdict {
    /// The members whose data differs from `own`, which was hashed at the same revision; a member asks before it serves.
    public static func differing(from own: RevisionHash, _ peers: [MemberHash]) -> [UInt64] {
        peers.filter { $0.compactRevision == own.compactRevision && $0.hash != own.hash }.map(\.memberID)
    }

    /// The member that must be wrong, after the leader hashed its data (`before`), asked its peers at the same revision,
    /// confirmed that it leads, and hashed again (`after`); nil when none is.
    public static func wrongMember(
        leader: UInt64, before: RevisionHash, after: RevisionHash, _ peers: [MemberHash]
    ) -> UInt64? {
        if before.revision == after.revision && before.compactRevision == after.compactRevision
            && before.hash != after.hash
        {
            return leader
        }
        let wrong = peers.first { peer in
            // Nobody is ahead of what the leader has applied after it confirmed that it leads.
            peer.currentRevision > after.currentRevision || peer.compactRevision > after.compactRevision
                || (peer.compactRevision == before.compactRevision && peer.hash != before.hash)
        }
        return wrong?.memberID
    }

    /// What comes of comparing the hashes of one compaction.
    public enum Compaction: Equatable, Sendable {
        /// All members have the leader's hash.
        case equal
        /// Those that could be compared have it; others may differ.
        case incomplete
        /// These differ from what a majority has.
        case corrupt([UInt64])
        /// They differ, and no majority tells who is right.
        case undecided
    }

    /// Compares the leader's hash of a compaction with those of all `peers`; nil stands for one that has none to give.
    public static func compaction(
        leader: UInt64, _ own: RevisionHash, peers: [MemberHash?]
    ) -> Compaction {
        var members: [UInt32: [UInt64]] = [own.hash: [leader]]
        let comparable = peers.compactMap { $0 }.filter { $0.compactRevision == own.compactRevision }
        for peer in comparable { members[peer.hash, default: []].append(peer.memberID) }
        if members.count == 1 { return comparable.count == peers.count ? .equal : .incomplete }
        let quorum = (peers.count + 1) / 2 + 1
        guard let right = members.first(where: { $0.value.count >= quorum })?.key else { return .undecided }
        return .corrupt(members.filter { $0.key != right }.flatMap(\.value).sorted())
    }
}
