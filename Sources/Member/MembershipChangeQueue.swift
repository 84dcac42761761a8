import RaftMessages

/// Changes of the members that this member was asked for and that are not applied.
///
/// Raft makes one change at a time and drops what comes meanwhile without a word, so only one is with it and the others
/// wait here. One that Raft was given is not given again, for it may still be under way and would be made twice; unless
/// the log shows that the leader dropped it. A follower learns that from an entry which it proposes together with the
/// change, the marker: the two are next to each other in the log, and a change that was dropped is an empty entry there.
struct MembershipChangeQueue {
    private enum Stage {
        case waiting
        case proposed
        /// Proposed under a leader that is gone; it may be applied yet, but the next need not wait for it.
        case inDoubt
    }

    private struct Entry {
        var change: ConfigurationChange
        var start: Int64
        var stage = Stage.waiting
        /// The entry that follows the change in the log.
        var marker: [UInt8]?
        /// When the leader, whom it removes, was asked to hand over.
        var handoverStart: Int64?
    }

    private var entries: [Entry] = []
    /// Nothing is proposed before this, since the leader was not ready for a change a moment ago.
    private var pausedUntil = Int64.min

    var isEmpty: Bool { entries.isEmpty }

    /// The change to be proposed next, if none is with Raft.
    func next(now: Int64) -> ConfigurationChange? {
        if entries.isEmpty || now < pausedUntil || entries.contains(where: { $0.stage == .proposed }) { return nil }
        return entries.first { $0.stage == .waiting }?.change
    }

    mutating func postpone(until time: Int64) { pausedUntil = time }

    mutating func add(_ change: ConfigurationChange, now: Int64) {
        entries.append(Entry(change: change, start: now))
    }

    mutating func noteProposed(_ id: UInt64, marker: [UInt8]?) {
        guard let position = position(of: id) else { return }
        entries[position].stage = .proposed
        entries[position].marker = marker
    }

    /// Notes that an entry with `data` was applied.
    /// - Returns: Whether it shows that a change was dropped, which then waits to be proposed again.
    mutating func noteMarker(_ data: [UInt8], isBehindEmptyEntry: Bool) -> Bool {
        guard isBehindEmptyEntry, let position = entries.firstIndex(where: { $0.marker == data }) else { return false }
        entries[position].stage = .waiting
        entries[position].marker = nil
        return true
    }

    /// When the leader was asked to hand over for the sake of the change `id`.
    func handoverStart(of id: UInt64) -> Int64? { position(of: id).flatMap { entries[$0].handoverStart } }

    mutating func noteHandover(_ id: UInt64, now: Int64) {
        if let position = position(of: id) { entries[position].handoverStart = now }
    }

    /// Another leader was elected, or none is known.
    mutating func noteLeaderLost() {
        for position in entries.indices where entries[position].stage == .proposed {
            entries[position].stage = .inDoubt
        }
    }

    /// Notes that the change `id` was applied.
    /// - Returns: Whether it was one of these.
    mutating func finish(_ id: UInt64) -> Bool {
        guard let position = position(of: id) else { return false }
        entries.remove(at: position)
        return true
    }

    /// Takes out the changes that have waited for `timeout` milliseconds, with the times at which they came.
    mutating func takeExpired(now: Int64, timeout: Int64) -> [(id: UInt64, start: Int64)] {
        // They came in order, and so they expire.
        let expired = entries.prefix { now >= $0.start + timeout }
        defer { entries.removeFirst(expired.count) }
        return expired.map { ($0.change.id, $0.start) }
    }

    private func position(of id: UInt64) -> Int? { entries.firstIndex { $0.change.id == id } }
}

/// Changes that other members passed on to this leader before Raft would take them.
///
/// Raft would make empty entries of them, and whoever asked would wait in vain. They are proposed when the last change is
/// applied, or passed on to another leader.
struct ForwardedChanges {
    /// Each member passes on one at a time or, one of etcd, as many as its clients ask. Beyond this they are dropped, as
    /// Raft would drop them.
    static let limit = 64

    private var messages: [(message: Message, deadline: Int64?)] = []

    var isEmpty: Bool { messages.isEmpty }

    /// - Returns: Whether there was room.
    mutating func add(_ message: Message) -> Bool {
        guard messages.count < Self.limit else { return false }
        messages.append((message, nil))
        return true
    }

    /// Drops what has waited for `timeout` milliseconds since the first call that saw it: nobody waits for it any more.
    mutating func dropExpired(now: Int64, timeout: Int64) {
        for position in messages.indices where messages[position].deadline == nil {
            messages[position].deadline = now + timeout
        }
        messages.removeAll { now >= $0.deadline ?? .max }
    }

    mutating func takeFirst() -> Message? { messages.isEmpty ? nil : messages.removeFirst().message }
}
