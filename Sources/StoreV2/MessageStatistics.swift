/// How a member's appends flow, as `/v2/stats` tells it. Times are nanoseconds since 1970.
public struct MessageStatistics: Sendable {
    /// The newest messages, by which rates are told.
    struct Rate: Sendable {
        /// As many as etcd looks at.
        private static let capacity = 200
        private static let second: Int64 = 1_000_000_000

        private var messages: [(time: Int64, bytes: Int)] = []
        private var next = 0

        mutating func add(_ bytes: Int, at time: Int64) {
            if messages.count < Self.capacity {
                messages.append((time, bytes))
            } else {
                messages[next] = (time, bytes)
            }
            next = (next + 1) % Self.capacity
        }

        /// Messages and bytes per second; nothing when none has come for a second.
        func perSecond(now: Int64) -> (messages: Double, bytes: Double) {
            guard messages.count > 1, let last = messages.map(\.time).max(), let first = messages.map(\.time).min(),
                now - last <= Self.second, last > first
            else { return (0, 0) }
            let seconds = Double(last - first) / Double(Self.second)
            return (Double(messages.count) / seconds, Double(messages.reduce(0) { $0 + $1.bytes }) / seconds)
        }
    }

    private let startedAt: Int64
    private var leader: UInt64 = 0
    private var leaderSince: Int64
    private var received: (count: UInt64, rate: Rate) = (0, Rate())
    private var sent: (count: UInt64, rate: Rate) = (0, Rate())
    private var followers: [UInt64: Follower] = [:]

    /// What came of the appends to one member.
    private struct Follower: Sendable {
        var successes: UInt64 = 0
        var failures: UInt64 = 0
        /// In milliseconds.
        var latest = 0.0
        var least = 0.0
        var greatest = 0.0
        var sum = 0.0
        var sumOfSquares = 0.0
        var average: Double { successes == 0 ? 0 : sum / Double(successes) }
        var deviation: Double {
            guard successes > 0 else { return 0 }
            return max(0, sumOfSquares / Double(successes) - average * average).squareRoot()
        }
    }

    /// The statistics of a member that starts at `now`.
    public init(now: Int64) {
        startedAt = now
        leaderSince = now
    }

    /// Another member leads, or none (0).
    public mutating func follow(_ leader: UInt64, now: Int64) {
        guard leader != self.leader else { return }
        self.leader = leader
        leaderSince = now
        followers = [:]
    }

    /// An append of `bytes` came from the leader.
    public mutating func noteReceived(_ bytes: Int, now: Int64) {
        received.count += 1
        received.rate.add(bytes, at: now)
    }

    /// An append of `bytes` went to a follower.
    public mutating func noteSent(_ bytes: Int, now: Int64) {
        sent.count += 1
        sent.rate.add(bytes, at: now)
    }

    /// A follower has taken an append, `milliseconds` after it was sent.
    public mutating func noteTaken(by follower: UInt64, milliseconds: Double) {
        var record = followers[follower] ?? Follower()
        record.latest = milliseconds
        record.least = record.successes == 0 ? milliseconds : min(record.least, milliseconds)
        record.greatest = max(record.greatest, milliseconds)
        record.sum += milliseconds
        record.sumOfSquares += milliseconds * milliseconds
        record.successes += 1
        followers[follower] = record
    }

    /// A message to a follower was lost.
    public mutating func noteLost(to follower: UInt64) {
        followers[follower, default: Follower()].failures += 1
    }

    /// The body of `/v2/stats/self` of the member `id`.
    public func own(name: String, id: UInt64, now: Int64) -> [UInt8] {
        var text = JSONText()
        text.beginObject()
        text.name("name")
        text.string(name)
        text.name("id")
        text.string(String(id, radix: 16))
        text.name("state")
        text.string(leader == id ? "StateLeader" : "StateFollower")
        text.name("startTime")
        text.string(GoTime.text(startedAt))
        text.name("leaderInfo")
        text.beginObject()
        text.name("leader")
        text.string(leader == 0 ? "" : String(leader, radix: 16))
        text.name("uptime")
        text.string(GoTime.duration(now - leaderSince))
        text.name("startTime")
        text.string(GoTime.text(leaderSince))
        text.endObject()
        for (name, direction) in [("recv", received), ("send", sent)] {
            text.name("\(name)AppendRequestCnt")
            text.number(direction.count)
            let rate = direction.rate.perSecond(now: now)
            for (what, value) in [("Pkg", rate.messages), ("Bandwidth", rate.bytes)] where value > 0 {
                text.name("\(name)\(what)Rate")
                text.literal("\(value)")
            }
        }
        text.endObject()
        return text.bytes
    }

    /// The body of `/v2/stats/leader` of the member `id`, which leads `members`; nil when it does not.
    public func followers(of id: UInt64, _ members: [UInt64]) -> [UInt8]? {
        guard leader == id else { return nil }
        var text = JSONText()
        text.beginObject()
        text.name("leader")
        text.string(String(id, radix: 16))
        text.name("followers")
        text.beginObject()
        // Go writes maps in the order of their keys.
        let names = members.filter { $0 != id }.map { (String($0, radix: 16), followers[$0] ?? Follower()) }
        for (name, follower) in names.sorted(by: { $0.0 < $1.0 }) {
            text.name(name)
            Self.write(follower, into: &text)
        }
        text.endObject()
        text.endObject()
        return text.bytes
    }

    private static func write(_ follower: Follower, into text: inout JSONText) {
        text.beginObject()
        text.name("latency")
        text.beginObject()
        let times = [
            ("current", follower.latest), ("average", follower.average), ("standardDeviation", follower.deviation),
            ("minimum", follower.least), ("maximum", follower.greatest),
        ]
        for (name, value) in times {
            text.name(name)
            text.literal(value == 0 ? "0" : "\(value)")
        }
        text.endObject()
        text.name("counts")
        text.beginObject()
        text.name("fail")
        text.number(follower.failures)
        text.name("success")
        text.number(follower.successes)
        text.endObject()
        text.endObject()
    }
}
