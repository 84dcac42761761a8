/// The name of a segment file: its place in the sequence and the first index that may be in it, in hexadecimal.
struct SegmentName: Equatable {
    var sequence: UInt64
    var firstIndex: UInt64

    private static let suffix = ".wal"

    init(sequence: UInt64, firstIndex: UInt64) {
        self.sequence = sequence
        self.firstIndex = firstIndex
    }

    /// The name that `text` spells, or nil when it is not a segment's. A log never comes to the last sequence number,
    /// which has no successor.
    init?(_ text: String) {
        guard text.hasSuffix(Self.suffix) else { return nil }
        guard let pair = HexPair.parse(text.dropLast(Self.suffix.count)), pair.0 < .max else { return nil }
        self.init(sequence: pair.0, firstIndex: pair.1)
    }

    var text: String { "\(HexPair.text(sequence))-\(HexPair.text(firstIndex))\(Self.suffix)" }
}

/// The `%016x-%016x` that names of segments and snapshots are made of.
enum HexPair {
    /// Sixteen lower-case hexadecimal digits.
    static func text(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The number that sixteen lower-case hexadecimal digits spell, or nil.
    static func number(_ text: Substring) -> UInt64? {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let letters = UInt8(ascii: "a")...UInt8(ascii: "f")
        guard text.utf8.count == 16, text.utf8.allSatisfy({ digits ~= $0 || letters ~= $0 }) else { return nil }
        return UInt64(text, radix: 16)
    }

    /// The two numbers of `text`, or nil when it is not such a pair.
    static func parse(_ text: Substring) -> (UInt64, UInt64)? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = number(parts[0]), let second = number(parts[1]) else { return nil }
        return (first, second)
    }
}
