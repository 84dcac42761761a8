import GRPC

/// What stands before every method, in the order in which it is asked: the last guard applied is asked first.
struct CallGuards {
    var leaders: LeaderRequirement
    var learners: LearnerRestriction
    var auth: AuthGuard

    /// `methods`, each behind all guards.
    func guarding(_ methods: [String: Method]) -> [String: Method] {
        var guarded = methods
        for (path, method) in methods {
            guarded[path] = learners.guarding(leaders.guarding(auth.guarding(method, at: path)), at: path)
        }
        return guarded
    }
}
