/// Numbers and truth values as Go's `strconv` reads them, which is how etcd's flags are read.
enum GoNumber {
    /// Why a text is no number that fits.
    enum Failure: Error {
        case syntax, range

        /// Go's words.
        var text: String { self == .syntax ? "parse error" : "value out of range" }

        /// The words of `strconv`, which Go's flag package replaces.
        var strconvText: String { self == .syntax ? "invalid syntax" : "value out of range" }
    }

    /// The number of a text with an optional sign; `0x`, `0o`, `0b` and a leading zero name other bases, and underscores
    /// may stand between digits.
    static func integer<Number: FixedWidthInteger>(_ text: String) -> Result<Number, Failure> {
        var rest = Substring(text)
        var sign = ""
        if Number.isSigned, let first = rest.first, first == "-" || first == "+" {
            sign = String(first)
            rest = rest.dropFirst()
        }
        var radix = 10
        let lowered = rest.prefix(2).lowercased()
        for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] where lowered == prefix {
            radix = base
            rest = rest.dropFirst(2)
        }
        let isPrefixed = radix != 10
        if !isPrefixed, rest.count > 1, rest.first == "0" { radix = 8 }
        if rest.contains("_") {
            let isBetween = isPrefixed || !rest.hasPrefix("_")
            guard isBetween, !rest.hasSuffix("_"), !rest.contains("__") else { return .failure(.syntax) }
            rest = Substring(rest.replacing("_", with: ""))
        }
        guard !rest.isEmpty, rest.allSatisfy({ digit(of: $0).map { $0 < radix } ?? false }) else {
            return .failure(.syntax)
        }
        guard let number = Number(sign + rest, radix: radix) else { return .failure(.range) }
        return .success(number)
    }

    private static func digit(of character: Character) -> Int? {
        character.isASCII ? character.hexDigitValue : nil
    }

    static func bool(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }
}
