import Synchronization

/// The account of the memory that unfinished requests of all connections take: messages and bodies that have not come whole,
/// and heads beyond the usual size.
///
/// While it is used up, requests that make their connection take more than its due are refused. Others notice nothing.
public final class RequestMemory: Sendable {
    /// What a connection may hold while the memory is used up: enough for most requests.
    static let dueOfConnection = 16 << 10

    /// The most bytes that are wanted at once. Connections may go beyond it by their due.
    public let limit: Int
    private let bytes = Atomic<Int>(0)

    /// An account of `limit` bytes.
    public init(limit: Int) {
        self.limit = limit
    }

    /// The bytes in use.
    public var used: Int { bytes.load(ordering: .relaxed) }

    /// Puts `count` bytes on the account that are there already; negative when they are gone.
    func note(_ count: Int) { bytes.wrappingAdd(count, ordering: .relaxed) }

    /// Whether a connection may take `count` bytes in all.
    func allows(_ count: Int) -> Bool { count <= Self.dueOfConnection || used <= limit }
}

/// What one request that is not gRPC holds of that memory, for as long as this exists.
struct RequestShare: ~Copyable {
    private let memory: RequestMemory
    private var count = 0

    init(of memory: RequestMemory) {
        self.memory = memory
    }

    deinit { memory.note(-count) }

    /// Says how many bytes the request holds now. Returns false when it is to be refused.
    mutating func hold(_ count: Int) -> Bool {
        let growth = count - self.count
        guard growth != 0 else { return true }
        self.count = count
        memory.note(growth)
        return growth < 0 || memory.allows(count)
    }
}
