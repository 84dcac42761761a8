import GRPC

/// What stands before every method, in the order in which it is asked: the last guard applied is asked first.
struct CallGuards {
    var leaders: LeaderRequirement
    var learners: LearnerRestriction

    /// `methods`, each behind all guards.
    func guarding(_ methods: [String: Method]) -> [String: Method] {
        var guarded = methods
        for (path, method) in methods {
            guarded[path] = learners.guarding(leaders.guarding(method), at: path)
        }
        return guarded
    }
}
