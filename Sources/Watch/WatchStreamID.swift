/// Names a watch stream. The shell chooses it and does not use it again while the stream is open.
public struct WatchStreamID: Hashable, Sendable {
    /// The shell's number.
    public var rawValue: UInt64

    /// The stream with the shell's number `rawValue`.
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }
}
