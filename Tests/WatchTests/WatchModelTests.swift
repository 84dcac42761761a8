import Testing
import Watch

/// Random schedules against the promise that a watch makes: each watcher gets exactly the changes of its keys from its
/// start on, in order, whatever is stalled, dropped or compacted meanwhile.
@Suite struct WatchModelTests {
    @Test(arguments: 1...150) func eachWatcherGetsItsHistoryInOrder(seed: UInt64) throws {
        var schedule = WatchSchedule(seed: seed)
        for _ in 0..<400 { try schedule.step() }
        try schedule.finish()
    }
}

/// What a watcher should get, and what it got.
private struct Expectation {
    var request: WatchCreate
    var start: Int64
    /// How many of the store's changes the watcher has been seen to be through with.
    var position = 0
    var lastReceived: Int64 = 0
    var isFragmented = false

    func wants(_ change: TestStore.Change) -> Bool {
        let key = Array(change.key.utf8)
        if change.revision < start || (change.value == nil ? request.excludesDeletes : request.excludesPuts) {
            return false
        }
        if request.rangeEnd.isEmpty { return key == request.key }
        let isBehindStart = !key.lexicographicallyPrecedes(request.key)
        return isBehindStart && (request.rangeEnd == [0] || key.lexicographicallyPrecedes(request.rangeEnd))
    }
}

private struct WatchSchedule {
    private struct Name: Hashable {
        var stream: UInt64
        var watchID: Int64
    }

    private let seed: UInt64
    private var random: SplitMix64
    private let hub: WatchHub
    private let options: WatchOptions
    private var store = TestStore()
    /// Requests in the order of asking, for the answers that are to come.
    private var asked: [UInt64: [WatchCreate]] = [:]
    private var watchers: [Name: Expectation] = [:]
    private var pending: [UInt64: Int] = [:]
    private var stalled: Set<UInt64> = []

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix64(seed: seed)
        var options = WatchOptions(clusterID: 7, memberID: 8)
        options.streamByteLimit = [0, 60, 300, 1 << 20].randomElement(using: &random) ?? 0
        options.responseByteLimit = [10, 100, 1 << 20].randomElement(using: &random) ?? 10
        options.fragmentBytes = [80, 150, 1 << 20].randomElement(using: &random) ?? 80
        options.maximumScans = [1, 2, 8].randomElement(using: &random) ?? 1
        self.options = options
        hub = WatchHub(options: options, currentRevision: 1)
    }

    mutating func step() throws {
        let stream = UInt64.random(in: 1...4, using: &random)
        let id = WatchStreamID(stream)
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: change(revisions: Int.random(in: 1...3, using: &random), posted: true)
        case 35..<40: change(revisions: Int.random(in: 1...3, using: &random), posted: false)
        case 40..<43: hub.gap(currentRevision: store.currentRevision, history: store)
        case 43..<55: create(on: stream)
        case 55..<58: cancel(on: stream)
        case 58..<60:
            hub.closeStream(id)
            // What was on its way to the client goes down with the stream.
            for name in watchers.keys.filter({ $0.stream == stream }) { end(name) }
            asked[stream] = nil
            pending[stream] = nil
            stalled.remove(stream)
        case 60..<66: stalled.insert(stream)
        case 66..<74: resume(stream)
        case 74..<92:
            try hub.catchUpStep(history: store, byteBudget: Int.random(in: 1...200, using: &random))
        case 92..<94:
            store.compact(at: Int64.random(in: 1...store.currentRevision, using: &random))
        case 94..<97: hub.requestProgress(on: id)
        default: hub.progressTick(on: id)
        }
        try receive()
    }

    /// Lets every client read on and every watcher catch up, then compares all of them.
    mutating func finish() throws {
        hub.gap(currentRevision: store.currentRevision, history: store)
        var rounds = 0
        repeat {
            for stream in UInt64(1)...4 { resume(stream) }
            while try hub.catchUpStep(history: store, byteBudget: 100) { try receive() }
            try receive()
            rounds += 1
        } while (hub.slowWatcherCount > 0 || !stalled.isEmpty) && rounds < 10_000
        #expect(hub.slowWatcherCount == 0, "seed \(seed): every watcher catches up in the end")
        #expect(hub.watcherCount == watchers.count)
        for name in watchers.keys { try check(name, through: store.currentRevision, "at the end") }
    }

    private mutating func change(revisions: Int, posted: Bool) {
        for _ in 0..<revisions {
            var keys = ["a", "b", "c", "d", "e"]
            keys.shuffle(using: &random)
            let operations = keys.prefix(Int.random(in: 1...3, using: &random)).map { key in
                let isDelete = Int.random(in: 0..<4, using: &random) == 0
                return (key: key, value: isDelete ? nil : String(random.next() % 1000))
            }
            store.apply(operations)
        }
        guard posted else { return }
        // The hub is also given revisions that it already has.
        let after = max(1, hub.currentRevision - Int64.random(in: 0...1, using: &random))
        hub.commit(revision: store.currentRevision, changes: store.posted(after: after), history: store)
    }

    private mutating func create(on stream: UInt64) {
        let keys = ["a", "b", "c", "d", "e"]
        var request = WatchCreate(key: Array((keys.randomElement(using: &random) ?? "a").utf8))
        switch Int.random(in: 0..<4, using: &random) {
        case 0: request.rangeEnd = [0]
        case 1: request.rangeEnd = Array("f".utf8)
        default: break
        }
        request.watchID = Int.random(in: 0..<6, using: &random) == 0 ? Int64.random(in: 1...9, using: &random) : 0
        if Bool.random(using: &random) {
            request.startRevision = Int64.random(in: 1...(store.currentRevision + 5), using: &random)
        }
        request.previousKeyValue = Bool.random(using: &random)
        request.excludesPuts = Int.random(in: 0..<6, using: &random) == 0
        request.excludesDeletes = Int.random(in: 0..<6, using: &random) == 0
        request.progressNotify = Bool.random(using: &random)
        request.fragments = Bool.random(using: &random)
        hub.openStream(WatchStreamID(stream))
        asked[stream, default: []].append(request)
        hub.create(request, on: WatchStreamID(stream))
    }

    private mutating func cancel(on stream: UInt64) {
        let ids = watchers.keys.filter { $0.stream == stream }.map(\.watchID).sorted()
        hub.cancel(watchID: ids.randomElement(using: &random) ?? 99, on: WatchStreamID(stream))
    }

    private mutating func resume(_ stream: UInt64) {
        stalled.remove(stream)
        hub.streamWritten(WatchStreamID(stream), bytes: pending.removeValue(forKey: stream) ?? 0)
    }

    private mutating func end(_ name: Name) {
        watchers[name] = nil
    }

    private mutating func receive() throws {
        for delivery in hub.drainOutput() {
            let response = try DecodedResponse(delivery)
            #expect(response.clusterID == 7 && response.memberID == 8)
            #expect(response.events.count == delivery.eventCount)
            try receive(response)
            let stream = delivery.stream.rawValue
            pending[stream, default: 0] += delivery.byteCount
            if !stalled.contains(stream) { resume(stream) }
        }
        if hub.slowWatcherCount == 0 {
            for name in watchers.keys { try check(name, through: hub.currentRevision, "no watcher is slow") }
        }
    }

    private mutating func receive(_ response: DecodedResponse) throws {
        let name = Name(stream: response.stream, watchID: response.watchID)
        if response.created {
            let request = asked[response.stream]?.removeFirst()
            guard !response.canceled else { return }
            #expect(watchers[name] == nil, "seed \(seed): a watch id is given once")
            let created = try #require(request)
            watchers[name] = Expectation(
                request: created, start: created.startRevision == 0 ? response.revision + 1 : created.startRevision)
        } else if response.canceled {
            #expect(watchers[name] != nil)
            if response.compactRevision != 0 { try checkCompacted(name, at: response.compactRevision) }
            end(name)
        } else if response.watchID == WatchHub.invalidWatchID {
            for other in watchers.keys where other.stream == response.stream {
                try check(other, through: response.revision, "progress of the stream")
            }
        } else if response.events.isEmpty {
            #expect(watchers[name]?.request.progressNotify == true)
            try check(name, through: response.revision, "progress of the watcher")
        } else {
            try receiveEvents(response, name)
        }
    }

    private mutating func receiveEvents(_ response: DecodedResponse, _ name: Name) throws {
        var watcher = try #require(watchers[name], "seed \(seed): events before created or after canceled")
        let revisions = response.events.map(\.keyValue.modRevision)
        if !watcher.isFragmented {
            #expect((revisions.first ?? 0) > watcher.lastReceived, "seed \(seed): a revision is torn over responses")
        }
        #expect((revisions.last ?? 0) <= response.revision)
        #expect(!response.fragment || watcher.request.fragments)
        watcher.isFragmented = response.fragment
        watcher.lastReceived = revisions.last ?? 0
        for event in response.events {
            while watcher.position < store.allChanges.count, !watcher.wants(store.allChanges[watcher.position]) {
                watcher.position += 1
            }
            try #require(watcher.position < store.allChanges.count, "seed \(seed): an event too many")
            let change = store.allChanges[watcher.position]
            watcher.position += 1
            guard isEvent(event, of: change, withPrevious: watcher.request.previousKeyValue) else {
                Issue.record("seed \(seed), \(name): \(event) is not \(change)")
                return
            }
        }
        watchers[name] = watcher
    }

    /// The watcher has everything through `revision`.
    private mutating func check(_ name: Name, through revision: Int64, _ occasion: String) throws {
        var watcher = try #require(watchers[name])
        while watcher.position < store.allChanges.count {
            let change = store.allChanges[watcher.position]
            if change.revision > revision { break }
            if watcher.wants(change) {
                Issue.record("seed \(seed), \(name), \(occasion) at revision \(revision): \(change) is missing")
                break
            }
            watcher.position += 1
        }
        watchers[name] = watcher
    }

    private func isEvent(
        _ event: DecodedResponse.Event, of change: TestStore.Change, withPrevious: Bool
    ) -> Bool {
        guard event.keyValue.key == change.key, event.keyValue.modRevision == change.revision,
            event.isDelete == (change.value == nil)
        else { return false }
        if let value = change.value {
            guard event.keyValue.value == value, event.keyValue.version == change.version,
                event.keyValue.createRevision == change.createRevision
            else { return false }
        }
        if let previous = event.previous {
            return withPrevious && previous.value == change.previousValue
                && previous.modRevision == change.previousRevision
        }
        // Only compaction takes a previous value away.
        return !withPrevious || change.previousValue == nil || change.revision - 1 < store.compactedRevision
    }

    /// A watcher is canceled by compaction only when it still needed a revision below the compacted one.
    private func checkCompacted(_ name: Name, at revision: Int64) throws {
        let watcher = try #require(watchers[name])
        #expect(revision <= store.compactedRevision)
        #expect(watcher.start < revision)
        #expect(watcher.lastReceived < revision)
    }
}
