import RaftMessages

/// The messages by which a member asks its own storage for work and hears that it is done.
extension Replica {
    func addStorageMessages(to ready: inout Ready) {
        if !ready.entries.isEmpty || ready.hardState != nil || ready.snapshot != nil || !messagesAfterAppend.isEmpty {
            var message = Message(
                type: .storageAppend, to: LocalThread.append, from: id, entries: ready.entries,
                snapshot: ready.snapshot, responses: messagesAfterAppend)
            if let state = ready.hardState {
                message.term = state.term
                message.vote = state.vote
                message.commit = state.commit
            }
            if needsAppendResponse(ready) { message.responses.append(appendResponse(to: ready)) }
            ready.messages.append(message)
        }
        if !ready.committedEntries.isEmpty {
            ready.messages.append(
                Message(
                    type: .storageApply, to: LocalThread.apply, from: id, entries: ready.committedEntries,
                    responses: [applyResponse(to: ready)]))
        }
    }

    /// Whether this member must hear that what `ready` stores is stored.
    func needsAppendResponse(_ ready: Ready) -> Bool { log.hasUnstableEntries || ready.snapshot != nil }

    /// What the append thread says when it is done.
    ///
    /// It names the log's end even if this write holds no entries: writes are done in order, so everything up to there
    /// is then stored, unless the term changed and something was replaced.
    func appendResponse(to ready: Ready) -> Message {
        var message = Message(
            type: .storageAppendResponse, to: id, from: LocalThread.append, term: term, snapshot: ready.snapshot)
        if log.hasUnstableEntries {
            let last = log.last
            message.index = last.index
            message.logTerm = last.term
        }
        return message
    }

    /// What the apply thread says when it is done. It has no term: what is committed is so in every term.
    func applyResponse(to ready: Ready) -> Message {
        Message(type: .storageApplyResponse, to: id, from: LocalThread.apply, entries: ready.committedEntries)
    }
}
