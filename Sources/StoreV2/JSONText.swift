/// JSON that is being written, byte for byte as Go's encoder writes it.
struct JSONText {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    /// What was written since the last call.
    mutating func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    /// Begins an object, as the value of what was named last or in a list.
    mutating func beginObject() {
        separate()
        bytes.append(UInt8(ascii: "{"))
        needsComma = false
    }

    mutating func endObject() {
        bytes.append(UInt8(ascii: "}"))
        needsComma = true
    }

    /// Ends the line behind what is whole.
    mutating func endLine() { bytes.append(UInt8(ascii: "\n")) }

    mutating func beginList() {
        separate()
        bytes.append(UInt8(ascii: "["))
        needsComma = false
    }

    mutating func endList() {
        bytes.append(UInt8(ascii: "]"))
        needsComma = true
    }

    /// Names the next value.
    mutating func name(_ name: String) { self.name(Array(name.utf8)) }

    mutating func name(_ name: [UInt8]) {
        string(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    mutating func number(_ value: UInt64) { literal("\(value)") }

    /// Writes a value that is JSON already.
    mutating func json(_ value: [UInt8]) {
        separate()
        bytes += value
        needsComma = true
    }

    mutating func literal(_ text: String) {
        separate()
        bytes += Array(text.utf8)
        needsComma = true
    }

    mutating func string(_ text: String) { string(Array(text.utf8)) }

    /// Writes a string of any bytes; those that are no UTF-8 become U+FFFD.
    mutating func string(_ value: [UInt8]) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        var position = 0
        while position < value.count {
            let byte = value[position]
            if byte < 0x80 {
                ascii(byte)
                position += 1
                continue
            }
            let length = Self.sequenceLength(value[position...])
            if length == 0 {
                bytes += Array("\\ufffd".utf8)
                position += 1
                continue
            }
            let sequence = value[position..<position + length]
            // Lines end at these two in JavaScript, so Go escapes them.
            if sequence.elementsEqual([0xe2, 0x80, 0xa8]) {
                bytes += Array("\\u2028".utf8)
            } else if sequence.elementsEqual([0xe2, 0x80, 0xa9]) {
                bytes += Array("\\u2029".utf8)
            } else {
                bytes += sequence
            }
            position += length
        }
        bytes.append(UInt8(ascii: "\""))
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func ascii(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
        case UInt8(ascii: "\n"): bytes += Array("\\n".utf8)
        case UInt8(ascii: "\r"): bytes += Array("\\r".utf8)
        case UInt8(ascii: "\t"): bytes += Array("\\t".utf8)
        case 0..<0x20, UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"):
            let digits = Array("0123456789abcdef".utf8)
            bytes += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        default: bytes.append(byte)
        }
    }

    /// The length of the UTF-8 sequence that `bytes` begin with; 0 when it is none.
    private static func sequenceLength(_ bytes: ArraySlice<UInt8>) -> Int {
        guard let first = bytes.first else { return 0 }
        let length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
        return String(validating: bytes.prefix(length), as: UTF8.self) == nil ? 0 : length
    }
}
