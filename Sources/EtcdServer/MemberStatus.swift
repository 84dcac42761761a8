import Member
import Membership
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
    /// Bytes of the log entries that clients wait for.
    let pendingBytes = Atomic<Int>(0)
    let failedProposals = Atomic<UInt64>(0)
    let slowReadRounds = Atomic<UInt64>(0)
    let failedReadRounds = Atomic<UInt64>(0)
    let lateHeartbeats = Atomic<UInt64>(0)
    let expiredLeases = Atomic<UInt64>(0)
    /// Whether the alarm is raised that a member's database is full.
    let isOutOfSpace = Atomic<Bool>(false)
    /// Whether the alarm is raised that a member's data is corrupt.
    let isCorrupt = Atomic<Bool>(false)
    /// Whether this member learns and does not vote.
    let isLearner = Atomic<Bool>(false)
    private let clusterVersionNumber = Atomic<Int>(0)
    private let lastRequestID: Atomic<UInt64>

    /// The cluster's version; nil while it has none.
    var clusterVersion: ClusterVersion? {
        get {
            let number = clusterVersionNumber.load(ordering: .relaxed)
            return number == 0 ? nil : ClusterVersion(number >> 16, number & 0xffff)
        }
        set { clusterVersionNumber.store(newValue.map { $0.major << 16 | $0.minor } ?? 0, ordering: .relaxed) }
    }

    init(memberID: UInt64, clusterID: UInt64, requestIDs: RequestIDs) {
        self.memberID = memberID
        self.clusterID = clusterID
        lastRequestID = Atomic(requestIDs.current)
    }

    /// A new id for a client's request.
    func nextRequestID() -> UInt64 {
        lastRequestID.wrappingAdd(RequestIDs.stride, ordering: .relaxed).newValue
    }
}
