/// The parameters of a request as Go's HTTP server reads them: those of a form in the body first, then those of the query.
public struct Form: Equatable, Sendable {
    private var values: [[UInt8]: [UInt8]] = [:]

    /// As many parameters are read as Go's newest servers read: no honest request has more, and each costs time on the
    /// connection's thread.
    private static let limit = 10_000

    /// No parameters.
    public init() {}

    /// The first value of a parameter; nil when it is not given.
    public subscript(name: String) -> [UInt8]? { values[Array(name.utf8)] }

    /// Adds the parameters of `text`, which do not take the place of those that are there.
    /// - Returns: What is wrong with the text, in Go's words; what can be read is added all the same.
    public mutating func add(_ text: [UInt8]) -> String? {
        var mistake: String?
        let parts = text.split(separator: UInt8(ascii: "&"), maxSplits: Self.limit)
        if parts.count > Self.limit { return "number of URL query parameters exceeded limit" }
        for part in parts {
            if part.contains(UInt8(ascii: ";")) {
                mistake = mistake ?? "invalid semicolon separator in query"
                continue
            }
            let pair = part.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            do {
                let name = try Self.unescaped(pair[0], plusIsSpace: true)
                let value = pair.count > 1 ? try Self.unescaped(pair[1], plusIsSpace: true) : []
                if values[name] == nil { values[name] = value }
            } catch {
                mistake = mistake ?? error.description
            }
        }
        return mistake
    }

    /// An escape that is none.
    public struct InvalidEscape: Error, Equatable, CustomStringConvertible {
        /// In Go's words.
        public var description: String
    }

    /// The bytes that `text` stands for.
    public static func unescaped(
        _ text: some Collection<UInt8>, plusIsSpace: Bool = false
    ) throws(InvalidEscape) -> [UInt8] {
        let text = Array(text)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            let byte = text[position]
            position += 1
            if byte == UInt8(ascii: "+") && plusIsSpace {
                bytes.append(UInt8(ascii: " "))
            } else if byte == UInt8(ascii: "%") {
                let digits = text[position...].prefix(2)
                guard digits.count == 2, let high = digit(digits[position]), let low = digit(digits[position + 1])
                else {
                    let shown = String(decoding: [byte] + digits, as: UTF8.self)
                    throw InvalidEscape(description: "invalid URL escape \"\(shown)\"")
                }
                bytes.append(high << 4 | low)
                position += 2
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8($0) }
    }
}
