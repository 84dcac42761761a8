import MVCC
import Watch

/// What the watchers' thread has to do, and the hub that it owns.
struct WatchWork {
    enum Event {
        case open(WatchStreamID)
        case close(WatchStreamID)
        case create(WatchStreamID, WatchCreate)
        case progress(WatchStreamID)
        case written(WatchStreamID, Int)
        case commits([Commit], StoreView)
    }

    let hub: WatchHub
    var mailbox: [Event] = []
    var isScheduled = false
    /// Commits were not posted: the watchers read them from the store.
    var hasMissed = false
    /// Takes what a stream is sent, and nil when the process ends.
    var streams: [UInt64: (WatchDelivery?) -> Void] = [:]
    var lastStream: UInt64 = 0

    init(clusterID: UInt64, memberID: UInt64, revision: Int64) {
        var options = WatchOptions(clusterID: clusterID, memberID: memberID)
        // Small, so that streams are set aside, responses split and scans shared in a short run.
        options.streamByteLimit = 2_048
        options.responseByteLimit = 512
        options.maximumScans = 2
        hub = WatchHub(options: options, currentRevision: revision)
    }
}

extension MemberProcess {
    /// Once in this many turns the commits are not posted, as when the watchers' thread cannot keep up.
    private static let missedOneIn = 60

    /// Opens a stream whose responses go to `deliver`.
    func openWatchStream(_ deliver: @escaping (WatchDelivery?) -> Void) -> WatchStreamID {
        watch.lastStream += 1
        let id = WatchStreamID(watch.lastStream)
        watch.streams[watch.lastStream] = deliver
        sendToWatch(.open(id))
        return id
    }

    func closeWatchStream(_ id: WatchStreamID) {
        guard watch.streams.removeValue(forKey: id.rawValue) != nil else { return }
        sendToWatch(.close(id))
    }

    /// Starts a watch as the service does.
    func createWatch(_ request: WatchCreate, on id: WatchStreamID) {
        var request = request
        if request.startRevision == 0 {
            request.startRevision = core.applier.store.publisher.latest().currentRevision + 1
        }
        sendToWatch(.create(id, request))
    }

    func post(_ commits: [Commit], view: StoreView) {
        guard !watch.streams.isEmpty, !random.one(in: Self.missedOneIn) else {
            watch.hasMissed = true
            return scheduleWatch(after: random.delay(around: 20))
        }
        sendToWatch(.commits(commits, view))
    }

    /// Sends an event to the watchers' thread, or only wakes it.
    func sendToWatch(_ event: WatchWork.Event?) {
        if let event { watch.mailbox.append(event) }
        scheduleWatch(after: random.delay(around: 20))
    }

    private func scheduleWatch(after delay: Int64) {
        guard !watch.isScheduled else { return }
        watch.isScheduled = true
        later(delay) { [self] in
            watch.isScheduled = false
            watchTurn()
        }
    }

    private func watchTurn() {
        let hub = watch.hub
        hub.setTerm(core.term)
        if watch.hasMissed {
            watch.hasMissed = false
            let view = core.applier.store.publisher.latest()
            hub.gap(currentRevision: view.currentRevision, history: SimulatedHistory(view: view))
        }
        let events = watch.mailbox
        watch.mailbox = []
        for event in events { handle(event, hub) }
        if hub.needsCatchUp {
            let view = core.applier.store.publisher.latest()
            do {
                try hub.catchUpStep(history: SimulatedHistory(view: view), byteBudget: 400)
            } catch {
                world.recorder.violate("m\(machine.number): the history for watchers is damaged: \(error)")
            }
        }
        for delivery in hub.drainOutput() {
            if world.settings.sabotage == .losesWatchEvents && random.one(in: 40) { continue }
            watch.streams[delivery.stream.rawValue]?(delivery)
        }
        if hub.needsCatchUp { scheduleWatch(after: 200) }
    }

    private func handle(_ event: WatchWork.Event, _ hub: WatchHub) {
        switch event {
        case .open(let id): hub.openStream(id)
        case .close(let id): hub.closeStream(id)
        case .create(let id, let request): hub.create(request, on: id)
        case .progress(let id): hub.requestProgress(on: id)
        case .written(let id, let bytes): hub.streamWritten(id, bytes: bytes)
        case .commits(let commits, let view):
            let changes = commits.flatMap { $0.changes.map(WatchChange.init) }
            hub.commit(
                revision: view.currentRevision, changes: changes, history: SimulatedHistory(view: view))
        }
    }

    func closeWatchStreams() {
        let streams = watch.streams.sorted { $0.key < $1.key }
        watch.streams = [:]
        watch.mailbox = []
        for (_, deliver) in streams { deliver(nil) }
    }
}

/// A view of the store as the watchers read history from it.
private struct SimulatedHistory: WatchHistory {
    let view: StoreView

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
        var found: [UInt8]?
        let result = try? view.range(key: key, end: nil, revision: revision - 1) { found = [UInt8]($0.encoded) }
        return result == nil ? nil : found
    }
}

extension WatchChange {
    fileprivate init(_ change: Change) {
        self.init(
            isDelete: change.isDelete, isCreate: change.createRevision == change.revision.main, key: change.key,
            encodedKeyValue: change.encodedKeyValue, revision: change.revision.main, sub: change.revision.sub)
    }
}
