import RaftMessages

/// The network between members: for each direction of each pair a stream and, beside it, a pipeline.
///
/// A stream keeps the order of what it carries, as TCP does. What is under way when it breaks is lost, and so is what is
/// sent until it is there again. The pipeline carries each message for itself: they overtake one another, get lost, and
/// what may come twice comes twice now and then.
final class SimulatedNetwork {
    /// The condition of one direction between two members.
    struct Condition {
        /// Nothing gets through; a stream holds what it has.
        var isBlocked = false
        /// The usual time under way, in microseconds.
        var latency: Int64
        /// One in this many messages is lost, which for a stream means that it breaks; 0 for none.
        var lossOneIn = 0
    }

    private struct Stream {
        /// Goes up when the connection breaks; what was sent before never arrives.
        var epoch = 0
        var lastArrival: Int64 = 0
        var connectedFrom: Int64 = 0
        /// What waits for the partition to end, in order.
        var held: [Message] = []
    }

    /// A partitioned stream holds this many messages; when there are more it breaks, as the transport's buffers do.
    private static let heldLimit = 64
    /// How long it takes to notice a broken connection and make another, in microseconds.
    private static let reconnection: ClosedRange<Int64> = 1_000...150_000
    /// Messages with more bytes of entries than this take the pipeline.
    private static let pipelineBytes = 1_024

    private let simulator: Simulator
    private var random: SimulationRandom
    private var conditions: [Condition] = []
    private var streams: [Stream] = []
    private let capacity: Int
    /// Takes a message that arrived; returns whether there is anyone to take it.
    var deliver: (_ to: Int, _ message: Message) -> Bool = { _, _ in false }
    /// Told when a message to `to` was lost and the sender knows.
    var unreachable: (_ from: Int, _ to: Int) -> Void = { _, _ in }

    /// A network of at most `capacity` members.
    init(simulator: Simulator, capacity: Int, latency: Int64) {
        self.simulator = simulator
        self.capacity = capacity
        random = simulator.makeRandom()
        conditions = Array(repeating: Condition(latency: latency), count: capacity * capacity)
        streams = Array(repeating: Stream(), count: capacity * capacity)
    }

    private func link(_ from: Int, _ to: Int) -> Int { from * capacity + to }

    /// The condition of the way from one member to another.
    subscript(from: Int, to: Int) -> Condition {
        get { conditions[link(from, to)] }
        set {
            let wasBlocked = conditions[link(from, to)].isBlocked
            conditions[link(from, to)] = newValue
            if wasBlocked && !newValue.isBlocked { release(from, to) }
        }
    }

    // MARK: Messages

    func send(_ message: Message, from: Int, to: Int) {
        let bytes = message.entries.reduce(0) { $0 + $1.data.count }
        if bytes > Self.pipelineBytes || (message.type == .append && random.one(in: 10)) {
            post(message, from: from, to: to)
        } else {
            push(message, from: from, to: to)
        }
    }

    /// Over the stream.
    private func push(_ message: Message, from: Int, to: Int) {
        let link = link(from, to)
        let condition = conditions[link]
        if condition.lossOneIn > 0 && random.one(in: condition.lossOneIn) { breakStream(from, to) }
        guard simulator.now >= streams[link].connectedFrom else { return lose(message, from, to) }
        let arrival = max(streams[link].lastArrival, simulator.now + random.delay(around: condition.latency))
        streams[link].lastArrival = arrival
        let epoch = streams[link].epoch
        simulator.at(arrival) { [self] in
            guard streams[link].epoch == epoch else { return lose(message, from, to, isNoticed: false) }
            guard !conditions[link].isBlocked && streams[link].held.isEmpty else { return hold(message, from, to) }
            hand(message, from, to)
        }
    }

    private func hold(_ message: Message, _ from: Int, _ to: Int) {
        let link = link(from, to)
        streams[link].held.append(message)
        if streams[link].held.count > Self.heldLimit { breakStream(from, to) }
    }

    /// Lets go what a partition held back.
    private func release(_ from: Int, _ to: Int) {
        let link = link(from, to)
        // After a long silence the other side has often given the connection up.
        if random.one(in: 2) { return breakStream(from, to) }
        let held = streams[link].held
        streams[link].held = []
        for message in held { hand(message, from, to) }
    }

    /// On its own.
    private func post(_ message: Message, from: Int, to: Int) {
        let link = link(from, to)
        let condition = conditions[link]
        let isLost = condition.lossOneIn > 0 && random.one(in: condition.lossOneIn)
        // A proposal that came twice would be two proposals; the transport sends each once.
        let copies = message.type != .propose && random.one(in: 50) ? 2 : 1
        for _ in 0..<copies {
            simulator.after(2 * random.delay(around: condition.latency)) { [self] in
                if isLost || conditions[link].isBlocked { return lose(message, from, to) }
                hand(message, from, to)
            }
        }
    }

    /// Carries something large on a connection of its own; it ends too early when the way is blocked meanwhile.
    func transfer(from: Int, to: Int, _ arrived: @escaping (_ isWhole: Bool) -> Void) {
        let link = link(from, to)
        let pieces = 4
        func carry(_ left: Int) {
            if conditions[link].isBlocked || (conditions[link].lossOneIn > 0 && random.one(in: 8)) {
                return simulator.after(100_000) { arrived(false) }
            }
            if left == 0 { return arrived(true) }
            simulator.after(4 * random.delay(around: conditions[link].latency)) { carry(left - 1) }
        }
        carry(pieces)
    }

    private func hand(_ message: Message, _ from: Int, _ to: Int) {
        simulator.recorder.note(
            .delivered, to, message.type.rawValue, message.term, message.index, "from m\(from) \(message.type)")
        if !deliver(to, message) { unreachable(from, to) }
    }

    private func lose(_ message: Message, _ from: Int, _ to: Int, isNoticed: Bool = true) {
        simulator.recorder.note(.dropped, from, message.type.rawValue, message.term, message.index, "to m\(to)")
        if isNoticed { unreachable(from, to) }
    }

    // MARK: Connections

    /// Breaks the stream: what is under way is lost, and it takes a moment until there is another.
    func breakStream(_ from: Int, _ to: Int) {
        let link = link(from, to)
        streams[link].epoch += 1
        streams[link].held = []
        streams[link].connectedFrom = simulator.now + random.within(Self.reconnection)
        simulator.recorder.note(.connectionReset, from, UInt64(to))
    }

    /// Breaks all streams of a member, as its end does.
    func breakStreams(of member: Int) {
        for other in 0..<capacity where other != member {
            breakStream(member, other)
            breakStream(other, member)
        }
    }
}
