/// The answer to a probe (`/raft/probing`): that the member is well, and its clock.
public struct ProbeAnswer: Equatable, Sendable {
    public var isWell: Bool
    /// The member's clock in nanoseconds since 1970.
    public var unixNanoseconds: Int64

    /// An answer given at a time.
    public init(isWell: Bool, unixNanoseconds: Int64) {
        self.isWell = isWell
        self.unixNanoseconds = unixNanoseconds
    }

    /// The JSON object that etcd's members send, with the newline that ends it.
    public var json: String { "{\"OK\":\(isWell),\"Now\":\"\(Timestamp.text(unixNanoseconds))\"}\n" }

    /// Reads the JSON object; nil when `text` is none of this form.
    public init?(json text: String) {
        guard let well = Self.value(of: "OK", in: text), let now = Self.value(of: "Now", in: text),
            now.hasPrefix("\""), now.hasSuffix("\""), now.utf8.count > 2,
            let time = Timestamp.nanoseconds(String(now.dropFirst().dropLast()))
        else { return nil }
        isWell = well == "true"
        unixNanoseconds = time
    }

    /// The text of a member's value in a flat JSON object.
    private static func value(of name: String, in text: String) -> Substring? {
        let parts = text.split(whereSeparator: { "{},\n".contains($0) })
        for part in parts {
            let trimmed = part.drop { $0 == " " }
            guard trimmed.hasPrefix("\"\(name)\":") else { continue }
            var value = trimmed.dropFirst(name.count + 3).drop { $0 == " " }
            while value.last == " " { value.removeLast() }
            return value
        }
        return nil
    }
}

/// Times as RFC 3339 writes them.
enum Timestamp {
    private static let nanosecondsPerSecond: Int64 = 1_000_000_000

    /// `nanoseconds` since 1970 in UTC, with as many digits of the second as it takes.
    static func text(_ nanoseconds: Int64) -> String {
        var (seconds, fraction) = nanoseconds.quotientAndRemainder(dividingBy: nanosecondsPerSecond)
        if fraction < 0 {
            fraction += nanosecondsPerSecond
            seconds -= 1
        }
        var days = seconds / 86_400
        var rest = seconds % 86_400
        if rest < 0 {
            rest += 86_400
            days -= 1
        }
        let (year, month, day) = date(days)
        var text =
            "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
            + "\(padded(rest / 3600, 2)):\(padded(rest / 60 % 60, 2)):\(padded(rest % 60, 2))"
        if fraction > 0 {
            var digits = padded(fraction, 9)
            while digits.hasSuffix("0") { digits.removeLast() }
            text += "." + digits
        }
        return text + "Z"
    }

    /// The time that `text` names, in nanoseconds since 1970; nil when it is none between 1970 and 2200.
    static func nanoseconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[range] {
                guard (48...57).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1970...2200).contains(year),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
        else { return nil }
        var position = 19
        var fraction: Int64 = 0
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            position += 1
            var scale = nanosecondsPerSecond / 10
            while position < bytes.count, (48...57).contains(bytes[position]) {
                fraction += Int64(bytes[position] - 48) * scale
                scale /= 10
                position += 1
            }
        }
        var offset: Int64 = 0
        guard position < bytes.count else { return nil }
        switch bytes[position] {
        case UInt8(ascii: "Z"), UInt8(ascii: "z"): position += 1
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            guard let hours = number(position + 1..<position + 3), let minutes = number(position + 4..<position + 6)
            else {
                return nil
            }
            offset = (hours * 60 + minutes) * (bytes[position] == UInt8(ascii: "-") ? -60 : 60)
            position += 6
        default: return nil
        }
        guard position == bytes.count else { return nil }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
        return seconds * nanosecondsPerSecond + fraction
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    // The calendar repeats every 400 years, which are 146,097 days. Years are counted from March, so that the leap day is
    // the last of its year.

    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let monthFromMarch = (month + 9) % 12
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }

    private static func date(_ daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let total = daysSince1970 + 719_468
        let era = (total >= 0 ? total : total - 146_096) / 146_097
        let dayOfEra = total - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }
}
