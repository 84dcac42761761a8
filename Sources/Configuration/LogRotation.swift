/// How a log file is rotated: etcd's `--log-rotation-config-json`.
public struct LogRotation: Equatable, Sendable {
    /// Why a text is no such configuration.
    struct Invalid: Error {
        var reason: String
    }

    static let standardText =
        #"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#

    /// The size in megabytes at which a new file begins; 0 is 100.
    public var maximumMegabytes = 100
    /// Days after which an old file is removed; 0 is never.
    public var maximumAgeDays = 0
    /// Old files that are kept; 0 keeps all.
    public var maximumBackups = 0
    /// Whether the names of old files carry the local time.
    public var usesLocalTime = false
    /// Whether old files are compressed.
    public var compresses = false

    /// More megabytes, days or files than anybody has; what is reckoned with them still fits.
    private static let greatest = 1_000_000_000

    /// Reads a JSON object with etcd's keys; those that are absent have their defaults.
    init(parsing text: String) throws(Invalid) {
        let document = try FlatJSON(text)
        for (key, value) in document.members {
            switch (key.lowercased(), value) {
            case ("maxsize", .number(let number)): maximumMegabytes = number == 0 ? 100 : number
            case ("maxage", .number(let number)): maximumAgeDays = number
            case ("maxbackups", .number(let number)): maximumBackups = number
            case ("localtime", .bool(let isOn)): usesLocalTime = isOn
            case ("compress", .bool(let isOn)): compresses = isOn
            case ("maxsize", _), ("maxage", _), ("maxbackups", _): throw Invalid(reason: "\(key) is no number")
            case ("localtime", _), ("compress", _): throw Invalid(reason: "\(key) is neither true nor false")
            default: throw Invalid(reason: "unknown key \"\(key)\"")
            }
        }
        for number in [maximumMegabytes, maximumAgeDays, maximumBackups] {
            if number < 0 { throw Invalid(reason: "a number is below zero") }
            if number > Self.greatest { throw Invalid(reason: "\(number) is above \(Self.greatest)") }
        }
    }
}

/// A JSON object whose members are whole numbers, truth values and plain strings.
private struct FlatJSON {
    enum Value {
        case number(Int)
        case bool(Bool)
        case text(String)
    }

    private(set) var members: [(key: String, value: Value)] = []
    private var rest: Substring

    init(_ text: String) throws(LogRotation.Invalid) {
        rest = Substring(text)
        try expect("{")
        if !take("}") {
            repeat {
                let key = try string()
                try expect(":")
                members.append((key, try value()))
            } while take(",")
            try expect("}")
        }
        skipSpace()
        guard rest.isEmpty else { throw failure("the end") }
    }

    private mutating func skipSpace() {
        rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" }
    }

    private mutating func take(_ mark: Character) -> Bool {
        skipSpace()
        guard rest.first == mark else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func expect(_ mark: Character) throws(LogRotation.Invalid) {
        guard take(mark) else { throw failure("'\(mark)'") }
    }

    private func failure(_ expected: String) -> LogRotation.Invalid {
        LogRotation.Invalid(reason: "expected \(expected) at \"\(rest.prefix(20))\"")
    }

    private mutating func string() throws(LogRotation.Invalid) -> String {
        try expect("\"")
        let text = rest.prefix { $0 != "\"" && $0 != "\\" }
        rest = rest.dropFirst(text.count)
        guard rest.first == "\"" else { throw failure("'\"'") }
        rest.removeFirst()
        return String(text)
    }

    private mutating func value() throws(LogRotation.Invalid) -> Value {
        skipSpace()
        if rest.first == "\"" { return .text(try string()) }
        let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "." }
        rest = rest.dropFirst(word.count)
        if word == "true" { return .bool(true) }
        if word == "false" { return .bool(false) }
        guard let number = Int(word) else { throw LogRotation.Invalid(reason: "\"\(word)\" is no value") }
        return .number(number)
    }
}
