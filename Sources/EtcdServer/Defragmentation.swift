import Backend
import EtcdAPI
import Logging

/// The work of `etcd-backend` on a copy of the database, between the commits.
struct RunningDefragmentation {
    let work: Defragmentation
    private let startedAt = Clock.nanoseconds
    /// When the next step is due, in milliseconds of the clock; 0 for at once.
    private(set) var nextStep: Int64 = 0
    private var lastCommit: Int64 = 0
    private var longestStep: Int64 = 0

    /// Without commits for so long, in milliseconds, nobody writes who would have to share the disk.
    private static let quietTime: Int64 = 500
    /// The pause after a step while others write, in lengths of the step: on a disk that is slow, steps and pauses are long.
    private static let pausesPerStep: Int64 = 4
    /// A step's least pause while others write, in milliseconds.
    private static let leastPause: Int64 = 2

    init(_ work: Defragmentation) {
        self.work = work
    }

    mutating func follow(_ job: CommitJob) {
        work.follow(job)
        lastCommit = Clock.milliseconds
    }

    /// Runs the step that is due and returns how it all ended, when it has.
    mutating func step() -> Result<DefragmentationReport, DefragmentationError>? {
        let start = Clock.nanoseconds
        let result: Result<Defragmentation.Progress, DefragmentationError>
        do throws(DefragmentationError) { result = .success(try work.step()) } catch { result = .failure(error) }
        let end = Clock.nanoseconds
        longestStep = max(longestStep, end - start)
        switch result {
        case .failure(let error): return .failure(error)
        case .success(.done):
            return .success(
                DefragmentationReport(
                    nanoseconds: end - startedAt, pauseNanoseconds: end - start, longestStepNanoseconds: longestStep))
        case .success(.copying):
            let now = Clock.milliseconds
            // Most of the disk's time, and of the processor's, is left to those who write.
            let isShared = now - lastCommit < Self.quietTime
            nextStep = isShared ? now + max(Self.leastPause, Self.pausesPerStep * (end - start) / 1_000_000) : 0
            return nil
        }
    }
}

/// How long a defragmentation took.
struct DefragmentationReport: Sendable {
    /// From the first step to the last.
    var nanoseconds: Int64
    /// The last step, which exchanged the files: commits waited for all of it.
    var pauseNanoseconds: Int64
    /// The longest time that a commit could have waited for a step.
    var longestStepNanoseconds: Int64
}

/// What became of a defragmentation.
enum DefragmentationOutcome: Sendable {
    case done(DefragmentationReport)
    /// The file is as it was.
    case failed(DefragmentationError)
    /// The state machine, and its file with it, is being replaced by a leader's snapshot.
    case overtaken
}

/// The calls that wait for a defragmentation. One runs at a time; those that ask meanwhile share the next one, since the
/// running one may have passed by what they want to be rid of.
struct DefragmentationCalls {
    typealias Answer = @Sendable (EtcdError?) -> Void

    var running: [Answer] = []
    var waiting: [Answer] = []
    var isRunning = false
}

extension MemberThread {
    /// Defragments the database while the member goes on, and calls `answer` at the end. It is not given up when the one
    /// who asked is gone: `etcdctl` waits for five seconds only.
    func defragment(_ answer: @escaping DefragmentationCalls.Answer) {
        defragmentations.waiting.append(answer)
        // What a compaction has dropped so far is to be gone from the file.
        if !defragmentations.isRunning { afterNextCommit { $0.startDefragmentation() } }
    }

    private func startDefragmentation() {
        guard !defragmentations.isRunning, !defragmentations.waiting.isEmpty else { return }
        defragmentations.isRunning = true
        defragmentations.running = defragmentations.waiting
        defragmentations.waiting = []
        let backend = core.applier.backend
        logger.info(
            "starting defragmentation",
            metadata: [
                "current-db-size-bytes": .stringConvertible(backend.fileSize),
                "current-db-size-in-use-bytes": .stringConvertible(backend.sizeInUse),
            ])
        running.metrics.disk.defragmentationsRunning.set(1)
        running.backend.send(.defragment(backend.beginDefragmentation()))
    }

    /// Takes over what `work` has come to.
    func defragmentationEnded(_ work: Defragmentation, _ outcome: DefragmentationOutcome) {
        let answers = defragmentations.running
        defragmentations.running = []
        defragmentations.isRunning = false
        running.metrics.disk.defragmentationsRunning.set(0)
        var failure: EtcdError?
        switch outcome {
        case .done(let report): finishDefragmentation(work, report)
        case .failed(let error):
            logger.error("failed to defragment", metadata: ["error": .string("\(error)")])
            failure = EtcdError(.unknown, "\(error)")
        case .overtaken: failure = .overtakenBySnapshot
        }
        for answer in answers { answer(failure) }
        if !defragmentations.waiting.isEmpty { afterNextCommit { $0.startDefragmentation() } }
    }

    private func finishDefragmentation(_ work: Defragmentation, _ report: DefragmentationReport) {
        running.metrics.disk.defragmentation.observe(nanoseconds: report.nanoseconds)
        running.metrics.disk.defragmentationPause.observe(nanoseconds: report.pauseNanoseconds)
        let backend = core.applier.backend
        let (oldSize, oldSizeInUse) = (backend.fileSize, backend.sizeInUse)
        let old = backend.finishDefragmentation(work)
        core.applier.store.publish()
        running.backend.send(.release(old))
        noteSize()
        logger.info(
            "finished defragmentation",
            metadata: [
                "current-db-size-bytes-diff": .stringConvertible(backend.fileSize - oldSize),
                "current-db-size-bytes": .stringConvertible(backend.fileSize),
                "current-db-size-in-use-bytes-diff": .stringConvertible(backend.sizeInUse - oldSizeInUse),
                "current-db-size-in-use-bytes": .stringConvertible(backend.sizeInUse),
                "took": .string("\(report.nanoseconds / 1_000_000)ms"),
                "exchange-took": .string("\(report.pauseNanoseconds / 1_000)us"),
                "longest-step-took": .string("\(report.longestStepNanoseconds / 1_000)us"),
            ])
    }

    /// The member stops: nobody waits for an answer any longer than that.
    func endDefragmentations() {
        for answer in defragmentations.running + defragmentations.waiting { answer(.stopped) }
        defragmentations = DefragmentationCalls()
    }
}

extension EtcdError {
    /// There is no such case in etcd, whose members do not defragment while they install a snapshot.
    fileprivate static let overtakenBySnapshot = EtcdError(
        .unavailable, "etcdserver: the database was replaced by the leader's snapshot; defragment again")
}
