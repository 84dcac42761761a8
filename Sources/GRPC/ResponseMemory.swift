import Synchronization

/// The account of the memory that replies take until clients have taken them: what waits in the queues of all connections
/// of a server, and what is put on it for replies that are being made.
///
/// While it is used up, a connection that leaves more than its due unread gets no more calls answered, and nobody gets a
/// reply that is larger than that; whoever makes such replies asks first (``reserve(_:)``). Others notice nothing.
public final class ResponseMemory: Sendable {
    /// What a connection may leave unread while the memory is used up: enough for a client that reads. A larger reply is
    /// refused then.
    public static let dueOfConnection = 64 << 10

    /// The most bytes that are wanted at once. One reply may go beyond it, and each connection by its due.
    public let limit: Int
    private let bytes = Atomic<Int>(0)

    /// An account of `limit` bytes.
    public init(limit: Int) {
        self.limit = limit
    }

    /// The bytes in use.
    public var used: Int { bytes.load(ordering: .relaxed) }

    /// Whether nothing is left.
    public var isUsedUp: Bool { used >= limit }

    /// Puts `count` bytes on the account, unless that would go beyond the limit.
    public func reserve(_ count: Int) -> Bool {
        guard bytes.wrappingAdd(count, ordering: .relaxed).newValue <= limit else {
            release(count)
            return false
        }
        return true
    }

    /// Takes `count` bytes from the account.
    public func release(_ count: Int) { bytes.wrappingSubtract(count, ordering: .relaxed) }

    /// Puts `count` bytes on the account that are there already; negative when they are gone.
    func note(_ count: Int) { bytes.wrappingAdd(count, ordering: .relaxed) }
}
