import EtcdAPI

/// What a request is counted with against the quota before it is written: etcd's estimate of the space it takes. What
/// costs nothing passes whatever the quota says.
public enum RequestCost {
    /// Counted with each put for what is kept beside key and value.
    private static let putOverhead = 256
    /// Counted with each lease.
    public static let leaseGrant = 64

    /// The cost of a put.
    public static func put(key: Int, value: Int) -> Int { putOverhead + key + value }

    /// The cost of the dearer branch of a transaction, with the puts of transactions inside it.
    public static func txn(_ request: TxnRequest) -> Int {
        max(branch(request.success, nested: true), branch(request.failure, nested: true))
    }

    /// The cost by which etcd decides, when an entry is applied, whether the alarm NOSPACE refuses it: puts of nested
    /// transactions are not counted. Members of etcd in the same cluster must decide alike.
    static func appliedTxn(_ request: TxnRequest) -> Int {
        max(branch(request.success, nested: false), branch(request.failure, nested: false))
    }

    private static func branch(_ operations: [RequestOp], nested: Bool) -> Int {
        operations.reduce(0) { sum, operation in
            switch operation {
            case .put(let request): sum + put(key: request.key.count, value: request.value.count)
            case .txn(let inner): nested ? sum + txn(inner) : sum
            case .none, .range, .deleteRange: sum
            }
        }
    }
}
