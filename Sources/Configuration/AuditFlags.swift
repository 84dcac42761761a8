/// Flags of the audit log, which etcd does not have.
extension MemberConfiguration {
    static let auditFlags: [FlagDefinition] = [
        .text("audit-log-path", "File to which it is written what clients do, a line of JSON each; none when empty."),
        .choice("audit-log-keys", ["plain", "hash"], "plain", "Tell keys as they are, or their SHA-256 alone."),
        .unsigned(
            "audit-log-sample", 1, upTo: UInt64(Int32.max),
            "Tell one in so many calls that went well; those that failed are told all."),
        .unsigned(
            "audit-log-max-megabytes", 100, upTo: 1_000_000, "Megabytes after which the file is moved aside."),
        .unsigned("audit-log-max-files", 5, upTo: 1000, "Files that were moved aside and are kept."),
    ]
}

/// The audit log.
public struct AuditSettings: Equatable, Sendable {
    /// Where it is written; nil when it is not.
    public var path: String?
    /// Whether keys are told as hashes.
    public var hashesKeys: Bool
    public var sample: Int
    public var fileBytes: Int
    public var files: Int

    init(_ settings: Settings) {
        let text = settings.text("audit-log-path")
        path = text.isEmpty ? nil : text
        hashesKeys = settings.choice("audit-log-keys") == "hash"
        sample = settings.number("audit-log-sample")
        let megabytes: Int = settings.number("audit-log-max-megabytes")
        fileBytes = megabytes << 20
        files = settings.number("audit-log-max-files")
        for (name, value) in [("sample", sample), ("max-megabytes", megabytes), ("max-files", files)] where value == 0 {
            settings.note("--audit-log-\(name) must be >0 (set to 0)")
        }
    }
}
