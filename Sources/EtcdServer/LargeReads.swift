import Applier
import EtcdAPI
import GRPC
import MVCC
import NIOCore
import NIOPosix
import Synchronization

/// Reads whose answers may be large. They are made on the readers' threads, piece by piece while their clients take them,
/// and there are bounds to how many there are, to what they take of the memory for replies, and to how long each may hold
/// its view of the store.
final class LargeReads: Sendable {
    /// The memory for replies that clients have not taken, over all connections.
    static let memoryLimit = 512 << 20
    /// Reads under way, waiting ones included. Each holds a view, which pins pages of the file and memory of the index.
    private static let limit = 512
    /// What of an answer is made while it is measured. One that is not larger is sent as a whole.
    static let headBytes = 512 << 10
    /// A piece of an answer.
    fileprivate static let pieceBytes = 512 << 10
    /// The time in which a client must have taken what was sent it last, and all of an answer.
    static let patience = ReplyPatience.Limits(piece: .seconds(60), whole: .minutes(10))

    let memory: ResponseMemory
    let readers: NIOThreadPool
    private let underWay = Atomic<Int>(0)

    init(readers: NIOThreadPool, memory: ResponseMemory) {
        self.readers = readers
        self.memory = memory
    }

    /// Answers `call` with what `make`, on a thread for readers, finds to read; `confirm` throws when the caller may not
    /// have it after all. On the call's event loop.
    func answer(
        _ call: UnaryCall, confirming confirm: @escaping @Sendable () throws(EtcdError) -> Void,
        observing observe: @escaping @Sendable (Outcome) -> Void,
        _ make: @escaping @Sendable () throws(EtcdError) -> ReadAnswer
    ) {
        guard let place = Place(self, bytes: Self.headBytes) else { return call.fail(Status(.tooManyRequests)) }
        UnaryRead(call, place, confirm, observe, make).begin()
    }

    /// What became of the reading, when it is known how long the answer is.
    struct Outcome {
        /// When it began, in nanoseconds of the monotonic clock.
        var start: Int64
        var answer: Result<ReadAnswer, EtcdError>
    }

    /// A place among the reads that are under way; nil when there is none.
    func takePlace() -> Place? { Place(self, bytes: Self.pieceBytes) }

    /// One of the reads under way and its share of the memory, given back when it goes. Used by one thread at a time.
    final class Place: @unchecked Sendable {
        let reads: LargeReads
        private var bytes: Int

        fileprivate init?(_ reads: LargeReads, bytes: Int) {
            guard reads.underWay.wrappingAdd(1, ordering: .relaxed).newValue <= LargeReads.limit else {
                reads.underWay.subtract(1, ordering: .relaxed)
                return nil
            }
            guard reads.memory.reserve(bytes) else {
                reads.underWay.subtract(1, ordering: .relaxed)
                return nil
            }
            self.reads = reads
            self.bytes = bytes
        }

        deinit {
            reads.memory.release(bytes)
            reads.underWay.subtract(1, ordering: .relaxed)
        }

        /// The share becomes `count` bytes, when it was more.
        func shrink(to count: Int) {
            guard count < bytes else { return }
            reads.memory.release(bytes - count)
            bytes = count
        }

        /// Makes the share as large as `count`; throws when the memory is used up.
        func hold(_ count: Int) throws(EtcdError) {
            guard count > bytes else { return }
            guard reads.memory.reserve(count - bytes) else { throw .tooManyRequests }
            bytes = count
        }
    }

    /// What a client is told that is too slow. etcd has no such case: it has all of the answer in memory.
    static let tooSlow = Status(
        .resourceExhausted, "etcdserver: the response was not read in time, and what it is read from cannot be kept")
}

/// A unary read on its way. It measures on a reader's thread, and the answers' pieces are made there too; all else happens
/// on the call's event loop.
private final class UnaryRead: StreamHandler, @unchecked Sendable {
    private let call: UnaryCall
    private let place: LargeReads.Place
    private let confirm: @Sendable () throws(EtcdError) -> Void
    private let observe: @Sendable (LargeReads.Outcome) -> Void
    private let make: @Sendable () throws(EtcdError) -> ReadAnswer
    private let started = Clock.nanoseconds
    private let isOver = Atomic<Bool>(false)
    private var answer: ReadAnswer?
    private var progress: ReplyPatience?
    private var isReading = false

    init(
        _ call: UnaryCall, _ place: LargeReads.Place, _ confirm: @escaping @Sendable () throws(EtcdError) -> Void,
        _ observe: @escaping @Sendable (LargeReads.Outcome) -> Void,
        _ make: @escaping @Sendable () throws(EtcdError) -> ReadAnswer
    ) {
        self.call = call
        self.place = place
        self.confirm = confirm
        self.observe = observe
        self.make = make
    }

    func begin() {
        call.onCancel { [self] _ in isOver.store(true, ordering: .relaxed) }
        prepare()
    }

    private func prepare() {
        place.reads.readers.submit { [self] _ in
            // Nobody waits for the answer any more.
            if isOver.load(ordering: .relaxed) { return }
            do throws(EtcdError) {
                guard let answer = try prepared() else {
                    // Others have their turn between two steps.
                    return prepare()
                }
                observe(LargeReads.Outcome(start: started, answer: .success(answer)))
                let first = try answer.nextPiece(LargeReads.headBytes)
                call.eventLoop.execute { [self] in send(first: first, of: answer) }
            } catch {
                if answer?.length ?? 0 == 0 { observe(LargeReads.Outcome(start: started, answer: .failure(error))) }
                call.fail(Status(error))
            }
        }
    }

    /// Does a step of the measuring; nil when another is to follow.
    private func prepared() throws(EtcdError) -> ReadAnswer? {
        let answer: ReadAnswer
        if let begun = self.answer { answer = begun } else { answer = try make() }
        self.answer = answer
        let isPrepared = try answer.prepare()
        try place.hold(answer.heldBytes)
        return isPrepared ? answer : nil
    }

    private func send(first piece: [UInt8], of answer: ReadAnswer) {
        do throws(EtcdError) { try confirm() } catch { return call.fail(Status(error)) }
        guard answer.unwritten > 0 else {
            // The call, which holds the read, goes with its answer.
            self.answer = nil
            return call.respond(piece)
        }
        guard !isOver.load(ordering: .relaxed) else { return }
        // What is queued is on the account by itself.
        place.shrink(to: LargeReads.pieceBytes / 2 + answer.heldBytes)
        progress = ReplyPatience(call.eventLoop, LargeReads.patience) { [weak self] in self?.giveUp() }
        call.beginReply(length: answer.length, source: self)
        call.continueReply(piece)
        readNext()
    }

    private func readNext() {
        guard !isReading, !isOver.load(ordering: .relaxed), call.isWritable, let answer else { return }
        isReading = true
        place.reads.readers.submit { [self] _ in
            let piece = Result { try answer.nextPiece(LargeReads.pieceBytes) }
            call.eventLoop.execute { [self] in take(piece, of: answer) }
        }
    }

    private func take(_ piece: Result<[UInt8], any Error>, of answer: ReadAnswer) {
        isReading = false
        guard !isOver.load(ordering: .relaxed) else { return }
        do {
            let piece = try piece.get()
            if answer.unwritten == 0 { end() }
            progress?.note()
            call.continueReply(piece)
            readNext()
        } catch {
            end()
            call.fail(Self.status(error))
        }
    }

    private func giveUp() {
        end()
        call.fail(LargeReads.tooSlow)
    }

    private func end() {
        isOver.store(true, ordering: .relaxed)
        progress?.end()
        progress = nil
        answer = nil
    }

    private static func status(_ error: any Error) -> Status {
        if let error = error as? EtcdError { return Status(error) }
        return Status(.internal, "\(error)")
    }

    func received(_ message: [UInt8]) {}
    func halfClosed() {}
    func writable() { readNext() }
    func cancelled(_ reason: CancelReason) { end() }
}
