import EtcdAPI
import WireFormat

/// A client of the cluster: it talks to one member until that fails it, and then to another.
///
/// What a client does on top of this is its ``Errand``.
class SimulatedClient {
    /// What became of a call.
    enum Outcome {
        case success([UInt8])
        case failure(EtcdError)
        /// The connection broke or the time ran out; the request may have been carried out.
        case unknown
    }

    /// The usual time between client and member, in microseconds.
    private static let latency: Int64 = 300
    private static let timeout: ClosedRange<Int64> = 500_000...9_000_000

    unowned let world: World
    let number: Int
    var random: SimulationRandom
    private(set) var machine: SimulatedMachine
    private(set) var isStopped = false

    init(number: Int, world: World) {
        self.number = number
        self.world = world
        random = world.simulator.makeRandom()
        machine = random.pick(world.members)
    }

    /// Begins the client's work; it goes on until ``stop()``.
    func begin() {}

    /// Nothing new is asked from now on.
    func stop() { isStopped = true }

    /// Talks to another member from now on.
    func move() {
        machine = random.pick(world.members)
    }

    /// Talks to this member from now on.
    func stay(with machine: SimulatedMachine) { self.machine = machine }

    /// Runs `body` after a pause of about this many microseconds, unless the client was stopped.
    func afterPause(around usual: Int64, _ body: @escaping () -> Void) {
        world.simulator.after(random.delay(around: usual)) { [self] in
            if !isStopped { body() }
        }
    }

    /// Asks the member; `completion` is called once.
    func call(
        _ request: @escaping (MemberProcess, _ reply: @escaping (MemberProcess.Reply) -> Void) -> Void,
        completion: @escaping (Outcome) -> Void
    ) {
        let call = Call(self, completion)
        let target = machine
        world.simulator.after(random.delay(around: Self.latency)) { [self] in
            guard let process = target.process else {
                return call.end(.failure(.refusedConnection), after: Self.latency)
            }
            let id = process.openCall { call.end(.unknown, after: Self.latency) }
            process.later(0) { [self] in
                request(process) { reply in
                    process.closeCall(id)
                    let delay = self.random.delay(around: Self.latency)
                    switch reply {
                    case .success(let bytes): call.end(.success(bytes), after: delay)
                    case .failure(let error): call.end(.failure(error), after: delay)
                    }
                }
            }
        }
        call.end(.unknown, after: random.within(Self.timeout))
    }

    /// A call that ends once.
    private final class Call {
        private let client: SimulatedClient
        private var completion: ((Outcome) -> Void)?

        init(_ client: SimulatedClient, _ completion: @escaping (Outcome) -> Void) {
            self.client = client
            self.completion = completion
        }

        func end(_ outcome: Outcome, after delay: Int64) {
            client.world.simulator.after(delay) { [self] in
                guard let completion else { return }
                self.completion = nil
                switch outcome {
                case .success: client.world.recorder.note(.completed, -client.number)
                case .failure(let error):
                    client.world.recorder.note(.failed, -client.number, 0, 0, 0, "\(error)")
                case .unknown: client.world.recorder.note(.timedOut, -client.number)
                }
                completion(outcome)
            }
        }
    }
}

extension EtcdError {
    /// Nobody listens: what was asked is not done, now or later.
    static let refusedConnection = EtcdError(.unavailable, "connection refused")
}

/// Encoded requests.
enum Requests {
    static func put(_ key: String, _ value: String, lease: Int64 = 0) -> [UInt8] {
        var writer = WireWriter()
        PutRequest(key: Array(key.utf8), value: Array(value.utf8), lease: lease).encode(into: &writer)
        return writer.bytes
    }

    static func delete(_ key: String, end: String = "") -> [UInt8] {
        var writer = WireWriter()
        DeleteRangeRequest(key: Array(key.utf8), rangeEnd: Array(end.utf8)).encode(into: &writer)
        return writer.bytes
    }

    static func txn(_ request: TxnRequest) -> [UInt8] {
        var writer = WireWriter()
        request.encode(into: &writer)
        return writer.bytes
    }

    static func compaction(_ revision: Int64, physical: Bool) -> [UInt8] {
        var request = CompactionRequest(revision: revision)
        request.physical = physical
        var writer = WireWriter()
        request.encode(into: &writer)
        return writer.bytes
    }

    static func grant(_ id: Int64, ttl: Int64) -> [UInt8] {
        var writer = WireWriter()
        writer.int64(1, ttl)
        writer.int64(2, id)
        return writer.bytes
    }

    static func revoke(_ id: Int64) -> [UInt8] {
        var writer = WireWriter()
        writer.int64(1, id)
        return writer.bytes
    }
}
