import RaftMessages

/// Why a member campaigns.
enum Campaign {
    case preElection
    case election
    /// At the leader's request, which overrides the lease that protects it.
    case transfer

    /// What marks the vote requests of a transfer.
    static let transferContext = Array("CampaignTransfer".utf8)
}

extension MessageType {
    /// The answer to this request for votes.
    fileprivate var voteResponse: MessageType { self == .vote ? .voteResponse : .preVoteResponse }
}

extension Replica {
    /// Whether this member could be elected: a voter whose log is not about to be replaced.
    var isPromotable: Bool {
        guard let own = tracker[id] else { return false }
        return !own.isLearner && !log.hasUnstableSnapshot
    }

    /// Campaigns, if this member may.
    func hup(_ kind: Campaign) {
        if role == .leader {
            note(.debug, "\(id.hex) ignoring MsgHup because already leader")
            return
        }
        if !isPromotable {
            note(.warning, "\(id.hex) is unpromotable and can not campaign")
            return
        }
        if hasUnappliedConfigurationChange {
            note(
                .warning,
                "\(id.hex) cannot campaign at term \(term) since there are still pending configuration changes to apply"
            )
            return
        }
        note(.info, "\(id.hex) is starting a new election at term \(term)")
        campaign(kind)
    }

    /// Whether a committed configuration change is not applied yet, so that this member may not know who votes.
    private var hasUnappliedConfigurationChange: Bool {
        // What is compacted was applied, even if that is not acknowledged yet.
        var index = max(log.applied + 1, log.firstIndex)
        while index <= log.committed {
            let page: [Entry]
            do throws(LogStorageError) {
                page = try log.slice(index..<(log.committed + 1), maximumSize: log.maximumApplyingSize)
            } catch {
                preconditionFailure("unapplied entries from \(index) cannot be read: \(error)")
            }
            if page.contains(where: { $0.type != .normal }) { return true }
            index += UInt64(page.count)
        }
        return false
    }

    private func campaign(_ kind: Campaign) {
        let request: MessageType
        let requestedTerm: UInt64
        if kind == .preElection {
            becomePreCandidate()
            request = .preVote
            requestedTerm = term + 1
        } else {
            becomeCandidate()
            request = .vote
            requestedTerm = term
        }
        let last = log.last
        for member in tracker.configuration.voters.ids {
            if member == id {
                // The own vote counts once it is in storage, like any other.
                send(Message(type: request.voteResponse, to: id, term: requestedTerm))
                continue
            }
            note(
                .info,
                "\(id.hex) [logterm: \(last.term), index: \(last.index)] sent \(request.name) request to "
                    + "\(member.hex) at term \(term)")
            send(
                Message(
                    type: request, to: member, term: requestedTerm, logTerm: last.term, index: last.index,
                    context: kind == .transfer ? Campaign.transferContext : []))
        }
    }

    /// Answers a request for a vote (Raft paper, section 5.4.1).
    func handleVoteRequest(_ message: Message) {
        let mayVote =
            vote == message.from
            || (vote == 0 && leader == 0)
            || (message.type == .preVote && message.term > term)
        let last = log.last
        let granted = mayVote && log.isUpToDate(LogPosition(term: message.logTerm, index: message.index))
        note(
            .info,
            describe(last) + (granted ? " cast \(message.type.name) for " : " rejected \(message.type.name) from ")
                + describeCandidate(message) + " at term \(term)")
        // Learners vote too: one that was promoted and has not heard of it must not block an election.
        // A granted vote has the request's term, which for a trial vote is ahead of this member's.
        send(
            Message(
                type: message.type.voteResponse, to: message.from, term: granted ? message.term : term,
                reject: !granted))
        if granted && message.type == .vote {
            electionElapsed = 0
            vote = message.from
        }
    }

    /// This member's log end and vote, as log lines about votes begin.
    private func describe(_ last: LogPosition) -> String {
        "\(id.hex) [logterm: \(last.term), index: \(last.index), vote: \(vote.hex)]"
    }

    private func describeCandidate(_ message: Message) -> String {
        "\(message.from.hex) [logterm: \(message.logTerm), index: \(message.index)]"
    }

    /// Whether a vote request is ignored because this member hears a leader (Raft thesis, section 4.2.3).
    func protectsLeader(against message: Message) -> Bool {
        guard message.context != Campaign.transferContext else { return false }
        guard settings.checkQuorum && leader != 0 && electionElapsed < settings.electionTicks else { return false }
        note(
            .info,
            describe(log.last) + " ignored \(message.type.name) from " + describeCandidate(message)
                + " at term \(term): lease is not expired (remaining ticks: "
                + "\(settings.electionTicks - electionElapsed))")
        return true
    }

    /// Refuses a trial vote for a term of the past, whose sender thereby learns the present one.
    func rejectStalePreVote(_ message: Message) {
        note(
            .info,
            describe(log.last) + " rejected \(message.type.name) from " + describeCandidate(message)
                + " at term \(term)")
        send(Message(type: .preVoteResponse, to: message.from, term: term, reject: true))
    }

    func stepCandidate(_ message: Message) {
        switch message.type {
        case .append, .heartbeat, .snapshot:
            becomeFollower(term: message.term, leader: message.from)
            stepFollower(message)
        case .voteResponse where role == .candidate, .preVoteResponse where role == .preCandidate:
            handleVoteResponse(message)
        case .timeoutNow:
            note(
                .debug,
                "\(id.hex) [term \(term) state \(role.rawValue)] ignored MsgTimeoutNow from \(message.from.hex)")
        default: break
        }
    }

    private func handleVoteResponse(_ message: Message) {
        note(
            .info,
            "\(id.hex) received \(message.type.name)\(message.reject ? " rejection" : "") from "
                + "\(message.from.hex) at term \(term)")
        tracker.recordVote(message.from, granted: !message.reject)
        let (granted, rejected, result) = tracker.tallyVotes()
        note(
            .info,
            "\(id.hex) has received \(granted) \(message.type.name) votes and \(rejected) vote rejections")
        switch result {
        case .pending: break
        case .lost: becomeFollower(term: term, leader: 0)
        case .won:
            if tracker[id] == nil {
                // The owner applied this member's removal while the votes came.
                becomeFollower(term: term, leader: 0)
            } else if role == .preCandidate {
                campaign(.election)
            } else {
                becomeLeader()
                broadcastAppend()
            }
        }
    }
}
