import Applier
import StoreV2

/// The version-2 API's part of a member.
extension MemberCore {
    /// Proposes `request` under its id; what came of it is told by ``Output/outcomes``.
    public func propose(_ request: StoreV2Request, now: Int64) {
        propose([(request.id, request.encoded)], now: now)
    }

    /// Tells all members, as leader, what time it is, when any version-2 key has a time to live: upon that they let go what
    /// has expired. `time` is in nanoseconds since 1970.
    public func expireKeys(at time: Int64) {
        guard isLeader, applier.keyTree.hasExpiringNodes else { return }
        var request = StoreV2Request(.sync)
        request.id = nextRequestID()
        request.time = time
        // What is not taken now will be said again.
        _ = tryPropose([request.encoded])
    }
}
