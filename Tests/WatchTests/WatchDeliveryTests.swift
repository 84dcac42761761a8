import Testing
import Watch

/// The limits that keep a busy hub small.
@Suite struct WatchDeliveryTests {
    private func put(_ value: Int, revision: Int64) -> WatchChange {
        var store = TestStore()
        for _ in 2..<revision { store.apply([("other", "x")]) }
        store.apply([("key", String(repeating: "v", count: value))])
        return store.posted(after: revision - 1)[0]
    }

    @Test func anEventIsEncodedOnceHoweverManyWatchIt() {
        let hub = WatchHub(options: WatchOptions(clusterID: 1, memberID: 2), currentRevision: 1)
        for stream in UInt64(1)...100 {
            hub.openStream(WatchStreamID(stream))
            hub.create(WatchCreate(key: Array("key".utf8)), on: WatchStreamID(stream))
            hub.create(WatchCreate(key: Array("k".utf8), rangeEnd: [0]), on: WatchStreamID(stream))
        }
        _ = hub.drainOutput()
        hub.commit(revision: 2, changes: [put(100, revision: 2)], history: TestStore())
        let deliveries = hub.drainOutput()
        #expect(deliveries.count == 200)
        let addresses = Set(deliveries.map { $0.body.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) } })
        #expect(addresses.count == 1)
    }

    @Test func aStreamThatIsNotReadHoldsItsLimitAndOneResponse() throws {
        var options = WatchOptions(clusterID: 1, memberID: 2)
        options.streamByteLimit = 10_000
        let hub = WatchHub(options: options, currentRevision: 1)
        hub.openStream(WatchStreamID(1))
        for _ in 0..<50 { hub.create(WatchCreate(key: Array("key".utf8)), on: WatchStreamID(1)) }
        var store = TestStore()
        var pending = 0
        for _ in 0..<100 {
            store.apply([("key", String(repeating: "v", count: 1000))])
            hub.commit(
                revision: store.currentRevision, changes: store.posted(after: hub.currentRevision), history: store)
            while try hub.catchUpStep(history: store) {}
            pending += hub.drainOutput().reduce(0) { $0 + $1.byteCount }
        }
        #expect(pending > 10_000 && pending < 10_000 + 1_200)
        #expect(hub.slowWatcherCount == 50)
    }

    @Test func watchersAreRefusedAboveTheLimit() throws {
        var options = WatchOptions(clusterID: 1, memberID: 2)
        options.maximumWatchers = 2
        let hub = WatchHub(options: options, currentRevision: 1)
        hub.openStream(WatchStreamID(1))
        for _ in 0..<3 { hub.create(WatchCreate(key: [97]), on: WatchStreamID(1)) }
        let responses = try hub.drainOutput().map { try DecodedResponse($0) }
        #expect(responses.map(\.canceled) == [false, false, true])
        #expect(hub.watcherCount == 2)
    }

    @Test func theHeaderCarriesTheTerm() throws {
        let hub = WatchHub(options: WatchOptions(clusterID: 1, memberID: 2), currentRevision: 1)
        hub.openStream(WatchStreamID(1))
        hub.setTerm(2)
        hub.create(WatchCreate(key: [97]), on: WatchStreamID(1))
        hub.setTerm(3)
        hub.create(WatchCreate(key: [97]), on: WatchStreamID(1))
        let responses = try hub.drainOutput().map { try DecodedResponse($0) }
        #expect(responses.map(\.raftTerm) == [2, 3])
        #expect(responses.allSatisfy { $0.clusterID == 1 && $0.memberID == 2 && $0.revision == 1 })
    }
}
