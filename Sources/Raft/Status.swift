import RaftMessages

/// What a member is doing.
public struct BasicStatus: Sendable {
    public var id: UInt64
    public var hardState: HardState
    public var softState: SoftState
    /// The highest index that the state machine reported applied.
    public var applied: UInt64
    /// The index of the last entry, stored or not.
    public var lastIndex: UInt64
    /// The member that leadership is being handed to, or 0.
    public var leadTransferee: UInt64
}

/// What a member is doing, and the configuration; on a leader the members' progress too.
public struct Status: Sendable {
    public var basic: BasicStatus
    public var configuration: MembershipConfiguration
    /// Empty unless this member leads.
    public var progress: [UInt64: Progress]
}

extension RawNode {
    /// The member's state without its view of the others, which is cheaper.
    public var basicStatus: BasicStatus {
        BasicStatus(
            id: replica.id, hardState: replica.hardState, softState: replica.softState, applied: replica.log.applied,
            lastIndex: replica.log.lastIndex, leadTransferee: replica.leadership.transferee)
    }

    public var status: Status {
        Status(
            basic: basicStatus, configuration: replica.tracker.configuration,
            progress: replica.role == .leader ? replica.tracker.progress : [:])
    }
}
