extension MemberConfiguration {
    /// The flags in groups, in the order in which the help shows them.
    static let groups: [(title: String, flags: [FlagDefinition])] = [
        ("Member", memberFlags),
        ("Listeners", listenerFlags),
        ("Clustering", clusteringFlags),
        ("Discovery", discoveryFlags),
        ("Security", securityFlags),
        ("Auth", authFlags),
        ("Monitoring and consistency", monitoringFlags),
        ("Distributed tracing", tracingFlags),
        ("Logging", loggingFlags),
        ("Audit log", auditFlags),
        ("v2 API and proxy", legacyFlags),
        ("Unsafe features", unsafeFlags),
        ("Other", commandFlags),
    ]

    /// Every flag.
    static var definitions: [FlagDefinition] { groups.flatMap(\.flags) + ignoredFlags }

    /// How the command is called.
    public static let usage = """
        Usage:

          etcd [flags]
            Start an etcd server.

          etcd --version
            Show the version of etcd.

          etcd -h | --help
            Show the help information about etcd.

          etcd --config-file
            Path to the server configuration file. Other flags and environment variables are then ignored.

        Each flag is also an environment variable: --data-dir is ETCD_DATA_DIR.

        """

    /// The text that `--help` shows of the flags.
    public static var help: String {
        var text = ""
        for group in groups {
            text += "\n\(group.title):\n"
            for flag in group.flags where !flag.isFileOnly { text += help(flag) }
        }
        return text
    }

    private static func help(_ flag: FlagDefinition) -> String {
        var text = "  --\(flag.name) '\(flag.fallback)'\n    \(flag.help)\n"
        if case .none(let reason) = flag.effect { text += "    Taken without effect: \(reason).\n" }
        if let gate = flag.gate { text += "    The older way to say --feature-gates=\(gate)=….\n" }
        if !flag.formerNames.isEmpty {
            text += "    Also --\(flag.formerNames.joined(separator: ", --")).\n"
        }
        return text
    }
}
