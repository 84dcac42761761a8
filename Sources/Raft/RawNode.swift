import RaftMessages

/// One member of a Raft group, driven by its owner: a pure state machine without clock, thread, disk or network.
///
/// The owner calls ``tick()`` at regular intervals, ``step(_:)`` with what other members send, and whenever
/// ``hasReady`` takes ``ready()``, does what it says and calls ``advance()``. All calls come from one thread at a time.
public final class RawNode {
    let replica: Replica
    private let asynchronous: Bool
    private var previousSoftState: SoftState
    private var previousHardState: HardState
    /// What this member tells itself once a ``Ready`` is done.
    private var stepsOnAdvance: [Message] = []

    /// A member with the log and state of `storage`.
    /// - Throws: ``ConfigurationError`` if the settings contradict themselves.
    public init(_ configuration: Configuration, storage: any LogStorage) throws(ConfigurationError) {
        try configuration.validate()
        replica = Replica(configuration, storage: storage)
        asynchronous = configuration.asynchronousStorageWrites
        previousSoftState = replica.softState
        previousHardState = replica.hardState
    }

    /// Lets one unit of time pass.
    public func tick() { replica.tick() }

    /// Starts an election now.
    public func campaign() { stepLocal(Message(type: .hup)) }

    /// Proposes `proposals` in one message: each becomes an entry, consecutive and in this order, or none does.
    /// - Throws: ``StepError/proposalDropped(_:)`` if there is no leader to take them or it takes none now.
    public func propose(_ proposals: [[UInt8]]) throws(StepError) {
        try replica.propose(proposals.map { Entry(data: $0) }, from: replica.id)
    }

    /// Proposes a change of one member, and `follower` as the entry right behind it when there is one: if the leader does
    /// not take the change now, what comes before `follower` in the log is an empty entry.
    public func proposeConfigurationChange(
        _ change: ConfigurationChange, followedBy follower: [UInt8]? = nil
    ) throws(StepError) {
        var entries = [Entry(type: .configurationChange, data: change.encoded())]
        if let follower { entries.append(Entry(data: follower)) }
        try replica.propose(entries, from: replica.id)
    }

    /// Proposes a change of several members.
    public func proposeConfigurationChange(_ change: ConfigurationChangeV2) throws(StepError) {
        // The empty change is written as no bytes at all.
        let isEmpty = change == ConfigurationChangeV2()
        let entry = Entry(type: .configurationChangeV2, data: isEmpty ? [] : change.encoded())
        try replica.propose([entry], from: replica.id)
    }

    /// Makes a committed change effective; one the owner refuses is applied as an empty one, with node ids of zero.
    /// - Returns: The configuration that results, to be kept in snapshots.
    /// - Throws: ``ConfigurationChangeError`` if it contradicts the configuration, which then stays as it was.
    @discardableResult
    public func applyConfigurationChange(
        _ change: ConfigurationChangeV2
    ) throws(ConfigurationChangeError) -> ConfState {
        try replica.apply(change)
    }

    /// Takes a message from another member, or from a local thread.
    ///
    /// Messages from local threads are to be believed, so that the owner must not let other members' messages claim to
    /// come from there.
    /// - Throws: ``StepError``; apart from refused proposals it needs no answer. A member that was removed throws
    ///   `unknownPeer` also for its own acknowledgements.
    public func step(_ message: Message) throws(StepError) {
        let isFromThread = LocalThread.isLocal(message.from)
        if message.type.isLocal && !isFromThread { throw .localMessage }
        if message.type.isResponse && !isFromThread && replica.tracker[message.from] == nil { throw .unknownPeer }
        try replica.step(message)
    }

    /// Asks for the index at which a read that comes with `context` is linearizable; the answer is in
    /// ``Ready/readStates``, or never comes if leadership is lost, and is then asked for again.
    public func readIndex(_ context: [UInt8]) {
        stepLocal(Message(type: .readIndex, entries: [Entry(data: context)]))
    }

    /// Asks the leader to hand leadership to `member`.
    public func transferLeadership(to member: UInt64) { stepLocal(Message(type: .transferLeader, from: member)) }

    /// Steps down to a follower without a leader, in the same term; nothing happens unless this member leads.
    public func resign() { replica.resign() }

    /// Lets a follower forget its leader, so that it votes for another at once.
    public func forgetLeader() { stepLocal(Message(type: .forgetLeader)) }

    /// Says that the last message to `member` was not delivered.
    public func reportUnreachable(_ member: UInt64) { stepLocal(Message(type: .unreachable, from: member)) }

    /// Says how the last snapshot sent to `member` fared. This must be said of every one, since nothing else is sent to
    /// that member until then.
    public func reportSnapshot(_ member: UInt64, succeeded: Bool) {
        stepLocal(Message(type: .snapshotStatus, from: member, reject: !succeeded))
    }

    private func stepLocal(_ message: Message) {
        do throws(StepError) {
            try replica.step(message)
        } catch {
            preconditionFailure("only proposals are refused, not \(message.type.name): \(error)")
        }
    }

    /// Sets how long this follower waits for its leader, for tests that need a certain member to campaign.
    /// - Parameter ticks: At least the configured election ticks.
    public func setRandomizedElectionTimeout(_ ticks: Int) { replica.randomizedElectionTimeout = ticks }
}

// MARK: - Ready

extension RawNode {
    /// Whether ``ready()`` has something to do.
    public var hasReady: Bool {
        let hardState = replica.hardState
        return replica.softState != previousSoftState
            || (!hardState.isEmpty && hardState != previousHardState)
            || replica.log.hasNextUnstableSnapshot
            || !replica.messages.isEmpty || !replica.messagesAfterAppend.isEmpty
            || replica.log.hasNextUnstableEntries
            || replica.log.hasNextCommitted(allowUnstable: !asynchronous)
            || !replica.readStates.isEmpty
    }

    /// What is to be done now. Without asynchronous storage writes it must be done, and ``advance()`` called, before the
    /// next call.
    public func ready() -> Ready {
        precondition(stepsOnAdvance.isEmpty, "two ready without a call of advance between them")
        let softState = replica.softState
        let hardState = replica.hardState
        let entries = Array(replica.log.unstable.nextEntries)
        var ready = Ready(
            softState: softState == previousSoftState ? nil : softState,
            hardState: hardState == previousHardState || hardState.isEmpty ? nil : hardState,
            readStates: replica.readStates, entries: entries, snapshot: replica.log.unstable.nextSnapshot,
            committedEntries: replica.log.nextCommitted(allowUnstable: !asynchronous), messages: replica.messages,
            mustSync: !entries.isEmpty || hardState.vote != previousHardState.vote
                || hardState.term != previousHardState.term)
        if asynchronous {
            replica.addStorageMessages(to: &ready)
        } else {
            takeMessagesAfterAppend(into: &ready)
        }
        accept(ready)
        return ready
    }

    private func takeMessagesAfterAppend(into ready: inout Ready) {
        for message in replica.messagesAfterAppend {
            if message.to == replica.id {
                stepsOnAdvance.append(message)
            } else {
                ready.messages.append(message)
            }
        }
        if replica.needsAppendResponse(ready) { stepsOnAdvance.append(replica.appendResponse(to: ready)) }
        if !ready.committedEntries.isEmpty { stepsOnAdvance.append(replica.applyResponse(to: ready)) }
    }

    private func accept(_ ready: Ready) {
        if let softState = ready.softState { previousSoftState = softState }
        if let hardState = ready.hardState { previousHardState = hardState }
        replica.readStates = []
        replica.messages = []
        replica.messagesAfterAppend = []
        replica.log.acceptUnstable()
        if let last = ready.committedEntries.last {
            replica.log.acceptApplying(
                to: last.index, size: ready.committedEntries.encodedSize, allowUnstable: !asynchronous)
        }
    }

    /// Says that the last ``ready()`` is done: stored, sent and applied.
    public func advance() {
        precondition(!asynchronous, "advance must not be called with asynchronous storage writes")
        let steps = stepsOnAdvance
        stepsOnAdvance = []
        for message in steps {
            do throws(StepError) {
                try replica.step(message)
            } catch {
                preconditionFailure("a member refused its own \(message.type.name): \(error)")
            }
        }
    }
}
