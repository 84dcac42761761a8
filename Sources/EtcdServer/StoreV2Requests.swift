import Applier
import EtcdAPI
import Member
import Metrics
import StoreV2
import Synchronization

/// Who waits on the member's thread for the version-2 store.
struct StoreV2Waiters {
    typealias Answer = (Result<StoreV2Event, StoreV2Error>) -> Void

    /// Watches that may wait at once; each holds a connection too.
    fileprivate static let watchLimit = 100_000

    /// Requests that wait for the log.
    var count: Int { requests.count }

    fileprivate var requests: [UInt64: (start: Int64, answer: Answer)] = [:]
    fileprivate var watchers: [UInt64: any StoreV2Watcher] = [:]
    /// Nil when nobody can ask for them.
    var statistics: MessageStatistics?
    /// What the metrics show: the store's statistics and its watchers.
    fileprivate var shown: (StoreV2Statistics, Int)?
    /// The last entry of an append that each follower has not answered, and when it was sent.
    var unanswered: [UInt64: (index: UInt64, sentAt: Int64)] = [:]
}

/// One who waits for a change of the version-2 store. Told on the member's thread.
protocol StoreV2Watcher: AnyObject, Sendable {
    /// The change has come.
    func happened(_ message: StoreV2Message)
    /// Nothing will come any more.
    func abandoned()
}

extension StoreV2Error {
    /// The form in which the version-2 API tells of what went wrong on the way through the log.
    init(_ error: EtcdError) {
        self.init(.raftInternal, error.message)
    }

    /// What etcd tells one who says no user's name where users are asked for.
    static let unauthorized = StoreV2Error(.unauthorized, "Insufficient credentials")
}

/// An event on its way to all who wait for it: its text is made once.
final class StoreV2Message: Sendable {
    private let event: StoreV2Event
    private let text = Mutex<[UInt8]?>(nil)

    init(_ event: StoreV2Event) {
        self.event = event
    }

    /// The line that tells of the event. Any thread.
    var line: [UInt8] {
        text.withLock { text in
            if let text { return text }
            let made = KeysText.body(event, trimming: KeyTree.keysPath, now: Clock.unixNanoseconds)
            text = made
            return made
        }
    }
}

extension MemberThread {
    /// Sends `request`, whose id is new, through the log, and calls `answer` when it is applied or refused.
    func propose(_ request: StoreV2Request, _ answer: @escaping StoreV2Waiters.Answer) {
        if core.applier.keyTree.asksForUsers { return answer(.failure(.unauthorized)) }
        if let refusal = core.admission.refusal(waiting: waitingForLog) {
            return answer(.failure(StoreV2Error(refusal)))
        }
        let now = Clock.milliseconds
        storeV2.requests[request.id] = (now, answer)
        core.propose(request, now: now)
    }

    /// What `request`, which only reads, finds in this member's store.
    func readStoreV2(_ request: StoreV2Request) throws(StoreV2Error) -> StoreV2Event {
        let tree = core.applier.keyTree
        if tree.asksForUsers { throw .unauthorized }
        return try tree.get(request.path, recursive: request.recursive)
    }

    /// Has `watcher` wait as `request` says, or tells it at once. `begin` is called before the watcher hears of anything.
    /// - Returns: The id by which the watch is ended; nil when it does not wait.
    func watch(
        _ request: StoreV2Request, _ watcher: any StoreV2Watcher, begin: () -> Void
    ) throws(StoreV2Error) -> UInt64? {
        guard storeV2.watchers.count < StoreV2Waiters.watchLimit else { throw StoreV2Error(EtcdError.tooManyRequests) }
        let tree = core.applier.keyTree
        if tree.asksForUsers { throw .unauthorized }
        switch try tree.watch(
            request.path, recursive: request.recursive, stream: request.stream, since: request.since)
        {
        case .event(let event):
            begin()
            watcher.happened(StoreV2Message(event))
            return nil
        case .waits(let id):
            storeV2.watchers[id] = watcher
            begin()
            return id
        }
    }

    /// Ends the watch `id`.
    func endStoreV2Watch(_ id: UInt64) {
        core.applier.keyTree.removeWatcher(id)
        storeV2.watchers[id] = nil
    }

    /// Answers the request that `outcome` is of, if it is one of these.
    func finishStoreV2(_ outcome: Applier.Outcome) {
        guard let waiting = storeV2.requests.removeValue(forKey: outcome.requestID) else { return }
        switch outcome.reply {
        case .storeV2(let result): waiting.answer(result)
        case .failure(let error): waiting.answer(.failure(StoreV2Error(error)))
        case .message, .whenCompacted:
            waiting.answer(.failure(StoreV2Error(.raftInternal, "etcdserver: an answer of another kind")))
        }
    }

    /// Tells the watchers what has changed in a turn.
    func notifyStoreV2() {
        let tree = core.applier.keyTree
        // Notifications of one event come one after the other.
        var last: (index: UInt64, message: StoreV2Message)?
        for notification in tree.takeNotifications() {
            let index = notification.event.index
            let message = last?.index == index ? last?.message : nil
            let present = message ?? StoreV2Message(notification.event)
            last = (index, present)
            guard let watcher = storeV2.watchers[notification.watcher] else { continue }
            watcher.happened(present)
            if !tree.hasWatcher(notification.watcher) { storeV2.watchers[notification.watcher] = nil }
        }
        noteStoreV2(tree)
    }

    /// Has the metrics show what the store counts, once a turn; nobody looks at it while the API is switched off.
    private func noteStoreV2(_ tree: KeyTree) {
        guard storeV2.statistics != nil else { return }
        let now = (tree.statistics, tree.watcherCount)
        if let shown = storeV2.shown, shown == now { return }
        storeV2.shown = now
        var store = StoreV2Metrics.Store()
        (store.changes, store.expirations, store.watchers) = (now.0.changes, now.0.expirations, now.1)
        running.metrics.storeV2.note(store)
    }

    /// Gives up requests that have waited too long.
    func expireStoreV2(now: Int64) {
        for (id, waiting) in storeV2.requests where now >= waiting.start + core.settings.requestTimeout {
            storeV2.requests[id] = nil
            waiting.answer(.failure(StoreV2Error(core.timeoutError(ofRequestFrom: waiting.start))))
        }
    }

    /// Gives everything up since this member stops.
    func endStoreV2() {
        for waiting in storeV2.requests.values { waiting.answer(.failure(StoreV2Error(EtcdError.stopped))) }
        for watcher in storeV2.watchers.values { watcher.abandoned() }
        storeV2 = StoreV2Waiters()
    }
}
