import EtcdAPI
import Watch

/// A client that watches: every event once, in order, without a gap, however often it has to connect again.
final class WatchClient: SimulatedClient {
    private var stream: (id: WatchStreamID, process: MemberProcess)?
    /// The first revision of which this client does not have all events.
    private var next: Int64 = 0
    private var first = "r"
    private var end = "s"
    private var session = 0
    private var lastArrival: Int64 = 0

    override func begin() {
        connect()
    }

    /// Whether all events through `revision` came.
    func hasSeen(_ revision: Int64) -> Bool {
        world.observer.model.events(from: max(next, 1), through: revision, in: first, end).isEmpty
    }

    /// Connects and watches from where it was; also after ``stop()``, so that the rest arrives.
    private func connect() {
        session += 1
        let session = session
        move()
        lastArrival = world.simulator.now
        world.simulator.after(random.delay(around: 20_000)) { [self] in
            guard session == self.session else { return }
            guard let process = machine.responsiveProcess else { return connect() }
            open(process, session)
        }
        // Sooner or later the connection is given up for another.
        let patience = random.within(300_000...6_000_000)
        world.simulator.after(patience) { [self] in
            if session == self.session && !isStopped { reconnect() }
        }
    }

    private func reconnect() {
        if let stream { stream.process.closeWatchStream(stream.id) }
        stream = nil
        connect()
    }

    private func open(_ process: MemberProcess, _ session: Int) {
        let id = process.openWatchStream { [self] delivery in arrive(delivery, process, session) }
        stream = (id, process)
        var request = WatchCreate(key: Array(first.utf8), rangeEnd: Array(end.utf8))
        if next == 0 {
            // From the first revision on, so that nothing is left to chance.
            next = 1
        }
        request.startRevision = next
        request.previousKeyValue = random.one(in: 3)
        process.createWatch(request, on: id)
        if random.one(in: 2) { process.sendToWatch(.progress(id)) }
        world.recorder.note(.watchOpened, -number, UInt64(process.machine.number), UInt64(bitPattern: next))
    }

    /// A response is on its way; a slow reader takes long for it.
    private func arrive(_ delivery: WatchDelivery?, _ process: MemberProcess, _ session: Int) {
        guard let delivery else {
            return world.simulator.after(1_000) { [self] in
                guard session == self.session else { return }
                stream = nil
                connect()
            }
        }
        let usual: Int64 = random.one(in: 20) ? 30_000 : 500
        lastArrival = max(lastArrival, world.simulator.now + random.delay(around: usual))
        world.simulator.at(lastArrival) { [self] in
            process.later(0) { process.sendToWatch(.written(delivery.stream, delivery.byteCount)) }
            guard session == self.session else { return }
            guard let response = try? Etcdserverpb_WatchResponse(serializedBytes: delivery.bytes) else {
                return world.recorder.violate("a watch response does not decode")
            }
            take(response, process)
        }
    }

    private func take(_ response: Etcdserverpb_WatchResponse, _ process: MemberProcess) {
        let revision = response.header.revision
        if response.canceled {
            world.recorder.note(.watchCanceled, -number, UInt64(bitPattern: response.compactRevision))
            world.recorder.check(
                response.compactRevision > next,
                "c\(number)'s watch from \(next) was canceled with compact revision \(response.compactRevision)")
            // What was compacted away is lost to watchers; the rest is not.
            next = response.compactRevision
            return reconnect()
        }
        let events = response.events.map { event in
            KeyValueModel.Event(
                revision: event.kv.modRevision, key: String(decoding: event.kv.key, as: UTF8.self),
                value: event.type == .put ? String(decoding: event.kv.value, as: UTF8.self) : nil)
        }
        guard !events.isEmpty else {
            guard response.watchID == -1 else { return }
            // A report of progress says that all events up to its revision were sent.
            world.recorder.note(.watchProgress, -number, UInt64(bitPattern: revision))
            expectNone(before: revision + 1)
            return
        }
        world.recorder.note(.watchEvents, -number, UInt64(events.count), UInt64(bitPattern: events[0].revision))
        let last = events[events.count - 1].revision
        let expected = world.observer.model.events(from: next, through: last, in: first, end)
        world.recorder.check(
            events == expected,
            "c\(number) watches from \(next) on m\(process.machine.number) and gets \(events), not \(expected)")
        next = last + 1
    }

    private func expectNone(before revision: Int64) {
        guard revision > next else { return }
        let missing = world.observer.model.events(from: next, through: revision - 1, in: first, end)
        world.recorder.check(missing.isEmpty, "c\(number) was told of progress to \(revision - 1) without \(missing)")
        next = revision
    }
}

extension KeyValueModel {
    /// The events of keys from `first` on and below `end`.
    func events(from: Int64, through: Int64, in first: String, _ end: String) -> [Event] {
        // Revisions ascend, so that the first one is found by halving.
        var low = 0
        var high = events.count
        while low < high {
            let middle = (low + high) / 2
            if events[middle].revision < from { low = middle + 1 } else { high = middle }
        }
        return events[low...].prefix { $0.revision <= through }.filter { $0.key >= first && $0.key < end }
    }
}
