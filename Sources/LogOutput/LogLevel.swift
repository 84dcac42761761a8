import Configuration
import Logging
import Synchronization

/// The least severe level of which lines are written: one for the whole process, changed while it runs.
public enum LogLevel {
    private static let number = Atomic(rank(.info))

    /// The level in force.
    public static var current: Logger.Level {
        let number = number.load(ordering: .relaxed)
        return Logger.Level.allCases.indices.contains(number) ? Logger.Level.allCases[number] : .info
    }

    /// Changes the level from now on. Any thread.
    public static func set(_ level: Logger.Level) {
        number.store(rank(level), ordering: .relaxed)
    }

    /// The names that etcd 3.4 takes at run time, those of its old log, besides the names of the flag.
    private static let olderNames: [String: Logger.Level] = [
        "CRITICAL": .critical, "C": .critical, "E": .error, "0": .error, "WARNING": .warning, "W": .warning,
        "1": .warning, "NOTICE": .info, "N": .info, "2": .info, "I": .info, "3": .info, "D": .debug, "4": .debug,
        "TRACE": .debug, "T": .debug, "5": .debug,
    ]

    /// Changes the level to one of etcd's names, in any case; false when the name is none of them.
    public static func set(named name: String) -> Bool {
        if let level = MemberConfiguration.LogLevel(rawValue: name.lowercased()) {
            set(level.severity)
        } else if let level = olderNames[name.uppercased()] {
            set(level)
        } else {
            return false
        }
        return true
    }

    /// etcd's name of the level in force.
    public static var name: String { LogEncoding.name(of: current) }

    private static func rank(_ level: Logger.Level) -> Int {
        Logger.Level.allCases.firstIndex(of: level) ?? 0
    }
}

extension MemberConfiguration.LogLevel {
    /// The level that lines of this name have here.
    public var severity: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warn: .warning
        case .error: .error
        case .panic, .fatal: .critical
        }
    }
}
