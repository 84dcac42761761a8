/// Something wrong that ``Check`` found.
public struct Finding: Equatable, Sendable, CustomStringConvertible {
    /// The page it is about.
    public var page: UInt64
    /// What is wrong.
    public var problem: String

    public var description: String { "page \(page): \(problem)" }
}
