/// The value of `grpc-timeout`: up to eight digits and a unit.
///
/// Source: gRPC over HTTP/2, "Timeout". The refusals are worded as grpc-go words them.
enum Timeout {
    /// Why a value is not a timeout.
    struct Malformed: Error, Equatable {
        let reason: String
    }

    /// The longest value: eight digits and the unit.
    private static let maximumLength = 9

    /// The timeout in nanoseconds, at most `Int64.max` (292 years), which a count of hours can exceed.
    static func decode(_ bytes: UnsafeRawBufferPointer) throws(Malformed) -> Int64 {
        guard bytes.count >= 2 else { throw malformed("timeout string is too short", bytes) }
        guard bytes.count <= maximumLength else { throw malformed("timeout string is too long", bytes) }
        let unit: Int64
        switch bytes[bytes.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "n"): unit = 1
        default: throw malformed("timeout unit is not recognized", bytes)
        }
        var count: Int64 = 0
        for byte in bytes.dropLast() {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else {
                throw malformed("timeout value is not a number", bytes)
            }
            count = count * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit)
        return overflow ? Int64.max : product
    }

    /// `nanoseconds` in the finest unit that eight digits hold, rounded up so that the far side never gives up early.
    static func encode(nanoseconds: Int64) -> String {
        let units: [(Int64, String)] = [
            (1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M"),
        ]
        let amount = max(nanoseconds, 0)
        for (unit, letter) in units {
            let count = amount / unit + (amount % unit == 0 ? 0 : 1)
            if count <= 99_999_999 { return "\(count)\(letter)" }
        }
        let hour: Int64 = 3_600_000_000_000
        return "\(amount / hour + (amount % hour == 0 ? 0 : 1))H"
    }

    private static func malformed(_ what: String, _ bytes: UnsafeRawBufferPointer) -> Malformed {
        Malformed(reason: "transport: \(what): \"\(String(decoding: bytes.prefix(64), as: UTF8.self))\"")
    }
}
