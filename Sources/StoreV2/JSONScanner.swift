/// Reads JSON piece by piece. The text may come from anywhere: nothing here trusts it, and nothing calls itself, however
/// deep it is.
struct JSONScanner {
    /// What is wrong, and where.
    struct Malformed: Error, CustomStringConvertible {
        var description: String
    }

    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    func malformed(_ what: String) -> Malformed { Malformed(description: "\(what) at byte \(position)") }

    /// The first byte of what comes next.
    mutating func peek() throws(Malformed) -> UInt8 {
        while position < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 }
        guard position < bytes.count else { throw malformed("the text ends early") }
        return bytes[position]
    }

    /// Takes `character`, which must come next.
    mutating func expect(_ character: Unicode.Scalar) throws(Malformed) {
        guard try peek() == UInt8(ascii: character) else { throw malformed("\"\(character)\" is missing") }
        position += 1
    }

    /// Takes `character` if it comes next.
    mutating func take(_ character: Unicode.Scalar) throws(Malformed) -> Bool {
        guard try peek() == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// Takes `null` if it comes next.
    mutating func takeNull() throws(Malformed) -> Bool {
        guard try peek() == UInt8(ascii: "n") else { return false }
        guard bytes[position...].starts(with: "null".utf8) else { throw malformed("an unknown word stands") }
        position += 4
        return true
    }

    /// The next name of an object that was begun; nil at its end.
    mutating func nextName(isFirst: Bool) throws(Malformed) -> [UInt8]? {
        if try take("}") { return nil }
        if !isFirst { try expect(",") }
        let name = try string()
        try expect(":")
        return name
    }

    /// Whether another element of a list that was begun follows; otherwise its end is taken.
    mutating func hasElement(isFirst: Bool) throws(Malformed) -> Bool {
        if try take("]") { return false }
        if !isFirst { try expect(",") }
        return true
    }

    /// A number, or 0 for null.
    mutating func number() throws(Malformed) -> UInt64 {
        if try takeNull() { return 0 }
        _ = try peek()
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
            position += 1
        }
        guard let value = UInt64(String(decoding: bytes[start..<position], as: UTF8.self)) else {
            throw malformed("no number stands")
        }
        return value
    }

    mutating func boolean() throws(Malformed) -> Bool {
        let isTrue = try peek() == UInt8(ascii: "t")
        guard bytes[position...].starts(with: (isTrue ? "true" : "false").utf8) else {
            throw malformed("neither true nor false stands")
        }
        position += isTrue ? 4 : 5
        return isTrue
    }

    mutating func string() throws(Malformed) -> [UInt8] {
        try expect("\"")
        var value: [UInt8] = []
        while true {
            guard position < bytes.count else { throw malformed("a string does not end") }
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return value }
            if byte == UInt8(ascii: "\\") { try escape(into: &value) } else { value.append(byte) }
        }
    }

    private mutating func escape(into value: inout [UInt8]) throws(Malformed) {
        guard position < bytes.count else { throw malformed("a string does not end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): value.append(byte)
        case UInt8(ascii: "b"): value.append(0x08)
        case UInt8(ascii: "f"): value.append(0x0c)
        case UInt8(ascii: "n"): value.append(0x0a)
        case UInt8(ascii: "r"): value.append(0x0d)
        case UInt8(ascii: "t"): value.append(0x09)
        case UInt8(ascii: "u"):
            let unit = try hexadecimal()
            var scalar = Unicode.Scalar(unit)
            // A character beyond the first plane comes as two halves.
            if (0xd800..<0xdc00).contains(unit), bytes[position...].starts(with: "\\u".utf8) {
                let start = position
                position += 2
                let low = try hexadecimal()
                if (0xdc00..<0xe000).contains(low) {
                    scalar = Unicode.Scalar(0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00))
                } else {
                    position = start
                }
            }
            value += Array(String(Character(scalar ?? "\u{fffd}")).utf8)
        default: throw malformed("an unknown escape stands")
        }
    }

    private mutating func hexadecimal() throws(Malformed) -> UInt32 {
        let digits = bytes[position...].prefix(4)
        // Swift would take a sign too.
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let unit = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw malformed("a \\u has no four digits") }
        position += 4
        return unit
    }

    /// Passes over a value of any kind.
    mutating func skip() throws(Malformed) {
        var depth = 0
        repeat {
            switch try peek() {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                position += 1
                guard depth >= 0 else { throw malformed("nothing was begun that could end") }
            case UInt8(ascii: "\""): _ = try string()
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { throw malformed("a value is missing") }
                position += 1
            default: try skipWord()
            }
        } while depth > 0
    }

    private mutating func skipWord() throws(Malformed) {
        let start = position
        let ends = Set("{}[],:\" \n\r\t".utf8)
        while position < bytes.count, !ends.contains(bytes[position]) { position += 1 }
        guard position > start else { throw malformed("a value is missing") }
    }
}
