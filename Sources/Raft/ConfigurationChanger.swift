import RaftMessages

/// Why a configuration change cannot be made.
public enum ConfigurationChangeError: Error, Equatable, CustomStringConvertible {
    case alreadyJoint
    case noVotersToJoin
    case notJoint
    case simpleChangeWhileJoint
    case severalVotersChanged
    case allVotersRemoved

    public var description: String {
        switch self {
        case .alreadyJoint: "config is already joint"
        case .noVotersToJoin: "can't make a zero-voter config joint"
        case .notJoint: "can't leave a non-joint config"
        case .simpleChangeWhileJoint: "can't apply simple config change in joint config"
        case .severalVotersChanged: "more than one voter changed without entering joint config"
        case .allVotersRemoved: "removed all voters"
        }
    }
}

/// Makes the configuration and progress that follow from a change.
///
/// It works on its own copy; the caller takes the result over only if the change succeeds.
struct ConfigurationChanger {
    private(set) var configuration: MembershipConfiguration
    private(set) var progress: [UInt64: Progress]
    private let emptyInflights: Inflights
    private let lastIndex: UInt64

    init(_ tracker: ProgressTracker, lastIndex: UInt64) {
        configuration = tracker.configuration
        progress = tracker.progress
        emptyInflights = tracker.makeInflights()
        self.lastIndex = lastIndex
    }

    /// An empty configuration, for a restore.
    init(emptyLike tracker: ProgressTracker, lastIndex: UInt64) {
        configuration = MembershipConfiguration()
        progress = [:]
        emptyInflights = tracker.makeInflights()
        self.lastIndex = lastIndex
    }

    /// Makes whichever kind of change `change` is.
    mutating func apply(_ change: ConfigurationChangeV2) throws(ConfigurationChangeError) {
        if change.leavesJoint {
            try leaveJoint()
        } else if let autoLeave = change.entersJoint {
            try enterJoint(autoLeave: autoLeave, change.changes)
        } else {
            try simple(change.changes)
        }
    }

    /// Starts a joint configuration whose incoming half has `changes` made.
    mutating func enterJoint(
        autoLeave: Bool, _ changes: [ConfigurationChangeSingle]
    ) throws(ConfigurationChangeError) {
        if configuration.isJoint { throw .alreadyJoint }
        if configuration.voters.incoming.isEmpty { throw .noVotersToJoin }
        configuration.voters.outgoing = configuration.voters.incoming
        try make(changes)
        configuration.autoLeave = autoLeave
        checkInvariants()
    }

    /// Ends a joint configuration: the outgoing half is dropped, and demoted voters become learners.
    mutating func leaveJoint() throws(ConfigurationChangeError) {
        if !configuration.isJoint { throw .notJoint }
        for id in configuration.learnersNext {
            configuration.learners.insert(id)
            progress[id]?.isLearner = true
        }
        configuration.learnersNext = []
        for id in configuration.voters.outgoing.ids
        where !configuration.voters.incoming.contains(id) && !configuration.learners.contains(id) {
            progress[id] = nil
        }
        configuration.voters.outgoing = MajorityQuorum()
        configuration.autoLeave = false
        checkInvariants()
    }

    /// Makes `changes` of which at most one concerns a voter, so that old and new majorities overlap.
    mutating func simple(_ changes: [ConfigurationChangeSingle]) throws(ConfigurationChangeError) {
        if configuration.isJoint { throw .simpleChangeWhileJoint }
        let before = Set(configuration.voters.incoming.ids)
        try make(changes)
        if before.symmetricDifference(configuration.voters.incoming.ids).count > 1 { throw .severalVotersChanged }
        checkInvariants()
    }

    private mutating func make(_ changes: [ConfigurationChangeSingle]) throws(ConfigurationChangeError) {
        // A zero id marks a change that the owner chose to drop after it was committed.
        for change in changes where change.nodeID != 0 {
            switch change.type {
            case .addNode: makeVoter(change.nodeID)
            case .addLearnerNode: makeLearner(change.nodeID)
            case .removeNode: remove(change.nodeID)
            case .updateNode: break
            }
        }
        if configuration.voters.incoming.isEmpty { throw .allVotersRemoved }
    }

    private mutating func makeVoter(_ id: UInt64) {
        if progress[id] == nil {
            initProgress(id, isLearner: false)
        } else {
            progress[id]?.isLearner = false
        }
        configuration.learners.remove(id)
        configuration.learnersNext.remove(id)
        configuration.voters.incoming.insert(id)
    }

    private mutating func makeLearner(_ id: UInt64) {
        guard let known = progress[id] else {
            initProgress(id, isLearner: true)
            configuration.learners.insert(id)
            return
        }
        if known.isLearner { return }
        remove(id)
        progress[id] = known
        // A member cannot vote in the outgoing half and be a learner, so that it waits for the end of the joint phase.
        if configuration.voters.outgoing.contains(id) {
            configuration.learnersNext.insert(id)
        } else {
            progress[id]?.isLearner = true
            configuration.learners.insert(id)
        }
    }

    private mutating func remove(_ id: UInt64) {
        if progress[id] == nil { return }
        configuration.voters.incoming.remove(id)
        configuration.learners.remove(id)
        configuration.learnersNext.remove(id)
        if !configuration.voters.outgoing.contains(id) { progress[id] = nil }
    }

    private mutating func initProgress(_ id: UInt64, isLearner: Bool) {
        // Probing starts at the last entry, which the newcomer has not: it refuses, and the leader learns where it is.
        // It counts as heard, so that a leader does not step down on account of a member just added.
        progress[id] = Progress(
            next: max(lastIndex, 1), inflights: emptyInflights, isLearner: isLearner, recentlyActive: true)
    }

    private func checkInvariants() {
        let voters = configuration.voters
        for id in voters.ids { precondition(progress[id] != nil, "no progress for \(id)") }
        for id in configuration.learners {
            precondition(progress[id]?.isLearner == true, "\(id) is in Learners, but is not marked as learner")
            precondition(!voters.contains(id), "\(id) is in Learners and Voters")
        }
        for id in configuration.learnersNext {
            precondition(progress[id]?.isLearner == false, "\(id) is in LearnersNext, but is already a learner")
            precondition(voters.outgoing.contains(id), "\(id) is in LearnersNext, but not in the outgoing voters")
        }
        precondition(
            configuration.isJoint || (configuration.learnersNext.isEmpty && !configuration.autoLeave),
            "learners-next or automatic leave outside a joint configuration")
    }

    /// Builds the configuration that `state` describes, from an empty one.
    mutating func restore(_ state: ConfState) throws(ConfigurationChangeError) {
        var incoming: [ConfigurationChangeSingle] = []
        for id in state.votersOutgoing { incoming.append(.init(type: .removeNode, nodeID: id)) }
        for id in state.voters { incoming.append(.init(type: .addNode, nodeID: id)) }
        for id in state.learners + state.learnersNext { incoming.append(.init(type: .addLearnerNode, nodeID: id)) }
        if state.votersOutgoing.isEmpty {
            for change in incoming { try simple([change]) }
            return
        }
        for id in state.votersOutgoing { try simple([.init(type: .addNode, nodeID: id)]) }
        try enterJoint(autoLeave: state.autoLeave, incoming)
    }
}

extension ConfigurationChangeV2 {
    /// Whether this is the empty change that ends a joint configuration.
    public var leavesJoint: Bool { transition == .auto && changes.isEmpty }

    /// If this starts a joint configuration, whether that ends by itself; else nil.
    public var entersJoint: Bool? {
        guard transition != .auto || changes.count > 1 else { return nil }
        return transition != .jointExplicit
    }
}

extension ConfigurationChange {
    /// The change in the form that allows several steps.
    public var asV2: ConfigurationChangeV2 {
        ConfigurationChangeV2(changes: [.init(type: type, nodeID: nodeID)], context: context)
    }
}
