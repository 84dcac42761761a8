/// Flags of the log.
extension MemberConfiguration {
    static let loggingFlags: [FlagDefinition] = [
        .choice("logger", ["zap", "capnslog"], "zap", "Form of the log lines; 'zap' is the only one."),
        .list(
            "log-outputs", "default",
            "Where log lines go: 'default', 'stderr', 'stdout', 'systemd/journal', or paths of files."
        )
        .formerly("log-output"),
        .text("log-level", "info", "Least severe log lines to write: debug, info, warn, error, panic, fatal."),
        .text("log-format", "json", "Form of a log line: 'json' or 'console'."),
        .toggle("enable-log-rotation", false, "Rotate the one file in log-outputs."),
        .text("log-rotation-config-json", LogRotation.standardText, "How to rotate it."),
        .toggle("disable-log-sampling", false, "Write each line, however many are alike."),
        .toggle("debug", false, "Write debug lines, as --log-level=debug does.")
            .warning("'--debug' flag is deprecated; use '--log-level=debug' flag instead"),
        .text("log-package-levels", "Levels of etcd's own packages.")
            .withoutEffect("this server has no such packages; use --log-level"),
    ]
}

/// Where log lines go and which.
public struct LoggingSettings: Equatable, Sendable {
    /// One place where lines go.
    public enum Output: Equatable, Sendable {
        case standardError, standardOutput, journal
        case file(String)
    }

    /// The form of a line.
    public enum Format: String, Sendable {
        case json, console
    }

    public var level: MemberConfiguration.LogLevel
    public var format: Format
    public var outputs: [Output]
    /// How the one file is rotated; nil when it is not.
    public var rotation: LogRotation?
    /// Whether of very many lines that are alike only some are written.
    public var isSampled: Bool

    init(_ settings: Settings) {
        level = Self.level(settings)
        let formatName = settings.text("log-format")
        if Format(rawValue: formatName) == nil {
            settings.note("unknown log format: \(formatName), supported values json, console")
        }
        format = Format(rawValue: formatName) ?? .json
        if settings.choice("logger") == "capnslog" {
            settings.note("--logger=capnslog is removed in v3.5")
        }
        let names = settings.list("log-outputs")
        outputs = names.map {
            switch $0 {
            case "default", "stderr": .standardError
            case "stdout": .standardOutput
            case "systemd/journal": .journal
            default: .file($0)
            }
        }
        if names.isEmpty { outputs = [.standardError] }
        if names.count > 1 && names.contains("default") {
            settings.note("multi logoutput for \"default\" is not supported yet")
        }
        isSampled = !settings.isOn("disable-log-sampling")
        rotation = settings.isOn("enable-log-rotation") ? Self.rotation(settings, outputs) : nil
    }

    private static func level(_ settings: Settings) -> MemberConfiguration.LogLevel {
        if settings.isOn("debug") { return .debug }
        let name = settings.text("log-level")
        if let level = MemberConfiguration.LogLevel(rawValue: name.lowercased()) { return level }
        settings.note("unrecognized level: \"\(name)\"")
        return .info
    }

    private static func rotation(_ settings: Settings, _ outputs: [Output]) -> LogRotation? {
        var isOneFile = false
        if outputs.count == 1, case .file = outputs[0] { isOneFile = true }
        if !isOneFile {
            settings.note("--log-outputs requires a single file path when --log-rotate-config-json is defined")
        }
        do throws(LogRotation.Invalid) {
            return try LogRotation(parsing: settings.text("log-rotation-config-json"))
        } catch {
            settings.note("log rotation config: \(error.reason)")
            return nil
        }
    }
}
