import Raft

/// What a command puts out: its own text and the members' log lines.
final class TranscriptOutput {
    /// From which level on log lines are put out; `none` silences everything.
    enum Level: Int {
        case debug = 0
        case info, warn, error, fatal, none
    }

    private(set) var text = ""
    var level = Level.debug

    var isQuiet: Bool { level == .none }

    static let names = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"]

    func clear() { text = "" }

    func write(_ string: String) {
        if !isQuiet { text += string }
    }

    func log(_ level: LogLevel, _ line: String) {
        if level.rawValue >= self.level.rawValue { write("\(TranscriptOutput.names[level.rawValue]) \(line)\n") }
    }

    /// Indents what `body` writes.
    func indented(_ body: () throws -> Void) rethrows {
        let before = text
        text = ""
        defer {
            var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            if lines.last == "" { lines.removeLast() }
            text = before + lines.map { "  \($0)\n" }.joined()
        }
        try body()
    }
}
