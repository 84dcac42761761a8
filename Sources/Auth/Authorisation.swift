import EtcdAPI

/// The one walk over a request that says whether its caller may make it: every key that it reads, compares, writes or
/// deletes, in whichever branch of whichever nested transaction, and every key that hangs on a lease that it uses.
///
/// Members walk before they propose or read, and again as they apply.
public struct Authorisation {
    /// Which checks are made.
    public enum Rules: Sendable {
        /// All.
        case complete
        /// Those of etcd 3.4.23, which looks neither into nested transactions nor at what a put inside a transaction
        /// returns or hangs on. With one of its kind in the cluster every member must apply as it does, or their data
        /// would differ.
        case version3_4
    }

    let state: AuthState
    let caller: Caller
    let rules: Rules
    let keysOfLease: (Int64) -> [[UInt8]]

    /// A walk for `caller` over the permissions of `state`. `keysOfLease` gives the keys that hang on a lease, none for a
    /// lease that is not there.
    public init(
        _ state: AuthState, caller: Caller, rules: Rules = .complete, keysOfLease: @escaping (Int64) -> [[UInt8]]
    ) {
        self.state = state
        self.caller = caller
        self.rules = rules
        self.keysOfLease = keysOfLease
    }

    public func check(_ request: RangeRequest) throws(EtcdError) {
        try state.check(caller, .read, request.key, request.rangeEnd)
    }

    public func check(_ request: PutRequest) throws(EtcdError) {
        try state.check(caller, .write, request.key)
        try checkLease(request.lease)
        if request.prevKV { try state.check(caller, .read, request.key) }
    }

    public func check(_ request: DeleteRangeRequest) throws(EtcdError) {
        try state.check(caller, .write, request.key, request.rangeEnd)
        if request.prevKV { try state.check(caller, .read, request.key, request.rangeEnd) }
    }

    public func check(_ request: TxnRequest) throws(EtcdError) {
        for comparison in request.compare { try state.check(caller, .read, comparison.key, comparison.rangeEnd) }
        for operation in request.success { try check(operation) }
        for operation in request.failure { try check(operation) }
    }

    private func check(_ operation: RequestOp) throws(EtcdError) {
        switch operation {
        case .none: break
        case .range(let request): try check(request)
        case .put(let request):
            if rules == .complete { try check(request) } else { try state.check(caller, .write, request.key) }
        case .deleteRange(let request): try check(request)
        case .txn(let request): if rules == .complete { try check(request) }
        }
    }

    /// Whoever attaches to a lease or revokes it must be allowed to write all that hangs on it.
    public func checkLease(_ id: Int64) throws(EtcdError) {
        if id == 0 { return }
        // etcd 3.4 checks root's auth revision too.
        if rules == .complete && state.isRoot(caller) { return }
        for key in keysOfLease(id) { try state.check(caller, .write, key) }
    }

    /// Whoever is told of a lease's keys must be allowed to read them.
    public func checkReading(ofLease id: Int64) throws(EtcdError) {
        if state.isRoot(caller) { return }
        for key in keysOfLease(id) { try state.check(caller, .read, key) }
    }
}

extension TxnRequest {
    /// The leases that puts name, in whichever branch.
    public var leases: Set<Int64> {
        var found: Set<Int64> = []
        for operation in success + failure {
            switch operation {
            case .put(let request): if request.lease != 0 { found.insert(request.lease) }
            case .txn(let nested): found.formUnion(nested.leases)
            case .none, .range, .deleteRange: break
            }
        }
        return found
    }
}
