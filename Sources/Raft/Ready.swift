import RaftMessages

/// What a member believes of the leader, which is not stored.
public struct SoftState: Equatable, Sendable {
    /// The leader, or 0 if none is known.
    public var leader: UInt64
    public var role: Role

    /// A belief.
    public init(leader: UInt64, role: Role) {
        self.leader = leader
        self.role = role
    }
}

/// What is to be done since the last time, in this order: store `hardState`, `entries` and `snapshot` (synced if
/// `mustSync`), then send `messages`, then apply `snapshot` and `committedEntries`, then call ``RawNode/advance()``.
///
/// With asynchronous storage writes the messages to ``LocalThread`` say all of that again, and are what to go by.
public struct Ready {
    /// Set if it changed.
    public var softState: SoftState?
    /// Set if it changed.
    public var hardState: HardState?
    /// Reads that may be served once their index is applied.
    public var readStates: [ReadState]
    /// To be appended to storage, replacing what is there from the first one's index on.
    public var entries: [Entry]
    /// To be stored in place of the whole log.
    public var snapshot: Snapshot?
    /// To be applied to the state machine; configuration changes by ``RawNode/applyConfigurationChange(_:)``.
    public var committedEntries: [Entry]
    public var messages: [Message]
    /// Whether what is stored must be on disk before the messages are sent.
    public var mustSync: Bool
}
