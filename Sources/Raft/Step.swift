import RaftMessages

extension Replica {
    /// Takes a message from another member or from this one's own storage.
    func step(_ message: Message) throws(StepError) {
        if message.term > term {
            if !meetHigherTerm(message) { return }
        } else if message.term < term && message.term != 0 {
            meetLowerTerm(message)
            return
        }
        switch message.type {
        case .hup: hup(settings.preVote ? .preElection : .election)
        case .storageAppendResponse:
            if message.index != 0 { log.stable(to: LogPosition(term: message.logTerm, index: message.index)) }
            if let snapshot = message.snapshot { applied(snapshot) }
        case .storageApplyResponse:
            if let last = message.entries.last {
                applied(to: last.index, size: message.entries.encodedSize)
                leadership.uncommittedSize -= min(leadership.uncommittedSize, message.entries.payloadSize)
            }
        case .vote, .preVote: handleVoteRequest(message)
        case .propose: try propose(message.entries, from: message.from)
        default:
            switch role {
            case .leader: stepLeader(message)
            case .follower: stepFollower(message)
            case .candidate, .preCandidate: stepCandidate(message)
            }
        }
    }

    /// Steps down before a higher term, where the message calls for it.
    /// - Returns: Whether the message is to be handled.
    private func meetHigherTerm(_ message: Message) -> Bool {
        switch message.type {
        case .vote, .preVote:
            if protectsLeader(against: message) { return false }
            if message.type == .preVote { return true }
        case .preVoteResponse where !message.reject:
            // A granted trial vote bears the term that it is for.
            return true
        default: break
        }
        note(
            .info,
            "\(id.hex) [term: \(term)] received a \(message.type.name) message with higher term from "
                + "\(message.from.hex) [term: \(message.term)]")
        let isFromLeader = [.append, .heartbeat, .snapshot].contains(message.type)
        becomeFollower(term: message.term, leader: isFromLeader ? message.from : 0)
        return true
    }

    private func meetLowerTerm(_ message: Message) {
        switch message.type {
        case .heartbeat, .append:
            guard settings.checkQuorum || settings.preVote else { break }
            // The sender may be a leader that this member left behind by campaigning in a partition. This answer's term
            // lets it step down, since it would ignore a vote request.
            send(Message(type: .appendResponse, to: message.from))
            return
        case .preVote:
            rejectStalePreVote(message)
            return
        case .storageAppendResponse:
            if message.index != 0 {
                // The entries may have been replaced in a later term and written again since.
                note(
                    .info,
                    "\(id.hex) [term: \(term)] ignored entry appends from a \(message.type.name) message "
                        + "with lower term [term: \(message.term)]")
            }
            // A snapshot holds what is committed, in whatever term it was written.
            if let snapshot = message.snapshot { applied(snapshot) }
            return
        default: break
        }
        note(
            .info,
            "\(id.hex) [term: \(term)] ignored a \(message.type.name) message with lower term from "
                + "\(message.from.hex) [term: \(message.term)]")
    }

    private func applied(_ snapshot: Snapshot) {
        log.stableSnapshot(to: snapshot.metadata.index)
        applied(to: snapshot.metadata.index, size: 0)
    }

    /// Notes what the state machine has applied, and ends a joint configuration that was to end by itself.
    private func applied(to index: UInt64, size: UInt64) {
        let applied = max(index, log.applied)
        log.apply(to: applied, size: size)
        guard tracker.configuration.autoLeave, role == .leader, applied >= leadership.pendingConfigurationIndex else {
            return
        }
        let configuration = tracker.configuration
        do throws(StepError) {
            try propose([Entry(type: .configurationChangeV2)], from: id)
            note(.info, "initiating automatic transition out of joint configuration \(configuration)")
        } catch {
            // The next applied entry tries again.
            note(
                .debug,
                "not initiating automatic transition out of joint configuration \(configuration): \(error)")
        }
    }
}
