import Logging

/// What the log says of the quota at the start.
enum QuotaNote {
    /// etcd's default: 2 GiB.
    private static let usual: Int64 = 2 << 30
    /// etcd's advice for the largest file: 8 GiB. Beyond that a start, a snapshot and a defragmentation take long.
    private static let advised: Int64 = 8 << 30

    static func write(_ bytes: Int64, _ logger: Logger) {
        var fields: Logger.Metadata = ["quota-size-bytes": .stringConvertible(bytes)]
        switch bytes {
        case ..<0: logger.info("disabled backend quota", metadata: fields)
        case usual: logger.info("enabled backend quota with default value", metadata: fields)
        case (advised + 1)...:
            fields["quota-maximum-size-bytes"] = .stringConvertible(advised)
            logger.warning("quota exceeds the maximum value", metadata: fields)
        default: logger.info("enabled backend quota", metadata: fields)
        }
    }
}
