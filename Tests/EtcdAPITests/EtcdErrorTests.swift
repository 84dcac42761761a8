import EtcdAPI
import Testing

/// The table of errors, by the numbers and texts that clients compare with (etcd 3.7, `rpctypes/error.go`).
@Suite struct EtcdErrorTests {
    /// Code number and text of each error.
    private static let table: [(EtcdError, Int, String)] = [
        (.watchCanceled, 1, "etcdserver: watch canceled"),
        (.canceled, 1, "etcdserver: request canceled"),
        (.timeoutLeaderTransfer, 2, "etcdserver: request timed out, leader transfer took too long"),
        (.emptyKey, 3, "etcdserver: key is not provided"),
        (.keyNotFound, 3, "etcdserver: key not found"),
        (.valueProvided, 3, "etcdserver: value is provided"),
        (.leaseProvided, 3, "etcdserver: lease is provided"),
        (.tooManyOperations, 3, "etcdserver: too many operations in txn request"),
        (.duplicateKey, 3, "etcdserver: duplicate key given in txn request"),
        (.invalidClientAPIVersion, 3, "etcdserver: invalid client api version"),
        (.invalidSortOption, 3, "etcdserver: invalid sort option"),
        (.requestTooLarge, 3, "etcdserver: request is too large"),
        (.memberBadURLs, 3, "etcdserver: given member URLs are invalid"),
        (.userEmpty, 3, "etcdserver: user name is empty"),
        (.roleEmpty, 3, "etcdserver: role name is empty"),
        (.authFailed, 3, "etcdserver: authentication failed, invalid user ID or password"),
        (.permissionNotGiven, 3, "etcdserver: permission not given"),
        (.invalidAuthManagement, 3, "etcdserver: invalid auth management"),
        (.authOldRevision, 3, "etcdserver: revision of auth store is old"),
        (.wrongDowngradeVersionFormat, 3, "etcdserver: wrong downgrade target version format"),
        (.invalidDowngradeTargetVersion, 3, "etcdserver: invalid downgrade target version"),
        (.deadlineExceeded, 4, "etcdserver: context deadline exceeded"),
        (.leaseNotFound, 5, "etcdserver: requested lease not found"),
        (.memberNotFound, 5, "etcdserver: member not found"),
        (.permissionDenied, 7, "etcdserver: permission denied"),
        (.tooManyRequests, 8, "etcdserver: too many requests"),
        (.noSpace, 8, "etcdserver: mvcc: database space exceeded"),
        (.leaseExists, 9, "etcdserver: lease already exists"),
        (.memberExists, 9, "etcdserver: member ID already exist"),
        (.peerURLExists, 9, "etcdserver: Peer URLs already exists"),
        (.memberNotEnoughStarted, 2, "etcdserver: re-configuration failed due to not enough started members"),
        (.memberNotLearner, 9, "etcdserver: can only promote a learner member"),
        (.learnerNotReady, 9, "etcdserver: can only promote a learner member which is in sync with leader"),
        (.tooManyLearners, 9, "etcdserver: too many learner members in cluster"),
        (.clusterIDMismatch, 9, "etcdserver: cluster ID mismatch"),
        (.notSupportedForLearner, 9, "etcdserver: rpc not supported for learner"),
        (.badLeaderTransferee, 9, "etcdserver: bad leader transferee"),
        (.rootUserNotExist, 9, "etcdserver: root user does not exist"),
        (.rootRoleNotExist, 9, "etcdserver: root user does not have root role"),
        (.userAlreadyExists, 9, "etcdserver: user name already exists"),
        (.userNotFound, 9, "etcdserver: user name not found"),
        (.roleAlreadyExists, 9, "etcdserver: role name already exists"),
        (.roleNotFound, 9, "etcdserver: role name not found"),
        (.roleNotGranted, 9, "etcdserver: role is not granted to the user"),
        (.permissionNotGranted, 9, "etcdserver: permission is not granted to the role"),
        (.authNotEnabled, 9, "etcdserver: authentication is not enabled"),
        (.notLeader, 9, "etcdserver: not leader"),
        (.notCapable, 9, "etcdserver: not capable"),
        (.clusterVersionUnavailable, 9, "etcdserver: cluster version not found during downgrade"),
        (.downgradeInProcess, 9, "etcdserver: cluster has a downgrade job in progress"),
        (.noInflightDowngrade, 9, "etcdserver: no inflight downgrade job"),
        (.compacted, 11, "etcdserver: mvcc: required revision has been compacted"),
        (.futureRevision, 11, "etcdserver: mvcc: required revision is a future revision"),
        (.leaseTTLTooLarge, 11, "etcdserver: too large lease TTL"),
        (.noLeader, 14, "etcdserver: no leader"),
        (.leaderChanged, 14, "etcdserver: leader changed"),
        (.stopped, 14, "etcdserver: server stopped"),
        (.timeout, 14, "etcdserver: request timed out"),
        (.timeoutDueToLeaderFailure, 14, "etcdserver: request timed out, possibly due to previous leader failure"),
        (.timeoutDueToConnectionLost, 14, "etcdserver: request timed out, possibly due to connection lost"),
        (.timeoutWaitAppliedIndex, 14, "etcdserver: request timed out, waiting for the applied index took too long"),
        (.unhealthy, 14, "etcdserver: unhealthy cluster"),
        (.corrupt, 15, "etcdserver: corrupt cluster"),
        (.invalidAuthToken, 16, "etcdserver: invalid auth token"),
    ]

    @Test func codesAndTexts() {
        for (error, code, text) in Self.table {
            #expect(error.code.rawValue == code, "\(text)")
            #expect(error.message == text)
            #expect("\(error)" == text)
        }
    }

    @Test func theTableIsWhole() {
        #expect(Set(Self.table.map(\.0)) == Set(EtcdError.all))
        #expect(EtcdError.all.count == Self.table.count)
    }

    /// Clients find an error by its text alone, so no text may stand for two.
    @Test func textsAreUnique() {
        #expect(Set(EtcdError.all.map(\.message)).count == EtcdError.all.count)
        #expect(EtcdError.all.allSatisfy { $0.message.hasPrefix("etcdserver: ") })
    }

    @Test func codesAreThoseOfGRPC() {
        #expect(RPCCode.allCases.map(\.rawValue) == Array(0...16))
        #expect(RPCCode.unauthenticated.rawValue == 16)
    }
}
