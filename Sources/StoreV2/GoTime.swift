/// Times as Go writes them in JSON (RFC 3339 with as many digits of the second as count).
enum GoTime {
    /// Go's time without a value.
    static let zero = "0001-01-01T00:00:00Z"

    /// The text of a time in nanoseconds since 1970, in UTC.
    static func text(_ nanoseconds: Int64) -> String {
        let (seconds, fraction) = floorDivided(nanoseconds, by: 1_000_000_000)
        let (days, second) = floorDivided(seconds, by: 86_400)
        let date = civil(days: days)
        func padded(_ number: Int64, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        var text = "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T"
        text += "\(padded(second / 3_600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
        if fraction != 0 {
            var digits = padded(fraction, 9)
            while digits.hasSuffix("0") { digits.removeLast() }
            text += ".\(digits)"
        }
        return text + "Z"
    }

    /// The nanoseconds since 1970 of a text; nil when it is no time, or one too far away to be counted so.
    static func nanoseconds(_ text: [UInt8]) -> Int64? {
        var rest = text[...]
        func number(_ digits: Int, _ range: ClosedRange<Int64>) -> Int64? {
            guard rest.count >= digits else { return nil }
            let value = Int64(String(decoding: rest.prefix(digits), as: UTF8.self))
            rest = rest.dropFirst(digits)
            return value.flatMap { range.contains($0) ? $0 : nil }
        }
        func character(_ expected: Unicode.Scalar) -> Bool { rest.popFirst() == UInt8(ascii: expected) }
        guard let year = number(4, 0...9999), character("-"), let month = number(2, 1...12), character("-"),
            let day = number(2, 1...31), character("T"), let hour = number(2, 0...23), character(":"),
            let minute = number(2, 0...59), character(":"), let second = number(2, 0...60)
        else { return nil }
        var fraction: Int64 = 0
        if rest.first == UInt8(ascii: ".") {
            let digits = rest.dropFirst().prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            rest = rest.dropFirst(digits.count + 1)
            let nine = digits.prefix(9) + [UInt8](repeating: UInt8(ascii: "0"), count: max(0, 9 - digits.count))
            guard let value = Int64(String(decoding: nine, as: UTF8.self)) else { return nil }
            fraction = value
        }
        var offset: Int64 = 0
        if rest.first != UInt8(ascii: "Z") {
            guard let sign = rest.popFirst(), [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(sign),
                let hours = number(2, 0...23), character(":"), let minutes = number(2, 0...59)
            else { return nil }
            offset = (sign == UInt8(ascii: "-") ? -1 : 1) * (hours * 3_600 + minutes * 60)
        } else {
            rest = rest.dropFirst()
        }
        guard rest.isEmpty else { return nil }
        let seconds = days(year: year, month: month, day: day) * 86_400 + hour * 3_600 + minute * 60 + second - offset
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, sumOverflow) = whole.addingReportingOverflow(fraction)
        return overflow || sumOverflow ? nil : sum
    }

    /// A time that has passed, as Go writes it: hours, minutes and seconds, or one smaller unit.
    static func duration(_ nanoseconds: Int64) -> String {
        let total = max(0, nanoseconds)
        func decimal(_ value: Int64, _ unit: Int64) -> String {
            var digits = String(value % unit)
            digits = String(repeating: "0", count: String(unit).count - 1 - digits.count) + digits
            while digits.hasSuffix("0") { digits.removeLast() }
            return "\(value / unit)" + (digits.isEmpty ? "" : ".\(digits)")
        }
        if total == 0 { return "0s" }
        if total < 1_000 { return "\(total)ns" }
        if total < 1_000_000 { return decimal(total, 1_000) + "µs" }
        if total < 1_000_000_000 { return decimal(total, 1_000_000) + "ms" }
        let seconds = decimal(total % 60_000_000_000, 1_000_000_000) + "s"
        let minutes = total / 60_000_000_000
        if minutes == 0 { return seconds }
        return minutes < 60 ? "\(minutes)m\(seconds)" : "\(minutes / 60)h\(minutes % 60)m\(seconds)"
    }

    private static func floorDivided(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    // The Gregorian calendar in cycles of 400 years, whose years begin in March so that leap days come last.
    private static let daysOfCycle: Int64 = 146_097
    private static let daysFromCycleTo1970: Int64 = 719_468

    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let (cycle, yearOfCycle) = floorDivided(year, by: 400)
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        let dayOfCycle = yearOfCycle * 365 + yearOfCycle / 4 - yearOfCycle / 100 + dayOfYear
        return cycle * daysOfCycle + dayOfCycle - daysFromCycleTo1970
    }

    private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (cycle, day) = floorDivided(days + daysFromCycleTo1970, by: daysOfCycle)
        let yearOfCycle = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (cycle * 400 + yearOfCycle + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}
