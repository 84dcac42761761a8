import RaftMessages

/// What a follower does with messages.
extension Replica {
    func stepFollower(_ message: Message) {
        switch message.type {
        case .append:
            hear(message.from)
            handleAppend(message)
        case .heartbeat:
            hear(message.from)
            log.commit(to: message.commit)
            send(Message(type: .heartbeatResponse, to: message.from, context: message.context))
        case .snapshot:
            hear(message.from)
            handleSnapshot(message)
        case .transferLeader: passOn(message, dropping: "leader transfer msg")
        case .readIndex: passOn(message, dropping: "index reading msg")
        case .forgetLeader: forgetLeader()
        case .timeoutNow:
            note(
                .info,
                "\(id.hex) [term \(term)] received MsgTimeoutNow from \(message.from.hex) and starts an election to "
                    + "get leadership.")
            // The leader asks for it, so that no trial vote is needed to protect it.
            hup(.transfer)
        case .readIndexResponse:
            guard message.entries.count == 1 else {
                note(
                    .error,
                    "\(id.hex) invalid format of MsgReadIndexResp from \(message.from.hex), entries count: "
                        + "\(message.entries.count)")
                return
            }
            readStates.append(ReadState(index: message.index, context: message.entries[0].data))
        default: break
        }
    }

    private func hear(_ leader: UInt64) {
        electionElapsed = 0
        self.leader = leader
    }

    /// Sends the leader what is for it to handle.
    private func passOn(_ message: Message, dropping what: String) {
        if leader == 0 {
            note(.info, "\(id.hex) no leader at term \(term); dropping \(what)")
            return
        }
        var message = message
        message.to = leader
        message.term = 0
        send(message)
    }

    private func forgetLeader() {
        if settings.readIndexMode == .leaseBased {
            note(.error, "ignoring MsgForgetLeader due to ReadOnlyLeaseBased")
            return
        }
        if leader != 0 {
            note(.info, "\(id.hex) forgetting leader \(leader.hex) at term \(term)")
            leader = 0
        }
    }

    private func handleAppend(_ message: Message) {
        for (offset, entry) in message.entries.enumerated() where entry.index != message.index + UInt64(offset) + 1 {
            note(.error, "\(id.hex) ignored a MsgApp with gaps from \(message.from.hex)")
            return
        }
        if message.index < log.committed {
            send(Message(type: .appendResponse, to: message.from, index: log.committed))
            return
        }
        let previous = LogPosition(term: message.logTerm, index: message.index)
        if let last = log.append(message.entries, after: previous, leaderCommit: message.commit) {
            send(Message(type: .appendResponse, to: message.from, index: last))
            return
        }
        note(
            .debug,
            "\(id.hex) [logterm: \(log.termOrZero(of: message.index)), index: \(message.index)] rejected MsgApp "
                + "[logterm: \(message.logTerm), index: \(message.index)] from \(message.from.hex)")
        // The hint skips what the leader cannot have: entries here of a term above that of its entry at this place.
        let hint = log.findConflict(byTerm: message.logTerm, from: min(message.index, log.lastIndex))
        send(
            Message(
                type: .appendResponse, to: message.from, logTerm: hint.term, index: message.index, reject: true,
                rejectHint: hint.index))
    }

    private func handleSnapshot(_ message: Message) {
        let snapshot = message.snapshot ?? Snapshot()
        let place = "[index: \(snapshot.metadata.index), term: \(snapshot.metadata.term)]"
        if restore(snapshot) {
            note(.info, "\(id.hex) [commit: \(log.committed)] restored snapshot \(place)")
            send(Message(type: .appendResponse, to: message.from, index: log.lastIndex))
        } else {
            note(.info, "\(id.hex) [commit: \(log.committed)] ignored snapshot \(place)")
            send(Message(type: .appendResponse, to: message.from, index: log.committed))
        }
    }

    /// Replaces log and configuration by those of `snapshot`.
    /// - Returns: False if the snapshot is not needed or not for this member.
    private func restore(_ snapshot: Snapshot) -> Bool {
        let place = LogPosition(term: snapshot.metadata.term, index: snapshot.metadata.index)
        let confState = snapshot.metadata.confState
        guard place.index > log.committed else { return false }
        guard (confState.voters + confState.learners + confState.votersOutgoing).contains(id) else {
            note(
                .warning,
                "\(id.hex) attempted to restore snapshot but it is not in the ConfState \(confState); "
                    + "should never happen")
            return false
        }
        if log.matches(place) {
            let last = log.last
            note(
                .info,
                "\(id.hex) [commit: \(log.committed), lastindex: \(last.index), lastterm: \(last.term)] fast-forwarded "
                    + "commit to snapshot [index: \(place.index), term: \(place.term)]")
            log.commit(to: place.index)
            return false
        }
        guard isRestorable(confState) else {
            note(.error, "\(id.hex) ignored a snapshot whose ConfState \(confState) is no configuration")
            return false
        }
        log.restore(snapshot)
        let adopted = adopt(confState)
        precondition(adopted, "a configuration that was found restorable is not")
        let last = log.last
        note(
            .info,
            "\(id.hex) [commit: \(log.committed), lastindex: \(last.index), lastterm: \(last.term)] restored snapshot "
                + "[index: \(place.index), term: \(place.term)]")
        return true
    }
}
