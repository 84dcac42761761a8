/// A version as members tell it to each other, `major.minor.patch` with an optional suffix.
public struct ServerVersion: Equatable, Sendable, CustomStringConvertible {
    public var major: Int
    public var minor: Int
    public var patch: Int

    /// Reads a version; nil when `text` is none.
    public init?(_ text: String) {
        let core = text.prefix { $0 != "-" && $0 != "+" }
        let parts = core.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        var numbers: [Int] = []
        for part in parts {
            guard (1...9).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                let number = Int(part)
            else { return nil }
            numbers.append(number)
        }
        (major, minor, patch) = (numbers[0], numbers[1], numbers[2])
    }

    /// Whether this is of an earlier minor release than `other`; patches do not count.
    public func isEarlierRelease(than other: ServerVersion) -> Bool {
        (major, minor) < (other.major, other.minor)
    }

    public var description: String { "\(major).\(minor).\(patch)" }

    /// The version of one who tells none, as members before 2.1 did.
    static let untold = "2.0.0"
}
