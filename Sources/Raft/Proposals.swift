import RaftMessages

extension Replica {
    /// Appends `entries` as the leader, or passes them on to it.
    func propose(_ entries: consuming [Entry], from: UInt64) throws(StepError) {
        guard !entries.isEmpty else { return }
        switch role {
        case .leader:
            try proposeAsLeader(entries)
        case .candidate, .preCandidate:
            note(.info, "\(id.hex) no leader at term \(term); dropping proposal")
            throw .proposalDropped(.noLeader)
        case .follower:
            if leader == 0 {
                note(.info, "\(id.hex) no leader at term \(term); dropping proposal")
                throw .proposalDropped(.noLeader)
            }
            if settings.disableProposalForwarding {
                note(.info, "\(id.hex) not forwarding to leader \(leader.hex) at term \(term); dropping proposal")
                throw .proposalDropped(.forwardingDisabled)
            }
            send(Message(type: .propose, to: leader, from: from, entries: entries))
        }
    }

    private func proposeAsLeader(_ entries: consuming [Entry]) throws(StepError) {
        if tracker[id] == nil { throw .proposalDropped(.removedFromConfiguration) }
        if leadership.transferee != 0 {
            note(
                .debug,
                "\(id.hex) [term \(term)] transfer leadership to \(leadership.transferee.hex) is in progress; "
                    + "dropping proposal")
            throw .proposalDropped(.leadershipTransferInProgress)
        }
        for position in entries.indices where entries[position].type != .normal {
            if try refusesChange(entries[position]) {
                entries[position] = Entry()
            } else {
                leadership.pendingConfigurationIndex = log.lastIndex + UInt64(position) + 1
            }
        }
        guard appendOwn(entries) else { throw .proposalDropped(.uncommittedSizeLimit) }
        broadcastAppend()
    }

    /// Whether a configuration change may not be made now; the entry then becomes an empty one.
    private func refusesChange(_ entry: Entry) throws(StepError) -> Bool {
        let change: ConfigurationChangeV2
        let text: String
        do {
            if entry.type == .configurationChange {
                let single = try ConfigurationChange(decoding: entry.data)
                change = single.asV2
                text = single.logText
            } else {
                change = try ConfigurationChangeV2(decoding: entry.data)
                text = change.logText
            }
        } catch {
            throw .proposalDropped(.malformedConfigurationChange)
        }
        let isJoint = tracker.configuration.isJoint
        let leaves = change.changes.isEmpty
        let reason: String
        if leadership.pendingConfigurationIndex > log.applied {
            reason =
                "possible unapplied conf change at index \(leadership.pendingConfigurationIndex) "
                + "(applied to \(log.applied))"
        } else if isJoint && !leaves {
            reason = "must transition out of joint config first"
        } else if !isJoint && leaves {
            reason = "not in joint state; refusing empty conf change"
        } else {
            return false
        }
        if settings.disableConfigurationChangeValidation { return false }
        note(.info, "\(id.hex) ignoring conf change \(text) at config \(tracker.configuration): \(reason)")
        return true
    }

    /// Appends `entries` at this leader's term.
    /// - Returns: False if that would exceed the limit on uncommitted entries.
    func appendOwn(_ entries: consuming [Entry]) -> Bool {
        let payload = entries.payloadSize
        let size = leadership.uncommittedSize
        // With nothing uncommitted any proposal is taken, and empty entries always are: they open a term or end a joint
        // configuration.
        if size > 0 && payload > 0
            && (size > settings.maximumUncommittedSize
                || payload > settings.maximumUncommittedSize - size)
        {
            note(
                .warning,
                "\(id.hex) appending new entries to log would exceed uncommitted entry size limit; dropping proposal")
            return false
        }
        leadership.uncommittedSize += payload
        let next = log.lastIndex + 1
        for position in entries.indices {
            entries[position].term = term
            entries[position].index = next + UInt64(position)
        }
        let last = next + UInt64(entries.count) - 1
        log.append(entries[...])
        // The leader's own acknowledgement, which counts once the entries are in storage.
        send(Message(type: .appendResponse, to: id, index: last))
        return true
    }
}

extension ConfigurationChangeType {
    /// Etcd's name of the kind of change.
    public var name: String {
        switch self {
        case .addNode: "ConfChangeAddNode"
        case .removeNode: "ConfChangeRemoveNode"
        case .updateNode: "ConfChangeUpdateNode"
        case .addLearnerNode: "ConfChangeAddLearnerNode"
        }
    }
}

extension ConfigurationChangeTransition {
    fileprivate var name: String {
        switch self {
        case .auto: "ConfChangeTransitionAuto"
        case .jointImplicit: "ConfChangeTransitionJointImplicit"
        case .jointExplicit: "ConfChangeTransitionJointExplicit"
        }
    }
}

/// The change in protobuf's text form, as etcd's logs have it.
extension ConfigurationChange {
    fileprivate var logText: String {
        (id == 0 ? "" : "id:\(id) ") + "type:\(type.name) node_id:\(nodeID) "
            + (context.isEmpty ? "" : "context:\"\(String(decoding: context, as: UTF8.self))\" ")
    }
}

extension ConfigurationChangeV2 {
    fileprivate var logText: String {
        let steps = changes.map { "changes:<type:\($0.type.name) node_id:\($0.nodeID) > " }.joined()
        return "transition:\(transition.name) " + steps
            + (context.isEmpty ? "" : "context:\"\(String(decoding: context, as: UTF8.self))\" ")
    }
}

extension RawNode {
    /// Whether this leader would take a change of the members now: the last one is applied, and no transfer of the
    /// leadership is under way. One that it does not take becomes an empty entry.
    public var takesConfigurationChange: Bool {
        replica.role == .leader && replica.leadership.transferee == 0 && !replica.tracker.configuration.isJoint
            && replica.leadership.pendingConfigurationIndex <= replica.log.applied
    }
}
