import Configuration
import Glibc
import Logging

/// The two forms of a line that etcd's zap has.
struct LogEncoding: Sendable {
    let format: LoggingSettings.Format

    /// One line with its end, the fields in the order of their names.
    func line(
        level: Logger.Level, time: LogTime, caller: String, message: String, fields: Logger.Metadata
    ) -> String {
        let sorted = fields.sorted { $0.key < $1.key }
        var line = ""
        line.reserveCapacity(128 + message.utf8.count + 48 * sorted.count)
        switch format {
        case .json:
            line += "{\"level\":\"\(Self.name(of: level))\",\"ts\":\"\(time.text)\",\"caller\":"
            Self.appendQuoted(caller, to: &line)
            line += ",\"msg\":"
            Self.appendQuoted(message, to: &line)
            for (key, value) in sorted {
                line += ","
                Self.appendField(key, value, separator: ":", comma: ",", to: &line)
            }
            line += "}\n"
        case .console:
            line += "\(time.text)\t\(Self.name(of: level))\t\(caller)\t"
            Self.appendEscaped(message, isQuoted: false, to: &line)
            if !sorted.isEmpty {
                line += "\t{"
                for (index, (key, value)) in sorted.enumerated() {
                    if index > 0 { line += ", " }
                    Self.appendField(key, value, separator: ": ", comma: ", ", to: &line)
                }
                line += "}"
            }
            line += "\n"
        }
        return line
    }

    static func name(of level: Logger.Level) -> String {
        switch level {
        case .trace, .debug: "debug"
        case .info, .notice: "info"
        case .warning: "warn"
        case .error: "error"
        case .critical: "fatal"
        }
    }

    private static func appendField(
        _ key: String, _ value: Logger.Metadata.Value, separator: String, comma: String, to line: inout String
    ) {
        appendQuoted(key, to: &line)
        line += separator
        append(value, separator: separator, comma: comma, to: &line)
    }

    private static func append(
        _ value: Logger.Metadata.Value, separator: String, comma: String, to line: inout String
    ) {
        switch value {
        case .string(let text): appendQuoted(text, to: &line)
        case .stringConvertible(let value):
            // Numbers and switches stand bare, as in etcd's lines.
            if value is any BinaryInteger || value is Bool || value is Double {
                line += value.description
            } else {
                appendQuoted(value.description, to: &line)
            }
        case .array(let values):
            line += "["
            for (index, value) in values.enumerated() {
                if index > 0 { line += "," }
                append(value, separator: separator, comma: comma, to: &line)
            }
            line += "]"
        case .dictionary(let values):
            line += "{"
            for (index, (key, value)) in values.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { line += comma }
                appendField(key, value, separator: separator, comma: comma, to: &line)
            }
            line += "}"
        }
    }

    private static func appendQuoted(_ text: String, to line: inout String) {
        line += "\""
        appendEscaped(text, isQuoted: true, to: &line)
        line += "\""
    }

    /// Writes what would end the line, or the string, by other characters.
    private static func appendEscaped(_ text: String, isQuoted: Bool, to line: inout String) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"" where isQuoted: line += "\\\""
            case "\\" where isQuoted: line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case let other where other.value < 0x20 || other.value == 0x7F:
                let digits = String(other.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: line.unicodeScalars.append(scalar)
            }
        }
    }
}

/// A moment as log lines and names of old files show it.
struct LogTime {
    private let parts: tm
    private let nanoseconds: Int

    /// The present, in the time zone of the machine.
    static func now() -> LogTime {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return LogTime(now, isLocal: true)
    }

    init(_ moment: timespec, isLocal: Bool) {
        var seconds = moment.tv_sec
        var parts = tm()
        if isLocal { localtime_r(&seconds, &parts) } else { gmtime_r(&seconds, &parts) }
        self.parts = parts
        nanoseconds = moment.tv_nsec
    }

    /// As etcd has it: `2026-11-21T09:32:49.014306Z`, or with the zone as `+0100`.
    var text: String {
        "\(date)T\(time(separator: ":")).\(Self.padded(nanoseconds / 1000, 6))\(zone)"
    }

    /// As it stands in the name of a file that was rotated: `2026-11-21T09-32-49.014`.
    var fileText: String {
        "\(date)T\(time(separator: "-")).\(Self.padded(nanoseconds / 1_000_000, 3))"
    }

    private var date: String {
        "\(parts.tm_year + 1900)-\(Self.padded(Int(parts.tm_mon) + 1, 2))-\(Self.padded(Int(parts.tm_mday), 2))"
    }

    private func time(separator: String) -> String {
        [parts.tm_hour, parts.tm_min, parts.tm_sec].map { Self.padded(Int($0), 2) }.joined(separator: separator)
    }

    private var zone: String {
        let minutes = parts.tm_gmtoff / 60
        if minutes == 0 { return "Z" }
        return "\(minutes < 0 ? "-" : "+")\(Self.padded(abs(minutes) / 60, 2))\(Self.padded(abs(minutes) % 60, 2))"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }
}
