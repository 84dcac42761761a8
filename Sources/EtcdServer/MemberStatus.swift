import Synchronization

/// What other threads may know of the member without asking its thread: numbers that it keeps up to date.
final class MemberStatus: Sendable {
    let memberID: UInt64
    let clusterID: UInt64
    let term = Atomic<UInt64>(0)
    let leader = Atomic<UInt64>(0)
    let appliedIndex = Atomic<UInt64>(0)
    let committedIndex = Atomic<UInt64>(0)
    let leaderChanges = Atomic<UInt64>(0)
    let databaseBytes = Atomic<Int>(0)
    let databaseBytesInUse = Atomic<Int>(0)
    let pendingProposals = Atomic<Int>(0)
    let failedProposals = Atomic<UInt64>(0)
    /// Whether any alarm is raised that makes the member unhealthy.
    let hasAlarm = Atomic<Bool>(false)
    private let lastRequestID: Atomic<UInt64>

    init(memberID: UInt64, clusterID: UInt64, firstRequestID: UInt64) {
        self.memberID = memberID
        self.clusterID = clusterID
        lastRequestID = Atomic(firstRequestID)
    }

    /// A new id for a client's request. The member's own requests have odd ids, these have even ones.
    func nextRequestID() -> UInt64 {
        lastRequestID.wrappingAdd(2, ordering: .relaxed).newValue
    }
}
