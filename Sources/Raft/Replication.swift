import RaftMessages

/// What a leader sends to the other members.
extension Replica {
    /// Sends each other member what it lacks.
    func broadcastAppend() {
        for member in tracker.ids where member != id { sendAppend(to: member) }
    }

    /// Sends `member` entries from where it is, and the commit index, unless its flow is paused.
    /// - Parameter sendIfEmpty: Whether a message without entries is sent too.
    /// - Returns: Whether a message was sent.
    @discardableResult
    func sendAppend(to member: UInt64, sendIfEmpty: Bool = true) -> Bool {
        guard let progress = tracker[member], !progress.isPaused else { return false }
        let previous = progress.next - 1
        let entries: [Entry]
        let previousTerm: UInt64
        do throws(LogStorageError) {
            previousTerm = try log.term(of: previous)
            // To a full window only empty messages go: they let a member whose messages were all lost answer.
            if progress.state == .replicate && progress.inflights.isFull {
                entries = []
            } else {
                entries = try log.entries(from: progress.next, maximumSize: settings.maximumMessageSize)
            }
        } catch {
            // What the member lacks is compacted.
            return sendSnapshot(to: member)
        }
        if entries.isEmpty && !sendIfEmpty { return false }
        let count = entries.count
        let bytes = entries.payloadSize
        let committed = log.committed
        send(
            Message(
                type: .append, to: member, logTerm: previousTerm, index: previous, entries: entries,
                commit: committed))
        tracker.update(member) {
            $0.sentEntries(count, bytes: bytes)
            $0.noteSentCommit(committed)
        }
        return true
    }

    private func sendSnapshot(to member: UInt64) -> Bool {
        guard let progress = tracker[member], progress.recentlyActive else {
            note(.debug, "ignore sending snapshot to \(member.hex) since it is not recently active")
            return false
        }
        let snapshot: Snapshot
        do throws(LogStorageError) {
            snapshot = try log.snapshot()
        } catch {
            precondition(error == .snapshotTemporarilyUnavailable, "the snapshot cannot be read: \(error)")
            note(
                .debug,
                "\(id.hex) failed to send snapshot to \(member.hex) because snapshot is temporarily unavailable")
            return false
        }
        precondition(!snapshot.isEmpty, "entries are compacted, yet there is no snapshot")
        let place = snapshot.metadata
        note(
            .debug,
            "\(id.hex) [firstindex: \(log.firstIndex), commit: \(log.committed)] sent snapshot"
                + "[index: \(place.index), term: \(place.term)] to \(member.hex) [\(progress)]")
        let waiting = tracker.update(member) {
            $0.becomeSnapshot(index: place.index)
            return $0
        }
        note(.debug, "\(id.hex) paused sending replication messages to \(member.hex) [\(waiting)]")
        send(Message(type: .snapshot, to: member, snapshot: snapshot))
        return true
    }

    /// Sends heartbeats, which also confirm the reads that wait.
    func broadcastHeartbeat() {
        let context = leadership.reads.beginRound()
        for member in tracker.ids where member != id {
            // A member must not commit what may differ in its log.
            let commit = min(tracker[member]?.match ?? 0, log.committed)
            send(Message(type: .heartbeat, to: member, commit: commit, context: context))
            tracker.update(member) { $0.noteSentCommit(commit) }
        }
    }

    /// Commits what a quorum has, if it is of the current term (Raft paper, section 5.4.2).
    func maybeCommit() -> Bool { log.maybeCommit(LogPosition(term: term, index: tracker.committed)) }

    func sendTimeoutNow(to member: UInt64) { send(Message(type: .timeoutNow, to: member)) }
}
