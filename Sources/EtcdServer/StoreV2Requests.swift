import Applier
import EtcdAPI
import Member
import StoreV2

/// Who waits on the member's thread for the version-2 store.
struct StoreV2Waiters {
    typealias Answer = (Result<StoreV2Event, StoreV2Error>) -> Void

    /// Requests are refused while this many wait: as many as of all others.
    fileprivate static let limit = 50_000
    /// Watches that may wait at once; each holds a connection too.
    fileprivate static let watchLimit = 100_000
    fileprivate static let tooMany = EtcdError.tooManyRequests

    fileprivate var requests: [UInt64: (start: Int64, answer: Answer)] = [:]
    fileprivate var watchers: [UInt64: any StoreV2Watcher] = [:]
    /// Nil when nobody can ask for them.
    var statistics: MessageStatistics?
    /// The last entry of an append that each follower has not answered, and when it was sent.
    var unanswered: [UInt64: (index: UInt64, sentAt: Int64)] = [:]
}

/// One who waits for a change of the version-2 store. Told on the member's thread.
protocol StoreV2Watcher: AnyObject, Sendable {
    /// The change has come.
    func happened(_ event: StoreV2Event)
    /// Nothing will come any more.
    func abandoned()
}

extension StoreV2Error {
    /// The form in which the version-2 API tells of what went wrong on the way through the log.
    init(_ error: EtcdError) {
        self.init(.raftInternal, error.message)
    }
}

extension MemberThread {
    /// Sends `request`, whose id is new, through the log, and calls `answer` when it is applied or refused.
    func propose(_ request: StoreV2Request, _ answer: @escaping StoreV2Waiters.Answer) {
        guard storeV2.requests.count < StoreV2Waiters.limit else {
            return answer(.failure(StoreV2Error(StoreV2Waiters.tooMany)))
        }
        let now = Clock.milliseconds
        storeV2.requests[request.id] = (now, answer)
        core.propose(request, now: now)
    }

    /// Has `watcher` wait as `request` says, or tells it at once. `begin` is called before the watcher hears of anything.
    /// - Returns: The id by which the watch is ended; nil when it does not wait.
    func watch(
        _ request: StoreV2Request, _ watcher: any StoreV2Watcher, begin: () -> Void
    ) throws(StoreV2Error) -> UInt64? {
        guard storeV2.watchers.count < StoreV2Waiters.watchLimit else { throw StoreV2Error(StoreV2Waiters.tooMany) }
        let tree = core.applier.keyTree
        switch try tree.watch(
            request.path, recursive: request.recursive, stream: request.stream, since: request.since)
        {
        case .event(let event):
            begin()
            watcher.happened(event)
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
        for notification in tree.takeNotifications() {
            guard let watcher = storeV2.watchers[notification.watcher] else { continue }
            watcher.happened(notification.event)
            if !tree.hasWatcher(notification.watcher) { storeV2.watchers[notification.watcher] = nil }
        }
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
