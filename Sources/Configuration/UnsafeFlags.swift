/// Flags that may cost data.
extension MemberConfiguration {
    static let unsafeFlags: [FlagDefinition] = [
        .toggle(
            "force-new-cluster", false, "Makes the member that the data directory holds the only one of its cluster."),
        .toggle("unsafe-no-fsync", false, "Never wait for the disk; a crash of the machine loses data."),
    ]

    /// Words that ask for something else than a running member.
    static let commandFlags: [FlagDefinition] = [
        .text("config-file", "Path to a configuration file; all other flags and variables are then ignored.")
            .notInFile(),
        .toggle("version", false, "Print the version and exit.").notInFile(),
    ]
}
