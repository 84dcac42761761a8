extension Cluster {
    /// Why a change of the members is not made. The descriptions are etcd's, by which its members tell each other.
    public enum Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        case idRemoved
        case idExists
        case idNotFound
        case peerURLExists
        case memberNotLearner
        case tooManyLearners
        /// Too few of the voters that would be there have ever started.
        case notEnoughStarted
        /// Too few voters are connected to the member that was asked.
        case unhealthy
        /// The learner lacks too much of the leader's log.
        case learnerNotReady
        /// The change's context is not a member.
        case malformed(String)

        public var description: String {
            switch self {
            case .idRemoved: "membership: ID removed"
            case .idExists: "membership: ID exists"
            case .idNotFound: "membership: ID not found"
            case .peerURLExists: "membership: peerURL exists"
            case .memberNotLearner: "membership: can only promote a learner member"
            case .tooManyLearners: "membership: too many learner members in cluster"
            case .notEnoughStarted: "etcdserver: re-configuration failed due to not enough started members"
            case .unhealthy: "etcdserver: unhealthy cluster"
            case .learnerNotReady: "etcdserver: can only promote a learner member which is in sync with leader"
            case .malformed(let what): what
            }
        }
    }
}
