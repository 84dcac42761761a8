import Crypto

/// How much of keys the audit log tells.
public enum AuditKeys: String, CaseIterable, Sendable {
    case plain
    /// Their SHA-256, which tells equal keys and not what they are.
    case hash
}

/// Writes events as lines of JSON.
struct AuditLine {
    /// Subjects of one event that are told; a transaction may have thousands.
    static let subjectLimit = 64
    /// Bytes of a key, or of a text that a client has sent, that are told.
    static let textLimit = 1024

    private var bytes: [UInt8] = []

    /// The line of `event`, with its end.
    static func bytes(of event: AuditEvent, keys: AuditKeys) -> [UInt8] {
        var line = AuditLine()
        line.write(event, keys)
        return line.bytes
    }

    private mutating func write(_ event: AuditEvent, _ keys: AuditKeys) {
        append("{\"ts\":\"\(Timestamp.text(event.time))\",\"stage\":\"\(event.stage.rawValue)\"")
        field("user", event.user ?? "-")
        if let certificate = event.certificate { field("cn", certificate) }
        field("remote", event.peer)
        field("method", event.method)
        let subjects = event.subjects
        if !subjects.isEmpty {
            append(",\"about\":[")
            for (index, subject) in subjects.prefix(Self.subjectLimit).enumerated() {
                if index > 0 { append(",") }
                write(subject, keys)
            }
            append("]")
            if subjects.count > Self.subjectLimit { append(",\"more\":\(subjects.count - Self.subjectLimit)") }
        }
        if let code = event.code {
            field("code", code)
            append(",\"us\":\(event.microseconds)")
        }
        append("}\n")
    }

    private mutating func write(_ subject: AuditSubject, _ keys: AuditKeys) {
        append("{")
        for (index, field) in subject.fields.enumerated() {
            if index > 0 { append(",") }
            append("\"\(field.name)\":")
            switch field.value {
            case .text(let text): string(text)
            case .number(let number): append("\(number)")
            case .id(let id): append("\"\(String(id, radix: 16))\"")
            case .key(let key): write(key: key, keys)
            }
        }
        append("}")
    }

    /// A key that is text stands there as text; one that is not, or whose hash alone is told, as an object that says how.
    private mutating func write(key: [UInt8], _ keys: AuditKeys) {
        switch keys {
        case .hash: append("{\"sha256\":\"\(Self.hexadecimal(SHA256.hash(data: key)))\"}")
        case .plain:
            let told = key.prefix(Self.textLimit)
            if told.count == key.count, let text = String(validating: key, as: UTF8.self) {
                string(text)
            } else {
                append("{\"hex\":\"\(Self.hexadecimal(told))\",\"bytes\":\(key.count)}")
            }
        }
    }

    private mutating func field(_ name: String, _ value: String) {
        append(",\"\(name)\":")
        string(value)
    }

    private mutating func string(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        defer { bytes.append(UInt8(ascii: "\"")) }
        // Most texts are short and plain.
        if text.utf8.count <= Self.textLimit, text.utf8.allSatisfy(Self.isPlain) {
            bytes += text.utf8
            return
        }
        for scalar in text.unicodeScalars.prefix(Self.textLimit) {
            switch scalar {
            case "\"": append("\\\"")
            case "\\": append("\\\\")
            case "\n": append("\\n")
            // Control characters, and the two line ends that some readers of JSON take for such.
            case _ where scalar.value < 0x20 || scalar.value == 0x7f || (0x2028...0x2029).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                append("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
            default: bytes += UTF8.encode(scalar).map(Array.init) ?? []
            }
        }
    }

    /// Whether a byte stands in JSON as it is, whatever comes before and after.
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private mutating func append(_ text: String) { bytes += text.utf8 }

    private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// Times as text: `2026-11-21T09:00:00.123Z`.
enum Timestamp {
    static func text(_ unixMilliseconds: UInt64) -> String {
        let seconds = Int(unixMilliseconds / 1000)
        let (days, rest) = (seconds / 86_400, seconds % 86_400)
        let date = civil(days)
        let time = [rest / 3600, rest / 60 % 60, rest % 60].map { padded($0, 2) }.joined(separator: ":")
        return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T\(time)."
            + "\(padded(Int(unixMilliseconds % 1000), 3))Z"
    }

    /// The date so many days after 1970-01-01, in the Gregorian calendar. Years are counted from March, so that the day
    /// that some have is their last.
    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        )
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = "\(number)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
