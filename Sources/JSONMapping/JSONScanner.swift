/// Finds where a JSON value ends, byte by byte, and refuses what is no JSON with the words of Go's decoder, which is what
/// etcd's clients know. It takes any cut of its input, so it can follow a stream.
///
/// It keeps one bit for each level of nesting and never recurses.
public struct JSONScanner: Sendable {
    /// What a byte did.
    public enum Event: Sendable, Equatable {
        /// The value goes on.
        case goesOn
        /// The value ended with this byte.
        case ended
        /// The value, a number, ended before this byte, which is not part of it.
        case endedBefore
    }

    /// Why the bytes are no JSON value.
    public struct Failure: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    /// The levels that Go's decoder takes.
    private static let maximumDepth = 10_000

    private enum State {
        case beginValue, beginValueOrEmpty, beginString, beginStringOrEmpty
        case endValue, endTop
        case inString, inStringEscape, inStringHexadecimal
        case negative, zero, digits, point, fraction, exponent, exponentSign, exponentDigits
        case literal
    }

    private enum Place {
        case objectKey, objectValue, arrayElement
    }

    private var state = State.beginValue
    private var stack: [Place] = []
    private var literal: StaticString = ""
    private var literalPosition = 0
    private var hexadecimalDigits = 0
    /// Whether anything but white space was seen since the last value.
    public private(set) var isInsideValue = false

    /// A scanner before a value.
    public init() {}

    /// Takes the next byte.
    public mutating func step(_ byte: UInt8) throws(Failure) -> Event {
        if !isInsideValue {
            if Self.isSpace(byte) { return .goesOn }
            isInsideValue = true
        }
        switch state {
        case .beginValue, .beginValueOrEmpty: return try beginValue(byte)
        case .beginString, .beginStringOrEmpty: return try beginString(byte)
        case .endValue, .endTop: return try endValue(byte)
        case .inString: return try inString(byte)
        case .inStringEscape: return try inStringEscape(byte)
        case .inStringHexadecimal: return try inHexadecimal(byte)
        case .literal: return try inLiteral(byte)
        default: return try inNumber(byte)
        }
    }

    /// Says that no more bytes come: true when a value, a number, ended with the last one.
    public mutating func finish() -> Bool {
        guard isInsideValue, stack.isEmpty else { return false }
        switch state {
        case .zero, .digits, .fraction, .exponentDigits:
            reset()
            return true
        default: return false
        }
    }

    private mutating func reset() {
        state = .beginValue
        stack.removeAll(keepingCapacity: true)
        isInsideValue = false
    }

    // MARK: Values

    private mutating func beginValue(_ byte: UInt8) throws(Failure) -> Event {
        if Self.isSpace(byte) { return .goesOn }
        if state == .beginValueOrEmpty, byte == UInt8(ascii: "]") { return endContainer() }
        switch byte {
        case UInt8(ascii: "{"):
            try push(.objectKey, byte)
            state = .beginStringOrEmpty
        case UInt8(ascii: "["):
            try push(.arrayElement, byte)
            state = .beginValueOrEmpty
        case UInt8(ascii: "\""): state = .inString
        case UInt8(ascii: "-"): state = .negative
        case UInt8(ascii: "0"): state = .zero
        case UInt8(ascii: "1")...UInt8(ascii: "9"): state = .digits
        case UInt8(ascii: "t"): begin("true")
        case UInt8(ascii: "f"): begin("false")
        case UInt8(ascii: "n"): begin("null")
        default: throw Self.failure(byte, "looking for beginning of value")
        }
        return .goesOn
    }

    private mutating func push(_ place: Place, _ byte: UInt8) throws(Failure) {
        guard stack.count < Self.maximumDepth else { throw Self.failure(byte, "exceeded max depth") }
        stack.append(place)
    }

    private mutating func begin(_ text: StaticString) {
        literal = text
        literalPosition = 1
        state = .literal
    }

    private mutating func inLiteral(_ byte: UInt8) throws(Failure) -> Event {
        let expected = literal.utf8Start[literalPosition]
        guard byte == expected else {
            let letter = String(decoding: [expected], as: UTF8.self)
            throw Self.failure(byte, "in literal \(literal) (expecting '\(letter)')")
        }
        literalPosition += 1
        return literalPosition == literal.utf8CodeUnitCount ? endedScalar() : .goesOn
    }

    private mutating func beginString(_ byte: UInt8) throws(Failure) -> Event {
        if Self.isSpace(byte) { return .goesOn }
        if state == .beginStringOrEmpty, byte == UInt8(ascii: "}") { return endContainer() }
        guard byte == UInt8(ascii: "\"") else {
            throw Self.failure(byte, "looking for beginning of object key string")
        }
        state = .inString
        return .goesOn
    }

    /// A value other than a number has ended.
    private mutating func endedScalar() -> Event {
        guard !stack.isEmpty else {
            reset()
            return .ended
        }
        state = .endValue
        return .goesOn
    }

    private mutating func endContainer() -> Event {
        stack.removeLast()
        return endedScalar()
    }

    private mutating func endValue(_ byte: UInt8) throws(Failure) -> Event {
        if Self.isSpace(byte) { return .goesOn }
        guard let place = stack.last else { throw Self.failure(byte, "after top-level value") }
        switch place {
        case .objectKey:
            guard byte == UInt8(ascii: ":") else { throw Self.failure(byte, "after object key") }
            stack[stack.count - 1] = .objectValue
            state = .beginValue
        case .objectValue:
            if byte == UInt8(ascii: "}") { return endContainer() }
            guard byte == UInt8(ascii: ",") else { throw Self.failure(byte, "after object key:value pair") }
            stack[stack.count - 1] = .objectKey
            state = .beginString
        case .arrayElement:
            if byte == UInt8(ascii: "]") { return endContainer() }
            guard byte == UInt8(ascii: ",") else { throw Self.failure(byte, "after array element") }
            state = .beginValue
        }
        return .goesOn
    }

    // MARK: Strings

    private mutating func inString(_ byte: UInt8) throws(Failure) -> Event {
        switch byte {
        case UInt8(ascii: "\""): return endedScalar()
        case UInt8(ascii: "\\"): state = .inStringEscape
        case 0..<0x20: throw Self.failure(byte, "in string literal")
        default: break
        }
        return .goesOn
    }

    private mutating func inStringEscape(_ byte: UInt8) throws(Failure) -> Event {
        switch byte {
        case UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"),
            UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "\""):
            state = .inString
        case UInt8(ascii: "u"):
            hexadecimalDigits = 0
            state = .inStringHexadecimal
        default: throw Self.failure(byte, "in string escape code")
        }
        return .goesOn
    }

    private mutating func inHexadecimal(_ byte: UInt8) throws(Failure) -> Event {
        guard JSONText.hexadecimalValue(byte) != nil else {
            throw Self.failure(byte, "in \\u hexadecimal character escape")
        }
        hexadecimalDigits += 1
        if hexadecimalDigits == 4 { state = .inString }
        return .goesOn
    }

    // MARK: Numbers

    private mutating func inNumber(_ byte: UInt8) throws(Failure) -> Event {
        let isDigit = byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
        switch state {
        case .negative:
            guard isDigit else { throw Self.failure(byte, "in numeric literal") }
            state = byte == UInt8(ascii: "0") ? .zero : .digits
        case .zero, .digits:
            if state == .digits, isDigit { return .goesOn }
            if byte == UInt8(ascii: ".") {
                state = .point
            } else if byte | 0x20 == UInt8(ascii: "e") {
                state = .exponent
            } else {
                return try endedNumber(byte)
            }
        case .point:
            guard isDigit else { throw Self.failure(byte, "after decimal point in numeric literal") }
            state = .fraction
        case .fraction:
            if isDigit { return .goesOn }
            guard byte | 0x20 == UInt8(ascii: "e") else { return try endedNumber(byte) }
            state = .exponent
        case .exponent, .exponentSign:
            if state == .exponent, byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") {
                state = .exponentSign
                return .goesOn
            }
            guard isDigit else { throw Self.failure(byte, "in exponent of numeric literal") }
            state = .exponentDigits
        default:
            if !isDigit { return try endedNumber(byte) }
        }
        return .goesOn
    }

    private mutating func endedNumber(_ byte: UInt8) throws(Failure) -> Event {
        guard !stack.isEmpty else {
            reset()
            return .endedBefore
        }
        state = .endValue
        return try endValue(byte)
    }

    // MARK: Words

    static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }

    static func failure(_ byte: UInt8, _ context: String) -> Failure {
        Failure(description: "invalid character \(quoted(byte)) \(context)")
    }

    /// A byte as Go's `strconv` quotes the character of that number.
    static func quoted(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "'"): return "'\\''"
        case UInt8(ascii: "\\"): return "'\\\\'"
        case 0x07: return "'\\a'"
        case 0x08: return "'\\b'"
        case 0x0C: return "'\\f'"
        case 0x0A: return "'\\n'"
        case 0x0D: return "'\\r'"
        case 0x09: return "'\\t'"
        case 0x0B: return "'\\v'"
        case 0x20..<0x7F: return "'\(Character(Unicode.Scalar(byte)))'"
        case 0x00..<0x80: return "'\\x\(JSONText.twoDigits(byte))'"
        // The soft hyphen and the controls above ASCII are not printable to Go.
        case 0x80..<0xA1, 0xAD: return "'\\u00\(JSONText.twoDigits(byte))'"
        default: return "'\(Character(Unicode.Scalar(byte)))'"
        }
    }
}

extension JSONScanner {
    /// Checks that `bytes` are one value and nothing else, as Go's `json.Unmarshal` does first.
    static func check(_ bytes: ArraySlice<UInt8>) throws(Failure) {
        var scanner = JSONScanner()
        var hasEnded = false
        for byte in bytes {
            if hasEnded {
                guard isSpace(byte) else { throw failure(byte, "after top-level value") }
                continue
            }
            switch try scanner.step(byte) {
            case .goesOn: break
            case .ended: hasEnded = true
            case .endedBefore:
                hasEnded = true
                guard isSpace(byte) else { throw failure(byte, "after top-level value") }
            }
        }
        guard hasEnded || scanner.finish() else { throw Failure(description: "unexpected end of JSON input") }
    }
}
