import Raft
import RaftMessages

/// What a person should know of the log's disk.
public enum DiskNotice: Equatable, Sendable {
    /// No write has come back for so many milliseconds.
    case stalled(milliseconds: Int64)
    /// The leader asks another member to lead, because of its disk.
    case handingOver(to: UInt64)
    /// The leader stepped down, because of its disk.
    case resigned
    /// Writes come back again.
    case answering
}

/// A member whose disk does not answer neither leads nor wants to: others can do what it cannot.
extension MemberCore {
    /// The disk refused a write: nothing will be durable here any more. A leader hands over at the next turns; when
    /// ``isLeader`` is false the member may end.
    public func diskFailed(now: Int64) {
        watchdog.failed(now: now)
    }

    /// Whether ``diskFailed(now:)`` was called.
    public var diskHasFailed: Bool { watchdog.hasFailed }

    /// Whether no write has come back for long.
    var diskIsSilent: Bool { diskState != .answering }

    func superviseDisk(now: Int64) {
        let state = watchdog.state(now: now)
        let wasSilent = diskIsSilent
        diskState = state
        switch state {
        case .answering:
            if wasSilent { output.diskNotices.append(.answering) }
            hasHandedOver = false
        case .stalled(let silence):
            if !wasSilent { noteStall(silence) }
            handOver()
        case .lost(let silence):
            if !wasSilent { noteStall(silence) }
            guard isLeader, !isAlone else { return }
            raft.resign()
            output.diskNotices.append(.resigned)
        }
    }

    /// A disk that has failed was told of by who met it.
    private func noteStall(_ silence: Int64) {
        if !diskHasFailed { output.diskNotices.append(.stalled(milliseconds: silence)) }
    }

    /// Asks the follower that has most of the log to lead. The leader sent it what it could not write itself. When none was
    /// heard since Raft last looked at its quorum, it is tried again at the next turn.
    private func handOver() {
        guard isLeader, !isAlone, !hasHandedOver, let best = bestFollower else { return }
        hasHandedOver = true
        output.diskNotices.append(.handingOver(to: best))
        raft.transferLeadership(to: best)
    }

    /// Whether there is nobody to hand over to.
    private var isAlone: Bool { confState.voters == [settings.memberID] }
}
