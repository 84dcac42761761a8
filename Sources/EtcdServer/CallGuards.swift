import GRPC

/// What stands before every method. The audit log is asked first, so that it hears of what the others refuse.
struct CallGuards {
    var leaders: LeaderRequirement
    var learners: LearnerRestriction
    var auth: AuthGuard
    var audit: AuditTrail?

    /// `methods`, each behind all guards.
    func guarding(_ methods: [String: Method]) -> [String: Method] {
        var guarded = methods
        for (path, method) in methods {
            let served = learners.guarding(leaders.guarding(auth.guarding(method, at: path)), at: path)
            guarded[path] = audit?.guarding(served, at: path, auth.authority) ?? served
        }
        return guarded
    }
}
