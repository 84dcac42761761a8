import Applier
import Auth
import EtcdAPI
import GRPC
import MVCC
import Member
import Metrics
import NIOCore
import NIOPosix
import Synchronization
import WireFormat

/// `etcdserverpb.KV`: checks requests on the event loop they came on, answers reads there, and sends writes to the log.
final class KeyValueService: Sendable {
    struct Limits: Sendable {
        var requestBytes: Int
        var txnOperations: Int
    }

    /// A range of more pairs than this is read on one of the readers' threads, so that the event loop's other calls do not
    /// wait.
    private static let pairsOnEventLoop = 64

    let large: LargeReads
    let gateways: Gateways
    private let member: MemberThread
    private let status: MemberStatus
    private let publisher: StorePublisher
    private let limits: Limits
    private let reads: ReadObservation

    init(
        gateways: Gateways, member: MemberThread, status: MemberStatus, publisher: StorePublisher,
        large: LargeReads, limits: Limits, reads: ReadObservation
    ) {
        self.reads = reads
        self.gateways = gateways
        self.member = member
        self.status = status
        self.publisher = publisher
        self.large = large
        self.limits = limits
    }

    var methods: [String: Method] {
        [
            EtcdMethod.range.path: .unary { [self] call, message in handling(call) { try range(call, message) } },
            EtcdMethod.put.path: .unary { [self] call, message in handling(call) { try put(call, message) } },
            EtcdMethod.deleteRange.path: .unary { [self] call, message in
                handling(call) { try deleteRange(call, message) }
            },
            EtcdMethod.txn.path: .unary { [self] call, message in handling(call) { try txn(call, message) } },
            EtcdMethod.compact.path: .unary { [self] call, message in handling(call) { try compact(call, message) } },
            EtcdMethod.rangeStream.path: .stream { [self] call in
                RangeStreamHandler(call: call, service: self, publisher: publisher)
            },
        ]
    }

    /// Answers a call with the error that `body` throws.
    private func handling(_ call: UnaryCall, _ body: () throws -> Void) {
        do {
            try body()
        } catch let error as EtcdError {
            call.fail(Status(error))
        } catch {
            call.fail(Status(.internal, "grpc: error unmarshalling request: \(error)"))
        }
    }

    /// A response's header; the revision comes from what is read.
    var header: ResponseHeader {
        ResponseHeader(
            clusterID: status.clusterID, memberID: status.memberID, raftTerm: status.term.load(ordering: .relaxed))
    }

    private func gateway(_ call: UnaryCall) -> Gateway { gateways[call.eventLoop] }

    // MARK: Reads

    private func range(_ call: UnaryCall, _ message: [UInt8]) throws {
        let arrival = Clock.nanoseconds
        let request = try message.withUnsafeBytes { try RangeRequest(decoding: $0) }
        try RequestCheck.check(request)
        call.span?.begin(.range(request))
        if request.serializable {
            answer(call, request, publisher.latest(), arrival: arrival)
            return
        }
        gateway(call).readLinearizably { [self] view in
            call.span?.noteReadIndex()
            switch view {
            case .success(let view): answer(call, request, view, arrival: arrival)
            case .failure(let error):
                reads.noteRefusedRange(arrival: arrival)
                call.fail(Status(error))
            }
        }
    }

    private func answer(_ call: UnaryCall, _ request: RangeRequest, _ view: StoreView, arrival: Int64) {
        handling(call) {
            // Many reads are confirmed together, and the answers to the first may be more than their client takes.
            if call.isOverdrawn { throw EtcdError.tooManyRequests }
            let header = self.header
            let checked: UInt64?
            do throws(EtcdError) {
                checked = try authority.permitReading(call) { state, caller throws(EtcdError) in
                    try Authorisation.keys(state, caller).check(request)
                }
            } catch {
                reads.noteRefusedRange(arrival: arrival)
                throw error
            }
            if isSmall(request, view), let response = try run(request, on: view, header, arrival) {
                try authority.confirm(checked)
                return try respond(call, response)
            }
            large.answer(
                call, confirming: { [authority] () throws(EtcdError) in try authority.confirm(checked) },
                observing: { [reads] in reads.noteRange(request, arrival: arrival, $0) }
            ) { () throws(EtcdError) in
                try ReadAnswer(request, on: view, header: header, head: LargeReads.headBytes)
            }
        }
    }

    /// Gives an answer that was made at once; one value may be large, too.
    private func respond(_ call: UnaryCall, _ response: [UInt8]) throws(EtcdError) {
        if response.count > ResponseMemory.dueOfConnection && large.memory.isUsedUp { throw .tooManyRequests }
        call.respond(response)
    }

    /// The whole answer, or nil when it is large.
    private func run(
        _ request: RangeRequest, on view: StoreView, _ header: ResponseHeader, _ arrival: Int64
    ) throws(EtcdError) -> [UInt8]? {
        try reads.range(request, arrival: arrival) { () throws(EtcdError) in
            try RangeQuery.run(request, on: view, header: header, upTo: LargeReads.headBytes)
        }
    }

    private var authority: Authority { gateways.authority }

    /// Whether `request` can be answered in a moment.
    private func isSmall(_ request: RangeRequest, _ view: StoreView) -> Bool {
        guard let end = request.end else { return true }
        if request.revision != 0 && request.revision != view.currentRevision { return false }
        if request.countOnly { return true }
        if request.limit > 0 && request.limit <= Self.pairsOnEventLoop && request.sortTarget == .key
            && request.sortOrder != .descend
        {
            return true
        }
        let count = try? view.range(key: request.key, end: end, countOnly: true) { _ in }.count
        return count.map { $0 <= Self.pairsOnEventLoop } ?? true
    }

    // MARK: Writes

    private func put(_ call: UnaryCall, _ message: [UInt8]) throws {
        let (cost, answer) = try message.withUnsafeBytes { bytes in
            let request = try PutRequestView(bytes)
            try RequestCheck.check(request)
            call.span?.begin(.put(key: request.key))
            let answer = request.prevKV ? expectedBytes(of: ExpectedReads(keys: [[UInt8](request.key)])) : 0
            return (RequestCost.put(key: request.key.count, value: request.value.count), answer)
        }
        guard authority.isEnabled else { return try propose(.put, message, cost: cost, call, answer: answer) }
        let request = try message.withUnsafeBytes { try PutRequest(decoding: $0) }
        proposeChecked(.put, message, cost: cost, call, answer: answer) { walk throws(EtcdError) in
            try walk.check(request)
        }
    }

    private func deleteRange(_ call: UnaryCall, _ message: [UInt8]) throws {
        let request = try message.withUnsafeBytes { try DeleteRangeRequest(decoding: $0) }
        try RequestCheck.check(request)
        call.span?.begin(.deleteRange(request))
        let answer = expectedAnswer(to: request)
        guard authority.isEnabled else { return try propose(.deleteRange, message, cost: 0, call, answer: answer) }
        proposeChecked(.deleteRange, message, cost: 0, call, answer: answer) { walk throws(EtcdError) in
            try walk.check(request)
        }
    }

    private func compact(_ call: UnaryCall, _ message: [UInt8]) throws {
        let request = try message.withUnsafeBytes { try CompactionRequest(decoding: $0) }
        call.span?.begin(.compact(request))
        try propose(.compaction, message, cost: 0, call)
    }

    private func txn(_ call: UnaryCall, _ message: [UInt8]) throws {
        let arrival = Clock.nanoseconds
        let request: TxnRequest
        do {
            request = try message.withUnsafeBytes { try TxnRequest(decoding: $0) }
        } catch let error as WireError {
            switch error.reason {
            // What does not fit the decoder's limits is beyond any limit on operations too.
            case .tooMany, .nestedTooDeep: throw EtcdError.tooManyOperations
            default: throw error
            }
        }
        try RequestCheck.check(request, limit: limits.txnOperations)
        let isReadOnly = TxnQuery.isReadOnly(request)
        call.span?.begin(.txn(request, isReadOnly: isReadOnly))
        guard isReadOnly else {
            try proposeTxn(request, message, call)
            return
        }
        if TxnQuery.isSerializable(request) {
            answer(call, request, publisher.latest(), arrival: arrival)
            return
        }
        gateway(call).readLinearizably { [self] view in
            call.span?.noteReadIndex()
            switch view {
            case .success(let view): answer(call, request, view, arrival: arrival)
            case .failure(let error):
                reads.noteRefusedTransaction(arrival: arrival)
                call.fail(Status(error))
            }
        }
    }

    /// A transaction of a few single keys is read at once; one that may hold much away from the event loop.
    private func answer(_ call: UnaryCall, _ request: TxnRequest, _ view: StoreView, arrival: Int64) {
        handling(call) {
            if call.isOverdrawn { throw EtcdError.tooManyRequests }
            let header = self.header
            let checked: UInt64?
            do throws(EtcdError) {
                checked = try authority.permitReading(call) { state, caller throws(EtcdError) in
                    try Authorisation.keys(state, caller).check(request)
                }
            } catch {
                reads.noteRefusedTransaction(arrival: arrival)
                throw error
            }
            if request.readsFewKeys {
                let response = try run(request, on: view, header, arrival)
                try authority.confirm(checked)
                try respond(call, response)
            } else {
                large.answer(
                    call, confirming: { [authority] () throws(EtcdError) in try authority.confirm(checked) },
                    observing: { [reads] in reads.noteTransaction(request, arrival: arrival, $0) }
                ) { () throws(EtcdError) in
                    try ReadAnswer(request, on: view, header: header, head: LargeReads.headBytes)
                }
            }
        }
    }

    private func run(
        _ request: TxnRequest, on view: StoreView, _ header: ResponseHeader, _ arrival: Int64
    ) throws(EtcdError) -> [UInt8] {
        try reads.transaction(request, arrival: arrival) { (counts) throws(EtcdError) in
            try TxnQuery.run(request, on: view, header: header, counts: &counts)
        }
    }

    private func proposeTxn(_ request: TxnRequest, _ message: [UInt8], _ call: UnaryCall) throws(EtcdError) {
        let cost = RequestCost.txn(request)
        let answer = expectedAnswer(to: request)
        guard authority.isEnabled else { return try propose(.txn, message, cost: cost, call, answer: answer) }
        let leases = authority.hasLenientMembers ? request.leases : []
        proposeChecked(.txn, message, cost: cost, call, answer: answer, leases: leases) { walk throws(EtcdError) in
            try walk.check(request)
        }
    }

    /// Proposes what `check` lets pass. Every member checks again as it applies, `leases` excepted, which are those that
    /// members of etcd 3.4 do not look at.
    private func proposeChecked(
        _ kind: RaftRequestView.Kind, _ message: [UInt8], cost: Int, _ call: UnaryCall, answer: Int = 0,
        leases: Set<Int64> = [],
        _ check: @escaping @Sendable (Authorisation) throws(EtcdError) -> Void
    ) {
        gateways.admit(call) { state, caller throws(EtcdError) in
            try check(.keys(state, caller))
        } _: { [self] in
            guard !leases.isEmpty else {
                return handling(call) { try propose(kind, message, cost: cost, call, answer: answer) }
            }
            handling(call) {
                let caller = try authority.caller(of: call) ?? .nobody
                member.perform { [self] member in
                    let refusal = member.refusal(of: caller, attachingTo: leases)
                    call.eventLoop.execute { [self] in
                        handling(call) {
                            if let refusal { throw refusal }
                            try propose(kind, message, cost: cost, call, answer: answer)
                            gateway(call).flush()
                        }
                    }
                }
            }
        }
    }

    /// Proposes a write whose answer is expected to take `answer` bytes, 0 when that is little.
    private func propose(
        _ kind: RaftRequestView.Kind, _ message: [UInt8], cost: Int, _ call: UnaryCall, answer: Int = 0
    ) throws(EtcdError) {
        guard answer > 0 else {
            return try gateways.propose(kind, message, cost: cost, call, limit: limits.requestBytes, status: status)
        }
        let memory = large.memory
        guard memory.reserve(answer) else { throw .tooManyRequests }
        do throws(EtcdError) {
            try gateways.propose(kind, message, cost: cost, call, limit: limits.requestBytes, status: status) { reply in
                memory.release(answer)
                switch reply {
                case .success(let message): call.respond(message)
                case .failure(let error): call.fail(Status(error))
                }
            }
        } catch {
            memory.release(answer)
            throw error
        }
    }

    // MARK: Answers to writes

    /// Up to so many bytes, the answer to a write is put on no account before it is there.
    private static let smallAnswer = 64 << 10

    /// What a write reads for its answer.
    private struct ExpectedReads {
        var keys: [[UInt8]] = []
        var ranges: [(key: [UInt8], end: [UInt8], limit: Int)] = []

        mutating func add(_ key: [UInt8], _ end: [UInt8], limit: Int = .max) {
            if end.isEmpty { keys.append(key) } else { ranges.append((key, end, limit)) }
        }

        mutating func add(_ request: TxnRequest) {
            for operation in request.success + request.failure {
                switch operation {
                case .range(let range):
                    guard !range.countOnly, !range.keysOnly else { continue }
                    add(range.key, range.rangeEnd, limit: range.limit > 0 ? Int(clamping: range.limit) : .max)
                case .put(let put): if put.prevKV { add(put.key, []) }
                case .deleteRange(let delete): if delete.prevKV { add(delete.key, delete.rangeEnd) }
                case .txn(let nested): add(nested)
                case .none: continue
                }
            }
        }
    }

    /// About the bytes of the pairs that `request` answers with; 0 when they are few.
    private func expectedAnswer(to request: DeleteRangeRequest) -> Int {
        guard request.prevKV else { return 0 }
        var reads = ExpectedReads()
        reads.add(request.key, request.rangeEnd)
        return expectedBytes(of: reads)
    }

    /// About the bytes of the pairs that both branches of `request` answer with; 0 when they are few.
    private func expectedAnswer(to request: TxnRequest) -> Int {
        var reads = ExpectedReads()
        reads.add(request)
        return expectedBytes(of: reads)
    }

    /// Single keys are looked up. Pairs of ranges are taken to be as large as all are on the average, the history's
    /// counted to them.
    private func expectedBytes(of reads: ExpectedReads) -> Int {
        if reads.keys.isEmpty && reads.ranges.isEmpty { return 0 }
        let view = publisher.latest()
        var bytes = 0
        for key in reads.keys { _ = try? view.range(key: key, end: nil) { bytes += $0.encoded.count } }
        if !reads.ranges.isEmpty {
            func count(_ key: [UInt8], _ end: [UInt8]) -> Int {
                (try? view.range(key: key, end: end, countOnly: true) { _ in }.count) ?? 0
            }
            let all = max(1, count([0], [0]))
            let pairs = reads.ranges.reduce(0) { $0 + min($1.limit, count($1.key, $1.end)) }
            bytes += pairs * (status.databaseBytesInUse.load(ordering: .relaxed) / all + 64)
        }
        // One that is larger than the memory is let through alone.
        return bytes > Self.smallAnswer ? min(bytes, large.memory.limit / 2) : 0
    }
}

/// A number that several threads change.
final class SharedCount: Sendable {
    let value = Atomic<Int>(0)
}

extension TxnRequest {
    /// So many values, each as large as a request may be, are made at once.
    private static let fewKeys = 8

    /// Whether every comparison and every operation is about one key, with no transaction inside, and they are few.
    fileprivate var readsFewKeys: Bool {
        max(success.count, failure.count) <= Self.fewKeys && compare.allSatisfy(\.rangeEnd.isEmpty)
            && (success + failure).allSatisfy { operation in
                if case .range(let range) = operation { return range.rangeEnd.isEmpty }
                return false
            }
    }
}

/// The gateways of all event loops.
final class Gateways: Sendable {
    /// Log entries that clients wait for may take this much memory; beyond it clients are told to come later.
    static let pendingByteLimit = 512 << 20

    private let gateways: [Gateway]
    /// Who makes calls, and what they may.
    let authority: Authority

    init(
        _ loops: [any EventLoop], member: MemberThread, authority: Authority, memory: ResponseMemory,
        stages: StageMetrics
    ) {
        gateways = loops.map { Gateway(eventLoop: $0, member: member, memory: memory, stages: stages) }
        self.authority = authority
    }

    /// The gateway of `loop`, which is one of those that this was made with.
    subscript(loop: any EventLoop) -> Gateway {
        guard let gateway = gateways.first(where: { $0.eventLoop === loop }) else {
            preconditionFailure("a call came on an event loop that the server does not have")
        }
        return gateway
    }

    /// Runs `body` when the published view holds all that was committed before. Any thread.
    func readLinearizably(_ body: @escaping @Sendable (Result<StoreView, EtcdError>) -> Void) {
        guard let gateway = gateways.first else { preconditionFailure("a server has at least one event loop") }
        gateway.eventLoop.execute {
            gateway.readLinearizably(body)
            gateway.flush()
        }
    }

    /// Sends a client's request to the log; its bytes go into the entry as they are, with who made the call. The outcome
    /// answers the call, or goes to `then`.
    func propose(
        _ kind: RaftRequestView.Kind, _ message: [UInt8], cost: Int, _ call: UnaryCall, limit: Int,
        status: MemberStatus, then: Gateway.Reply? = nil
    ) throws(EtcdError) {
        // One who logs in has no token yet, or one that is of no use any more.
        let caller = authority.isEnabled && kind != .authenticate ? try authority.caller(of: call) : nil
        let id = status.nextRequestID()
        let entry = message.withUnsafeBytes { LogEntry.encode(kind, request: $0, id: id, caller: caller) }
        if entry.count > limit { throw .requestTooLarge }
        guard status.pendingBytes.load(ordering: .relaxed) < Self.pendingByteLimit else { throw .tooManyRequests }
        status.pendingBytes.add(entry.count, ordering: .relaxed)
        self[call.eventLoop].propose(
            Gateway.Proposal(
                id: id, kind: kind, entry: entry, cost: cost, call: call, span: call.span, then: then))
    }
}
