import GRPC
import MVCC
import Metrics
import Synchronization
import Watch

/// The thread that owns the watchers, so that no write ever waits for one.
final class WatchThread: Sendable {
    enum Event: Sendable {
        case open(WatchStreamID, WatchStreamHandler)
        case close(WatchStreamID)
        case create(WatchStreamID, WatchCreate)
        /// A watch that its caller may not have, and the reason to tell.
        case refuse(WatchStreamID, String)
        case cancel(WatchStreamID, Int64)
        case progress(WatchStreamID)
        case written([(WatchStreamID, Int)])
        case commits([Commit], StoreView, bytes: Int)
        /// Look for commits that were not posted.
        case wake
        case stop
    }

    /// Commits that wait for this thread are dropped beyond this many bytes; the watchers then read what they missed from
    /// the store.
    private static let backlogLimit = 64 << 20
    /// etcd reports progress to idle watchers no more often than this, in milliseconds.
    private static let leastProgressInterval: Int64 = 100
    /// And about this often when nobody says how often.
    private static let standardProgressInterval: Int64 = 600_000

    private let mailbox = Mailbox<Event>()
    private let publisher: StorePublisher
    private let backlog = Atomic<Int>(0)
    private let missed = Atomic<Bool>(false)
    /// The streams that are open on the event loops.
    let openStreams = Atomic<Int>(0)
    private let status: MemberStatus
    private let metrics: MemberMetrics

    init(publisher: StorePublisher, status: MemberStatus, metrics: MemberMetrics) {
        self.publisher = publisher
        self.status = status
        self.metrics = metrics
    }

    func send(_ event: Event) {
        mailbox.send(event)
    }

    /// Tells the watchers of commits. Called by the member's thread, in order; `view` holds them.
    func post(_ commits: [Commit], view: StoreView) {
        // A stream counts before it asks for the revision to start from, so one that starts below these commits is seen
        // here. Without any, the revision alone matters, and that the view tells.
        guard openStreams.load(ordering: .sequentiallyConsistent) > 0 else {
            missed.store(true, ordering: .sequentiallyConsistent)
            // A stream that opened meanwhile may have been looked after before the flag was set.
            if openStreams.load(ordering: .sequentiallyConsistent) > 0 { mailbox.send(.wake) }
            return
        }
        let bytes = commits.reduce(0) { $0 + $1.changes.reduce(64) { $0 + $1.encodedKeyValue.count } }
        if backlog.load(ordering: .relaxed) + bytes > Self.backlogLimit {
            missed.store(true, ordering: .sequentiallyConsistent)
            mailbox.send(.wake)
            return
        }
        backlog.add(bytes, ordering: .relaxed)
        mailbox.send(.commits(commits, view, bytes: bytes))
    }

    /// The published view is that of another store than before: the watchers read what they missed from it.
    func storeReplaced() {
        missed.store(true, ordering: .sequentiallyConsistent)
        mailbox.send(.wake)
    }

    /// Notes the time that a turn's responses took to be queued on their streams, in equal shares.
    fileprivate func noteSent(responses: Int, controls: Int, events: Int, nanoseconds: Int64) {
        let share = nanoseconds / Int64(max(1, responses + controls))
        metrics.server.watchSends.observe(nanoseconds: share, times: responses)
        metrics.server.watchControlSends.observe(nanoseconds: share, times: controls)
        guard events > 0 else { return }
        metrics.server.watchSendsPerEvent.observe(
            nanoseconds: share * Int64(responses) / Int64(events), times: responses)
    }

    /// - Parameter interval: the time between two reports of progress to idle watchers, in milliseconds; 0 is etcd's.
    func start(_ options: WatchOptions, progressEvery interval: Int64) -> ServiceThread {
        let interval = interval == 0 ? Self.standardProgressInterval : max(interval, Self.leastProgressInterval)
        return ServiceThread("etcd-watch") { [self] in
            let hub = WatchHub(options: options, currentRevision: publisher.latest().currentRevision)
            Run(hub: hub, thread: self, progressInterval: interval).loop()
        }
    }

    /// The state of the running thread.
    private final class Run {
        let hub: WatchHub
        let thread: WatchThread
        var streams: [WatchStreamID: WatchStreamHandler] = [:]
        /// Requests taken in this turn, by stream.
        var handled: [WatchStreamID: Int] = [:]
        let progressInterval: Int64
        var nextProgress: Int64

        init(hub: WatchHub, thread: WatchThread, progressInterval: Int64) {
            self.progressInterval = progressInterval
            nextProgress = Clock.milliseconds + progressInterval
            self.hub = hub
            self.thread = thread
        }

        func loop() {
            var events: [Event] = []
            while true {
                let deadline = hub.needsCatchUp ? Clock.milliseconds : nextProgress
                thread.mailbox.receive(into: &events, until: deadline)
                hub.setTerm(thread.status.term.load(ordering: .relaxed))
                noteMissed()
                for event in events where !handle(event) { return }
                acknowledgeRequests()
                if Clock.milliseconds >= nextProgress {
                    nextProgress = Clock.milliseconds + progressInterval
                    for stream in streams.keys { hub.progressTick(on: stream) }
                }
                if hub.needsCatchUp { catchUp() }
                deliver()
            }
        }

        /// What was not posted is read from the store by those whom it concerns.
        private func noteMissed() {
            guard thread.missed.exchange(false, ordering: .sequentiallyConsistent) else { return }
            let view = thread.publisher.latest()
            hub.gap(
                currentRevision: view.currentRevision,
                history: StoreHistory(view: view, reads: thread.metrics.store.ranges))
        }

        private func catchUp() {
            do {
                try hub.catchUpStep(
                    history: StoreHistory(
                        view: thread.publisher.latest(), reads: thread.metrics.store.ranges))
            } catch {
                // The history of the store is damaged: nothing more can be told to anyone who watches.
                for handler in streams.values { handler.fail(Status(.dataLoss, "etcdserver: \(error)")) }
                for stream in streams.keys { hub.closeStream(stream) }
                streams.removeAll()
            }
        }

        private func handle(_ event: Event) -> Bool {
            switch event {
            case .open(let id, let handler):
                streams[id] = handler
                hub.openStream(id)
            case .close(let id):
                streams[id] = nil
                hub.closeStream(id)
            case .create(let id, let request):
                handled[id, default: 0] += 1
                hub.create(request, on: id)
            case .refuse(let id, let reason):
                handled[id, default: 0] += 1
                hub.refuse(on: id, reason: reason)
            case .cancel(let id, let watch):
                handled[id, default: 0] += 1
                hub.cancel(watchID: watch, on: id)
            case .progress(let id):
                handled[id, default: 0] += 1
                hub.requestProgress(on: id)
            case .written(let reports): for (id, bytes) in reports { hub.streamWritten(id, bytes: bytes) }
            case .commits(let commits, let view, let bytes):
                thread.backlog.subtract(bytes, ordering: .relaxed)
                let changes = commits.flatMap { $0.changes.map(WatchChange.init) }
                hub.commit(
                    revision: view.currentRevision, changes: changes,
                    history: StoreHistory(view: view, reads: thread.metrics.store.ranges))
            case .wake: break
            case .stop: return false
            }
            return true
        }

        /// Tells the streams how many of their requests were taken, so that they read on.
        private func acknowledgeRequests() {
            for (id, count) in handled {
                guard let handler = streams[id] else { continue }
                handler.eventLoop.execute { handler.handled(count) }
            }
            handled.removeAll(keepingCapacity: true)
        }

        private func deliver() {
            let deliveries = hub.drainOutput()
            thread.metrics.store.watchers.set(hub.watcherCount)
            thread.metrics.store.watchStreams.set(hub.streamCount)
            thread.metrics.store.slowWatchers.set(hub.slowWatcherCount)
            guard !deliveries.isEmpty else { return }
            var byLoop: [ObjectIdentifier: [(WatchStreamHandler, WatchDelivery)]] = [:]
            for delivery in deliveries {
                guard let handler = streams[delivery.stream] else { continue }
                byLoop[ObjectIdentifier(handler.eventLoop), default: []].append((handler, delivery))
            }
            for batch in byLoop.values {
                let events = batch.reduce(0) { $0 + $1.1.eventCount }
                thread.metrics.store.pendingEvents.add(events)
                batch[0].0.eventLoop.execute { [thread] in
                    let start = Clock.nanoseconds
                    var written: [(WatchStreamID, Int)] = []
                    for (handler, delivery) in batch {
                        if let bytes = handler.deliver(delivery) { written.append((delivery.stream, bytes)) }
                    }
                    if !written.isEmpty { thread.send(.written(written)) }
                    thread.metrics.store.events.add(events)
                    thread.metrics.store.pendingEvents.add(-events)
                    let responses = batch.count { $0.1.eventCount > 0 }
                    thread.noteSent(
                        responses: responses, controls: batch.count - responses, events: events,
                        nanoseconds: Clock.nanoseconds - start)
                }
            }
        }
    }
}

/// A view of the store as the watchers read history from it.
struct StoreHistory: WatchHistory {
    let view: StoreView
    /// Counts single reads.
    let reads: Counter

    var currentRevision: Int64 { view.currentRevision }
    var compactedRevision: Int64 { view.compactedRevision }

    func changes(
        from: Int64, through: Int64, byteLimit: Int,
        visit: (_ isDelete: Bool, _ revision: Int64, _ keyValue: UnsafeRawBufferPointer) throws -> Void
    ) throws -> Int64 {
        var failure: (any Error)?
        let next = try view.changes(from: from, through: through, byteLimit: byteLimit) { change in
            guard failure == nil else { return }
            do {
                try visit(change.isDelete, change.revision.main, change.encoded)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return next
    }

    func previous(of key: [UInt8], before revision: Int64) -> [UInt8]? {
        guard revision > 1 else { return nil }
        reads.add()
        var found: [UInt8]?
        let result = try? view.range(key: key, end: nil, revision: revision - 1) { found = [UInt8]($0.encoded) }
        return result == nil ? nil : found
    }
}

extension WatchChange {
    init(_ change: Change) {
        self.init(
            isDelete: change.isDelete, isCreate: change.createRevision == change.revision.main, key: change.key,
            encodedKeyValue: change.encodedKeyValue, revision: change.revision.main, sub: change.revision.sub)
    }
}
