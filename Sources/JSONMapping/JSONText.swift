/// Strings of JSON: how they are read and written, as Go's `encoding/json` does both.
enum JSONText {
    private static let digits = Array("0123456789abcdef".utf8)

    static func twoDigits(_ byte: UInt8) -> String {
        String(decoding: [digits[Int(byte >> 4)], digits[Int(byte & 15)]], as: UTF8.self)
    }

    static func hexadecimalValue(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }

    // MARK: Writing

    /// Appends `text`, which is meant to be UTF-8, as a string of JSON. What a browser could take for markup is escaped
    /// too; what is no UTF-8 becomes U+FFFD.
    static func append(_ text: UnsafeRawBufferPointer, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        if text.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && !needsEscape($0) }) {
            json.append(contentsOf: text)
        } else {
            appendEscaped(String(decoding: text, as: UTF8.self), to: &json)
        }
        json.append(UInt8(ascii: "\""))
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"): true
        default: byte < 0x20
        }
    }

    private static func appendEscaped(_ text: String, to json: inout [UInt8]) {
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22: json.append(contentsOf: "\\\"".utf8)
            case 0x5C: json.append(contentsOf: "\\\\".utf8)
            case 0x08: json.append(contentsOf: "\\b".utf8)
            case 0x0C: json.append(contentsOf: "\\f".utf8)
            case 0x0A: json.append(contentsOf: "\\n".utf8)
            case 0x0D: json.append(contentsOf: "\\r".utf8)
            case 0x09: json.append(contentsOf: "\\t".utf8)
            case 0..<0x20, 0x3C, 0x3E, 0x26:
                json.append(contentsOf: "\\u00\(twoDigits(UInt8(truncatingIfNeeded: scalar.value)))".utf8)
            case 0x2028: json.append(contentsOf: "\\u2028".utf8)
            case 0x2029: json.append(contentsOf: "\\u2029".utf8)
            // Go writes what is no UTF-8 as an escape; a replacement character that was sent as such cannot be told apart.
            case 0xFFFD: json.append(contentsOf: "\\ufffd".utf8)
            default: json.append(contentsOf: UTF8.encode(scalar) ?? UTF8.EncodedScalar())
            }
        }
    }

    // MARK: Reading

    /// The text between the quotes of a string that the scanner has accepted. Lone surrogates and what is no UTF-8 become
    /// U+FFFD.
    static func unescape(_ raw: ArraySlice<UInt8>) -> [UInt8] {
        guard raw.contains(where: { $0 == UInt8(ascii: "\\") || $0 >= 0x80 }) else { return Array(raw) }
        var text: [UInt8] = []
        text.reserveCapacity(raw.count)
        var rest = raw
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\"), let code = rest.popFirst() else {
                text.append(byte)
                continue
            }
            switch code {
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"): text.append(contentsOf: UTF8.encode(scalar(&rest)) ?? UTF8.EncodedScalar())
            default: text.append(code)
            }
        }
        return Array(String(decoding: text, as: UTF8.self).utf8)
    }

    /// The character that four digits name, with those of the escape behind when the two are a surrogate pair.
    private static func scalar(_ rest: inout ArraySlice<UInt8>) -> Unicode.Scalar {
        let replacement: Unicode.Scalar = "\u{FFFD}"
        let first = codeUnit(&rest)
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, rest.starts(with: Array("\\u".utf8)) else { return replacement }
        var behind = rest.dropFirst(2)
        let second = codeUnit(&behind)
        guard second >= 0xDC00, second < 0xE000 else { return replacement }
        rest = behind
        return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? replacement
    }

    private static func codeUnit(_ rest: inout ArraySlice<UInt8>) -> UInt32 {
        var value: UInt32 = 0
        for byte in rest.prefix(4) { value = value << 4 | (hexadecimalValue(byte) ?? 0) }
        rest = rest.dropFirst(4)
        return value
    }
}

/// Text as JSON has it.
public enum JSONString {
    /// `text` in quotes, escaped as Go's encoder does it.
    public static func quoted(_ text: String) -> String {
        var json: [UInt8] = []
        var text = text
        text.withUTF8 { JSONText.append(UnsafeRawBufferPointer($0), to: &json) }
        return String(decoding: json, as: UTF8.self)
    }
}

/// Bytes as JSON has them.
public enum Base64Value {
    /// The bytes of padded or unpadded base64; nil when it is none.
    public static func decode(_ text: String) -> [UInt8]? {
        var letters = Array(text.utf8)
        while letters.count % 4 != 0 { letters.append(UInt8(ascii: "=")) }
        return try? Base64Text.decode(letters)
    }
}
