import Applier
import Auth
import EtcdAPI
import GRPC
import MVCC
import Member
import Metrics
import NIOCore

/// The way from one event loop's calls to the member and back: what the calls of one turn ask goes over in one piece,
/// and what comes of it comes back in one.
///
/// Used on its event loop alone, but for ``deliver(_:)`` and its like, which other threads call.
final class Gateway: @unchecked Sendable {
    /// A request for the log, encoded as its entry, and the call that waits for it.
    struct Proposal: Sendable {
        var id: UInt64
        var kind: RaftRequestView.Kind
        var entry: [UInt8]
        /// What the request is counted with against the quota; 0 when it takes no space.
        var cost: Int
        var call: UnaryCall
        /// What is told of the stages, when the call is traced.
        var span: CallSpan?
        /// What is done with the outcome instead of answering the call with it.
        var then: Reply?
    }

    /// What is told the outcome of a proposal, on the event loop.
    typealias Reply = @Sendable (Result<[UInt8], EtcdError>) -> Void

    /// The proposals of one turn.
    struct Proposals: Sendable {
        var gateway: Gateway
        var proposals: [Proposal]
        /// When the first of them came, in nanoseconds of the monotonic clock.
        var arrival: Int64
    }

    /// Linearizable reads of one turn.
    struct Reads: Sendable {
        var gateway: Gateway
        /// When the first of them came, in nanoseconds of the monotonic clock.
        var arrival: Int64
        var reads: [@Sendable (Result<StoreView, EtcdError>) -> Void]
    }

    /// A renewal of a lease and the stream that it came on.
    struct KeepAlive: Sendable {
        var lease: Int64
        var stream: LeaseKeepAliveStream
        /// Who renews; nil while permissions are not checked.
        var caller: Caller?
    }

    /// The answer to a proposal.
    struct Answer: Sendable {
        var call: UnaryCall
        var reply: Result<[UInt8], EtcdError>
        var then: Reply?
        /// What the reply has on the account of the memory for replies until it is given to the call.
        var heldBytes = 0
    }

    let eventLoop: any EventLoop
    private let memory: ResponseMemory
    private let member: MemberThread
    private let stages: StageMetrics
    private var proposals: [Proposal] = []
    private var proposalsArrival: Int64 = 0
    private var readsArrival: Int64 = 0
    private var reads: [@Sendable (Result<StoreView, EtcdError>) -> Void] = []
    private var keepAlives: [KeepAlive] = []

    init(eventLoop: any EventLoop, member: MemberThread, memory: ResponseMemory, stages: StageMetrics) {
        self.eventLoop = eventLoop
        self.memory = memory
        self.member = member
        self.stages = stages
    }

    func propose(_ proposal: Proposal) {
        if proposals.isEmpty { proposalsArrival = Clock.nanoseconds }
        proposals.append(proposal)
    }

    /// Runs `body` when the published view holds all that was committed before.
    func readLinearizably(_ body: @escaping @Sendable (Result<StoreView, EtcdError>) -> Void) {
        if reads.isEmpty { readsArrival = Clock.nanoseconds }
        reads.append(body)
    }

    func keepAlive(_ keepAlive: KeepAlive) {
        keepAlives.append(keepAlive)
    }

    /// Hands over what this turn's calls asked.
    func flush() {
        if !proposals.isEmpty {
            member.send(.proposals(Proposals(gateway: self, proposals: proposals, arrival: proposalsArrival)))
            proposals.removeAll()
        }
        if !reads.isEmpty {
            member.send(.reads(Reads(gateway: self, arrival: readsArrival, reads: reads)))
            reads.removeAll()
        }
        if !keepAlives.isEmpty {
            member.send(.keepAlives(self, keepAlives))
            keepAlives.removeAll()
        }
    }

    /// The answer to a call, for ``deliver(_:)``. One that there is no memory for is an error. Any thread.
    func prepare(_ call: UnaryCall, _ reply: Result<[UInt8], EtcdError>, then: Reply?) -> Answer {
        // Who has set `then` has put the reply on the account before.
        guard case .success(let message) = reply, message.count > ResponseMemory.dueOfConnection, then == nil else {
            return Answer(call: call, reply: reply, then: then)
        }
        guard memory.reserve(message.count) else { return Answer(call: call, reply: .failure(.answerTooLarge)) }
        return Answer(call: call, reply: reply, heldBytes: message.count)
    }

    /// Answers calls. Any thread.
    func deliver(_ answers: [Answer]) {
        let start = Clock.nanoseconds
        eventLoop.execute { [stages, memory] in
            for answer in answers {
                defer { if answer.heldBytes > 0 { memory.release(answer.heldBytes) } }
                if let then = answer.then {
                    then(answer.reply)
                    continue
                }
                switch answer.reply {
                case .success(let message): answer.call.respond(message)
                case .failure(let error): answer.call.fail(Status(error))
                }
            }
            stages.reply.observe(nanoseconds: Clock.nanoseconds - start, times: answers.count)
        }
    }

    /// Answers reads. Any thread.
    func deliver(_ reads: Reads, _ view: Result<StoreView, EtcdError>) {
        eventLoop.execute {
            for read in reads.reads { read(view) }
        }
    }
}

extension Status {
    /// The status that tells a client of `error`.
    init(_ error: EtcdError) {
        self.init(Code(rawValue: error.code.rawValue) ?? .unknown, error.message)
    }
}
