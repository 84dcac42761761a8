import RaftMessages

/// What a leader does with messages.
extension Replica {
    func stepLeader(_ message: Message) {
        switch message.type {
        case .beat: return broadcastHeartbeat()
        case .checkQuorum: return checkQuorum()
        case .readIndex: return handleReadIndex(message)
        case .forgetLeader: return
        default: break
        }
        guard tracker[message.from] != nil else {
            note(.debug, "\(id.hex) no progress available for \(message.from.hex)")
            return
        }
        switch message.type {
        case .appendResponse: handleAppendResponse(message)
        case .heartbeatResponse: handleHeartbeatResponse(message)
        case .snapshotStatus: handleSnapshotStatus(message)
        case .unreachable: handleUnreachable(message)
        case .transferLeader: handleTransferLeader(message)
        default: break
        }
    }

    private func handleAppendResponse(_ message: Message) {
        let member = message.from
        tracker.update(member) { $0.recentlyActive = true }
        if message.reject {
            handleAppendRejection(message)
            return
        }
        // Nobody has what this leader has not sent. Believing it would commit what does not exist.
        guard message.index <= log.lastIndex else {
            note(.warning, "\(id.hex) ignored a MsgAppResp of \(member.hex) for index \(message.index) beyond the log")
            return
        }
        // An answer that repeats what is known still shows a probed member to be there.
        let isNews = tracker.update(member) {
            $0.update(to: message.index) || ($0.match == message.index && $0.state == .probe)
        }
        guard isNews, let progress = tracker[member] else { return }
        switch progress.state {
        case .probe: tracker.update(member) { $0.becomeReplicate() }
        case .replicate: tracker.update(member) { $0.inflights.free(upTo: message.index) }
        case .snapshot:
            // Whatever snapshot it got, the log reaches far enough back to go on from there.
            guard progress.match + 1 >= log.firstIndex else { break }
            note(
                .debug,
                "\(id.hex) recovered from needing snapshot, resumed sending replication messages to "
                    + "\(member.hex) [\(progress)]")
            tracker.update(member) {
                $0.becomeProbe()
                $0.becomeReplicate()
            }
        }
        if maybeCommit() {
            releasePostponedReads()
            broadcastAppend()
        } else if member != id && tracker[member]?.canRaiseCommit(to: log.committed) == true {
            sendAppend(to: member)
        }
        if member != id {
            // The window has room again, perhaps for several messages.
            while sendAppend(to: member, sendIfEmpty: false) {}
        }
        if member == leadership.transferee && tracker[member]?.match == log.lastIndex {
            note(.info, "\(id.hex) sent MsgTimeoutNow to \(member.hex) after received MsgAppResp")
            sendTimeoutNow(to: member)
        }
    }

    /// Steps back to where the member's log may agree with this one.
    ///
    /// The hint names the highest place at which it may, seen from the member. Entries here of a term above the hint's
    /// cannot be in the member's log, since terms only rise along a log, and are skipped.
    private func handleAppendRejection(_ message: Message) {
        let member = message.from
        note(
            .debug,
            "\(id.hex) received MsgAppResp(rejected, hint: (index \(message.rejectHint), term \(message.logTerm))) "
                + "from \(member.hex) for index \(message.index)")
        var probe = message.rejectHint
        if message.logTerm > 0 { probe = log.findConflict(byTerm: message.logTerm, from: probe).index }
        let decreased = tracker.update(member) { $0.decrease(rejected: message.index, hint: probe) }
        guard decreased, let progress = tracker[member] else { return }
        note(.debug, "\(id.hex) decreased progress of \(member.hex) to [\(progress)]")
        if progress.state == .replicate { tracker.update(member) { $0.becomeProbe() } }
        sendAppend(to: member)
    }

    private func handleHeartbeatResponse(_ message: Message) {
        let progress = tracker.update(message.from) {
            $0.recentlyActive = true
            $0.appendsPaused = false
            return $0
        }
        // A member with a full window gets an empty message: if all that filled it was lost, its answer shows that.
        if progress.match < log.lastIndex || progress.state == .probe { sendAppend(to: message.from) }
        guard settings.readIndexMode == .safe, !message.context.isEmpty else { return }
        leadership.reads.acknowledge(message.from, context: message.context)
        answerConfirmedReads()
    }

    private func handleSnapshotStatus(_ message: Message) {
        guard tracker[message.from]?.state == .snapshot else { return }
        let progress = tracker.update(message.from) {
            // A snapshot that failed is no place to go on from.
            if message.reject { $0.pendingSnapshot = 0 }
            $0.becomeProbe()
            return $0
        }
        note(
            .debug,
            "\(id.hex) snapshot \(message.reject ? "failed" : "succeeded"), resumed sending replication messages to "
                + "\(message.from.hex) [\(progress)]")
        // The next append waits: after success for the member's own answer, after failure for a heartbeat's.
        tracker.update(message.from) { $0.appendsPaused = true }
    }

    private func handleUnreachable(_ message: Message) {
        let progress = tracker.update(message.from) {
            // Messages sent ahead are probably lost.
            if $0.state == .replicate { $0.becomeProbe() }
            return $0
        }
        note(
            .debug,
            "\(id.hex) failed to send message to \(message.from.hex) because it is unreachable [\(progress)]")
    }

    private func handleTransferLeader(_ message: Message) {
        let target = message.from
        guard let progress = tracker[target] else { return }
        if progress.isLearner {
            note(.debug, "\(id.hex) is learner. Ignored transferring leadership")
            return
        }
        let previous = leadership.transferee
        if previous == target {
            note(
                .info,
                "\(id.hex) [term \(term)] transfer leadership to \(target.hex) is in progress, ignores request to "
                    + "same node \(target.hex)")
            return
        }
        if previous != 0 {
            leadership.transferee = 0
            note(.info, "\(id.hex) [term \(term)] abort previous transferring leadership to \(previous.hex)")
        }
        if target == id {
            note(.debug, "\(id.hex) is already leader. Ignored transferring leadership to self")
            return
        }
        note(.info, "\(id.hex) [term \(term)] starts to transfer leadership to \(target.hex)")
        // The transfer has one election timeout to succeed.
        electionElapsed = 0
        leadership.transferee = target
        if progress.match == log.lastIndex {
            sendTimeoutNow(to: target)
            note(
                .info,
                "\(id.hex) sends MsgTimeoutNow to \(target.hex) immediately as \(target.hex) already has "
                    + "up-to-date log")
        } else {
            sendAppend(to: target)
        }
    }
}

// MARK: - Reads

extension Replica {
    private func handleReadIndex(_ message: Message) {
        guard let entry = message.entries.first else { return }
        let request = ReadRequest(from: message.from, context: entry.data)
        if leadership.reads.count >= settings.maximumPendingReads {
            note(.warning, "\(id.hex) holds \(leadership.reads.count) unanswered reads; dropping read request")
        } else if hasCommittedInTerm {
            confirm([request])
        } else {
            // Even a member that decides alone may know less than it acknowledged: the commit index is stored without a
            // sync, and a restart may find an earlier one.
            leadership.reads.postpone(request)
        }
    }

    /// Whether an entry of this term is committed, so that the commit index covers all earlier terms.
    private var hasCommittedInTerm: Bool { log.termOrZero(of: log.committed) == term }

    /// Whether this member is the only voter, and not a leader that removed itself and left one.
    private var decidesAlone: Bool {
        tracker.configuration.isSingleton && tracker.configuration.voters.contains(id)
    }

    private func confirm(_ requests: [ReadRequest]) {
        switch settings.readIndexMode {
        case .leaseBased:
            for request in requests { answer(request, index: log.committed) }
        case .safe:
            for request in requests { leadership.reads.add(request, index: log.committed) }
            if decidesAlone {
                _ = leadership.reads.beginRound()
                answerConfirmedReads()
            } else {
                broadcastHeartbeat()
            }
        }
    }

    /// Takes up the reads that came before the first commit of the term, all in one round.
    func releasePostponedReads() {
        guard leadership.reads.hasPostponed, hasCommittedInTerm else { return }
        confirm(leadership.reads.takePostponed())
    }

    /// Answers what the voters have confirmed, also where a configuration change made fewer of them enough.
    func answerConfirmedReads() {
        let confirmed = leadership.reads.takeConfirmed(own: id, voters: tracker.configuration.voters)
        for (request, index) in confirmed { answer(request, index: index) }
    }

    private func answer(_ request: ReadRequest, index: UInt64) {
        if request.from == 0 || request.from == id {
            readStates.append(ReadState(index: index, context: request.context))
        } else {
            send(
                Message(
                    type: .readIndexResponse, to: request.from, index: index,
                    entries: [Entry(data: request.context)]))
        }
    }
}
