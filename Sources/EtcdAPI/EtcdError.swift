/// An error that a client sees: a gRPC code and etcd's exact text, by which clients of every language tell errors apart.
///
/// The constants are the table of etcd 3.7 (`api/v3rpc/rpctypes/error.go`). Three codes differ from 3.4, which answered
/// Unavailable: ``notCapable``, ``notSupportedForLearner`` and ``clusterVersionUnavailable``.
public struct EtcdError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The gRPC status code.
    public var code: RPCCode
    /// The status message.
    public var message: String

    /// An error with `code` and `message`.
    public init(_ code: RPCCode, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

// MARK: The request itself

extension EtcdError {
    /// A key is missing where one is needed.
    public static let emptyKey = EtcdError(.invalidArgument, "etcdserver: key is not provided")
    /// A put that keeps value or lease names a key that does not exist.
    public static let keyNotFound = EtcdError(.invalidArgument, "etcdserver: key not found")
    /// A put asks to keep the value and brings one.
    public static let valueProvided = EtcdError(.invalidArgument, "etcdserver: value is provided")
    /// A put asks to keep the lease and brings one.
    public static let leaseProvided = EtcdError(.invalidArgument, "etcdserver: lease is provided")
    /// A transaction has more operations or comparisons than `--max-txn-ops`.
    public static let tooManyOperations = EtcdError(.invalidArgument, "etcdserver: too many operations in txn request")
    /// A transaction would write one key twice.
    public static let duplicateKey = EtcdError(.invalidArgument, "etcdserver: duplicate key given in txn request")
    /// The `client-api-version` metadata is not UTF-8.
    public static let invalidClientAPIVersion = EtcdError(.invalidArgument, "etcdserver: invalid client api version")
    /// A range names a sort order or target that does not exist.
    public static let invalidSortOption = EtcdError(.invalidArgument, "etcdserver: invalid sort option")
    /// A request is larger than `--max-request-bytes`.
    public static let requestTooLarge = EtcdError(.invalidArgument, "etcdserver: request is too large")
    /// Too many proposals wait to be applied.
    public static let tooManyRequests = EtcdError(.resourceExhausted, "etcdserver: too many requests")
    /// A write's answer is not to be had. etcd has no such case: it takes what memory there is.
    public static let answerTooLarge = EtcdError(
        .resourceExhausted, "etcdserver: the request was carried out, but there is no memory for its answer")
}

// MARK: Revisions and space

extension EtcdError {
    /// The revision asked for has been compacted away.
    public static let compacted = EtcdError(.outOfRange, "etcdserver: mvcc: required revision has been compacted")
    /// The revision asked for does not exist yet.
    public static let futureRevision = EtcdError(
        .outOfRange, "etcdserver: mvcc: required revision is a future revision")
    /// The backend is at its quota; only reads and deletes pass.
    public static let noSpace = EtcdError(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
}

// MARK: Leases and watches

extension EtcdError {
    /// No lease has this id.
    public static let leaseNotFound = EtcdError(.notFound, "etcdserver: requested lease not found")
    /// A lease with the id asked for exists.
    public static let leaseExists = EtcdError(.failedPrecondition, "etcdserver: lease already exists")
    /// A time to live above 9,000,000,000 seconds.
    public static let leaseTTLTooLarge = EtcdError(.outOfRange, "etcdserver: too large lease TTL")
    /// The server closed a watch stream.
    public static let watchCanceled = EtcdError(.cancelled, "etcdserver: watch canceled")
}

// MARK: Members

extension EtcdError {
    /// The member to add is there already.
    public static let memberExists = EtcdError(.failedPrecondition, "etcdserver: member ID already exist")
    /// Another member has one of the peer URLs.
    public static let peerURLExists = EtcdError(.failedPrecondition, "etcdserver: Peer URLs already exists")
    /// The change would leave too few started members for a quorum. etcd means FAILED_PRECONDITION; its table of errors has
    /// the client's error here instead of the server's, which leaves without a code.
    public static let memberNotEnoughStarted = EtcdError(
        .unknown, "etcdserver: re-configuration failed due to not enough started members")
    /// A peer URL cannot be parsed.
    public static let memberBadURLs = EtcdError(.invalidArgument, "etcdserver: given member URLs are invalid")
    /// No member has this id.
    public static let memberNotFound = EtcdError(.notFound, "etcdserver: member not found")
    /// The member to promote votes already.
    public static let memberNotLearner = EtcdError(.failedPrecondition, "etcdserver: can only promote a learner member")
    /// The learner to promote is too far behind.
    public static let learnerNotReady = EtcdError(
        .failedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader")
    /// The cluster has its maximum of learners.
    public static let tooManyLearners = EtcdError(
        .failedPrecondition, "etcdserver: too many learner members in cluster")
    /// A peer belongs to another cluster.
    public static let clusterIDMismatch = EtcdError(.failedPrecondition, "etcdserver: cluster ID mismatch")
    /// A learner serves serializable ranges and status only.
    public static let notSupportedForLearner = EtcdError(
        .failedPrecondition, "etcdserver: rpc not supported for learner")
    /// The member that should lead cannot.
    public static let badLeaderTransferee = EtcdError(.failedPrecondition, "etcdserver: bad leader transferee")
}

// MARK: Auth

extension EtcdError {
    /// Auth cannot be enabled without a user root.
    public static let rootUserNotExist = EtcdError(.failedPrecondition, "etcdserver: root user does not exist")
    /// Auth cannot be enabled while root lacks its role.
    public static let rootRoleNotExist = EtcdError(.failedPrecondition, "etcdserver: root user does not have root role")
    /// A user of this name exists.
    public static let userAlreadyExists = EtcdError(.failedPrecondition, "etcdserver: user name already exists")
    /// A user needs a name.
    public static let userEmpty = EtcdError(.invalidArgument, "etcdserver: user name is empty")
    /// No user has this name.
    public static let userNotFound = EtcdError(.failedPrecondition, "etcdserver: user name not found")
    /// A role of this name exists.
    public static let roleAlreadyExists = EtcdError(.failedPrecondition, "etcdserver: role name already exists")
    /// No role has this name.
    public static let roleNotFound = EtcdError(.failedPrecondition, "etcdserver: role name not found")
    /// A role needs a name.
    public static let roleEmpty = EtcdError(.invalidArgument, "etcdserver: role name is empty")
    /// Name and password do not match.
    public static let authFailed = EtcdError(
        .invalidArgument, "etcdserver: authentication failed, invalid user ID or password")
    /// A grant without a permission.
    public static let permissionNotGiven = EtcdError(.invalidArgument, "etcdserver: permission not given")
    /// The user may not do this.
    public static let permissionDenied = EtcdError(.permissionDenied, "etcdserver: permission denied")
    /// The role to revoke was never granted.
    public static let roleNotGranted = EtcdError(.failedPrecondition, "etcdserver: role is not granted to the user")
    /// The permission to revoke was never granted.
    public static let permissionNotGranted = EtcdError(
        .failedPrecondition, "etcdserver: permission is not granted to the role")
    /// The call needs auth to be enabled.
    public static let authNotEnabled = EtcdError(.failedPrecondition, "etcdserver: authentication is not enabled")
    /// The token is unknown or expired; clients fetch a new one.
    public static let invalidAuthToken = EtcdError(.unauthenticated, "etcdserver: invalid auth token")
    /// A user without password was given one. etcd has no code for it.
    public static let passwordForPasswordlessUser = EtcdError(
        .unknown, "auth: authentication failed, password was given for no password user")
    /// The change would lock root out while auth is enabled.
    public static let invalidAuthManagement = EtcdError(.invalidArgument, "etcdserver: invalid auth management")
    /// Permissions changed between check and apply; clients fetch a new token.
    public static let authOldRevision = EtcdError(.invalidArgument, "etcdserver: revision of auth store is old")
}

// MARK: State of the member and the cluster

extension EtcdError {
    /// No leader is known.
    public static let noLeader = EtcdError(.unavailable, "etcdserver: no leader")
    /// Only the leader can do this.
    public static let notLeader = EtcdError(.failedPrecondition, "etcdserver: not leader")
    /// The leader changed while the request was under way.
    public static let leaderChanged = EtcdError(.unavailable, "etcdserver: leader changed")
    /// The cluster's version does not have this call.
    public static let notCapable = EtcdError(.failedPrecondition, "etcdserver: not capable")
    /// The member is shutting down.
    public static let stopped = EtcdError(.unavailable, "etcdserver: server stopped")
    /// No answer from the quorum in time.
    public static let timeout = EtcdError(.unavailable, "etcdserver: request timed out")
    /// As ``timeout``, and the leader was lost meanwhile.
    public static let timeoutDueToLeaderFailure = EtcdError(
        .unavailable, "etcdserver: request timed out, possibly due to previous leader failure")
    /// As ``timeout``, and this member's connection to the leader was lost.
    public static let timeoutDueToConnectionLost = EtcdError(
        .unavailable, "etcdserver: request timed out, possibly due to connection lost")
    /// This member did not catch up with the index of a linearizable read in time.
    public static let timeoutWaitAppliedIndex = EtcdError(
        .unavailable, "etcdserver: request timed out, waiting for the applied index took too long")
    /// Leadership did not move in time; etcd gives this one no code of its own.
    public static let timeoutLeaderTransfer = EtcdError(
        .unknown, "etcdserver: request timed out, leader transfer took too long")
    /// Too few members are connected for a safe membership change.
    public static let unhealthy = EtcdError(.unavailable, "etcdserver: unhealthy cluster")
    /// The corruption alarm is raised.
    public static let corrupt = EtcdError(.dataLoss, "etcdserver: corrupt cluster")
    /// The caller gave the request up.
    public static let canceled = EtcdError(.cancelled, "etcdserver: request canceled")
    /// The caller's deadline passed.
    public static let deadlineExceeded = EtcdError(.deadlineExceeded, "etcdserver: context deadline exceeded")
}

// MARK: Downgrade

extension EtcdError {
    /// The cluster has not agreed on a version yet.
    public static let clusterVersionUnavailable = EtcdError(
        .failedPrecondition, "etcdserver: cluster version not found during downgrade")
    /// The target is not a version.
    public static let wrongDowngradeVersionFormat = EtcdError(
        .invalidArgument, "etcdserver: wrong downgrade target version format")
    /// The target is not one minor version below.
    public static let invalidDowngradeTargetVersion = EtcdError(
        .invalidArgument, "etcdserver: invalid downgrade target version")
    /// A downgrade is under way.
    public static let downgradeInProcess = EtcdError(
        .failedPrecondition, "etcdserver: cluster has a downgrade job in progress")
    /// No downgrade is under way.
    public static let noInflightDowngrade = EtcdError(.failedPrecondition, "etcdserver: no inflight downgrade job")
}

extension EtcdError {
    /// The whole table.
    public static let all: [EtcdError] = [
        .emptyKey, .keyNotFound, .valueProvided, .leaseProvided, .tooManyOperations, .duplicateKey,
        .invalidClientAPIVersion, .invalidSortOption, .requestTooLarge, .tooManyRequests, .compacted, .futureRevision,
        .noSpace, .leaseNotFound, .leaseExists, .leaseTTLTooLarge, .watchCanceled, .memberExists, .peerURLExists,
        .memberNotEnoughStarted, .memberBadURLs, .memberNotFound, .memberNotLearner, .learnerNotReady,
        .tooManyLearners, .clusterIDMismatch, .notSupportedForLearner, .badLeaderTransferee, .rootUserNotExist,
        .rootRoleNotExist, .userAlreadyExists, .userEmpty, .userNotFound, .roleAlreadyExists, .roleNotFound,
        .roleEmpty, .authFailed, .permissionNotGiven, .permissionDenied, .roleNotGranted, .permissionNotGranted,
        .authNotEnabled, .invalidAuthToken, .invalidAuthManagement, .authOldRevision, .noLeader, .notLeader,
        .leaderChanged, .notCapable, .stopped, .timeout, .timeoutDueToLeaderFailure, .timeoutDueToConnectionLost,
        .timeoutWaitAppliedIndex, .timeoutLeaderTransfer, .unhealthy, .corrupt, .canceled, .deadlineExceeded,
        .clusterVersionUnavailable, .wrongDowngradeVersionFormat, .invalidDowngradeTargetVersion, .downgradeInProcess,
        .noInflightDowngrade,
    ]
}
