import NIOCore

/// Whether a client's keepalive pings come at a bearable rate: grpc-go's enforcement policy. Pings that come too soon
/// are strikes; HEADERS or DATA sent since the last ping take the strikes back.
struct PingPolicy {
    /// The least time between two pings.
    let minimumInterval: TimeAmount
    /// Whether pings may come that often while no stream is open.
    let permitsWithoutStream: Bool

    /// A client without streams may ping this often even where it should not ping.
    private static let idleInterval = TimeAmount.hours(2)
    /// One strike more ends the connection.
    private static let maximumStrikes = 2

    private var lastPing: NIODeadline?
    private var strikes = 0
    private var isForgiven = false

    init(minimumInterval: TimeAmount, permitsWithoutStream: Bool) {
        self.minimumInterval = minimumInterval
        self.permitsWithoutStream = permitsWithoutStream
    }

    mutating func sentHeadersOrData() { isForgiven = true }

    /// Takes note of a ping. Returns false when the client must be told to stop.
    mutating func accept(at now: NIODeadline, hasStreams: Bool) -> Bool {
        defer { lastPing = now }
        if isForgiven {
            isForgiven = false
            strikes = 0
            return true
        }
        let interval = hasStreams || permitsWithoutStream ? minimumInterval : Self.idleInterval
        if let lastPing, lastPing + interval > now { strikes += 1 }
        return strikes <= Self.maximumStrikes
    }
}

/// A limit on how often something may happen: a burst at once, and a steady rate after it.
struct TokenBucket {
    private let capacity: Int
    private let perSecond: Int
    private var tokens: Int
    private var filled: NIODeadline?

    init(capacity: Int, perSecond: Int) {
        self.capacity = capacity
        self.perSecond = perSecond
        tokens = capacity
    }

    /// Takes one token, or `count` of them. Returns false when there are not so many.
    mutating func take(_ count: Int = 1, at now: NIODeadline) -> Bool {
        let second: Int64 = 1_000_000_000
        if let filled {
            let seconds = (now - filled).nanoseconds / second
            if seconds > 0 {
                tokens = min(capacity, tokens + Int(min(seconds, Int64(capacity))) * perSecond)
                self.filled = filled + .nanoseconds(seconds * second)
            }
        } else {
            filled = now
        }
        guard tokens >= count else { return false }
        tokens -= count
        return true
    }
}
