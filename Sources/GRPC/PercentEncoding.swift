/// The encoding of `grpc-message`: UTF-8 with every octet outside printable ASCII, and `%` itself, as `%XX`.
///
/// Source: gRPC over HTTP/2, "Percent-Encoded".
enum PercentEncoding {
    private static let digits = Array("0123456789ABCDEF".utf8)

    /// `text` as octets that a header value may carry.
    static func encode(_ text: String) -> [UInt8] {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            if byte >= 0x20, byte <= 0x7E, byte != UInt8(ascii: "%") {
                encoded.append(byte)
            } else {
                encoded.append(UInt8(ascii: "%"))
                encoded.append(digits[Int(byte >> 4)])
                encoded.append(digits[Int(byte & 0xF)])
            }
        }
        return encoded
    }

    /// The text that `bytes` stand for. A `%` that two hexadecimal digits do not follow stands for itself, and octets
    /// that are not UTF-8 become the replacement character: a bad message must not hide the status it came with.
    static func decode(_ bytes: UnsafeRawBufferPointer) -> String {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = value(bytes[index + 1]),
                let low = value(bytes[index + 2])
            {
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    /// What a hexadecimal digit stands for; nil for another byte.
    static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
