import Backend

/// A point in the store's history: a transaction and a change within it.
public struct Revision: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The transaction's number; the store's first is 2.
    public var main: Int64
    /// The change's number within the transaction, from 0.
    public var sub: Int64

    /// The revision of a change.
    public init(main: Int64, sub: Int64) {
        self.main = main
        self.sub = sub
    }

    public static func < (left: Revision, right: Revision) -> Bool {
        (left.main, left.sub) < (right.main, right.sub)
    }

    public var description: String { "\(main)_\(sub)" }
}
