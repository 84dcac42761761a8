import RaftMessages

extension Replica {
    /// Makes a committed configuration change effective.
    func apply(_ change: ConfigurationChangeV2) throws(ConfigurationChangeError) -> ConfState {
        var changer = ConfigurationChanger(tracker, lastIndex: log.lastIndex)
        try changer.apply(change)
        return switchTo(changer)
    }

    /// Whether `state` describes a configuration.
    func isRestorable(_ state: ConfState) -> Bool { restored(state) != nil }

    /// Takes over the configuration of a snapshot or of storage.
    /// - Returns: False if `state` describes none.
    func adopt(_ state: ConfState) -> Bool {
        guard let changer = restored(state) else { return false }
        _ = switchTo(changer)
        return true
    }

    private func restored(_ state: ConfState) -> ConfigurationChanger? {
        var changer = ConfigurationChanger(emptyLike: tracker, lastIndex: log.lastIndex)
        do throws(ConfigurationChangeError) {
            try changer.restore(state)
        } catch {
            return nil
        }
        return changer.configuration.confState.isEquivalent(to: state) ? changer : nil
    }

    private func switchTo(_ changer: ConfigurationChanger) -> ConfState {
        tracker.replace(configuration: changer.configuration, progress: changer.progress)
        note(.info, "\(id.hex) switched to configuration \(tracker.configuration)")
        let state = tracker.configuration.confState
        isLearner = tracker[id]?.isLearner ?? false
        if role == .leader { leadConfiguration() }
        return state
    }

    /// What a leader does when its configuration changed.
    private func leadConfiguration() {
        if tracker[id] == nil || isLearner {
            if settings.stepDownOnRemoval { becomeFollower(term: term, leader: 0) }
            return
        }
        if maybeCommit() {
            // A smaller quorum may already have what a larger one lacked.
            releasePostponedReads()
            broadcastAppend()
        } else {
            for member in tracker.ids where member != id { sendAppend(to: member, sendIfEmpty: false) }
        }
        answerConfirmedReads()
        if leadership.transferee != 0 && !tracker.configuration.voters.contains(leadership.transferee) {
            leadership.transferee = 0
        }
    }
}

extension ConfState {
    /// Whether this and `other` describe the same members, in whatever order.
    fileprivate func isEquivalent(to other: ConfState) -> Bool {
        voters.sorted() == other.voters.sorted() && learners.sorted() == other.learners.sorted()
            && votersOutgoing.sorted() == other.votersOutgoing.sorted()
            && learnersNext.sorted() == other.learnersNext.sorted() && autoLeave == other.autoLeave
    }
}
