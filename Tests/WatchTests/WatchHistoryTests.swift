import Testing
import Watch
import WireFormat

/// A damaged history is named and costs no event.
@Suite struct WatchHistoryTests {
    /// A store whose history reads as it is told to.
    private struct DamagedHistory: WatchHistory {
        var currentRevision: Int64 = 4
        var compactedRevision: Int64 = 0
        var entries: [(revision: Int64, bytes: [UInt8])]
        var next: Int64 = 5

        func changes(
            from: Int64, through: Int64, byteLimit: Int,
            visit: (Bool, Int64, UnsafeRawBufferPointer) throws -> Void
        ) throws -> Int64 {
            for entry in entries { try entry.bytes.withUnsafeBytes { try visit(false, entry.revision, $0) } }
            return next
        }

        func previous(of key: [UInt8], before revision: Int64) -> [UInt8]? { nil }
    }

    private static let sound: [UInt8] = [0x0a, 1, 97, 0x10, 2, 0x18, 2]

    private func laggingHub() -> WatchHub {
        let hub = WatchHub(options: WatchOptions(clusterID: 1, memberID: 2), currentRevision: 4)
        hub.openStream(WatchStreamID(1))
        var request = WatchCreate(key: [97])
        request.startRevision = 2
        hub.create(request, on: WatchStreamID(1))
        _ = hub.drainOutput()
        return hub
    }

    @Test func eachKindOfDamageIsNamed() {
        let cases: [(entries: [(Int64, [UInt8])], next: Int64, error: WatchHistoryError)] = [
            ([(2, [0x0a, 5, 97])], 5, .malformed(revision: 2, WireError(.truncated, offset: 1))),
            ([(2, [0x08])], 5, .malformed(revision: 2, WireError(.unexpectedWireType(field: 1), offset: 1))),
            ([(2, [0x10, 2])], 5, .missingKey(revision: 2)),
            ([(2, Self.sound)], 2, .noProgress(from: 2, next: 2)),
            ([], 1, .noProgress(from: 2, next: 1)),
            ([(3, Self.sound)], 3, .noProgress(from: 2, next: 3)),
            ([(3, Self.sound), (2, Self.sound)], 5, .disorder(revision: 2)),
            ([(1, Self.sound)], 5, .disorder(revision: 1)),
            ([(5, Self.sound)], 6, .disorder(revision: 5)),
        ]
        for damage in cases {
            let hub = laggingHub()
            let history = DamagedHistory(entries: damage.entries, next: damage.next)
            #expect(throws: damage.error) { try hub.catchUpStep(history: history) }
            #expect(hub.drainOutput().isEmpty)
            #expect(!damage.error.description.isEmpty)
        }
    }

    @Test func aStepThatFailedIsRepeatedWithoutLossOrDoubling() throws {
        let hub = laggingHub()
        let damaged = DamagedHistory(entries: [(2, Self.sound), (3, [0xff])])
        #expect(throws: WatchHistoryError.self) { try hub.catchUpStep(history: damaged) }
        #expect(try hub.catchUpStep(history: DamagedHistory(entries: [(2, Self.sound)])) == false)
        let responses = try hub.drainOutput().map { try DecodedResponse($0) }
        #expect(responses.map(\.events.count) == [1])
        #expect(hub.slowWatcherCount == 0)
    }

    @Test func aViewThatIsBehindTheHubEndsTheStepAtItsEnd() throws {
        let hub = laggingHub()
        var behind = DamagedHistory(entries: [(2, Self.sound)])
        behind.currentRevision = 3
        behind.next = 4
        #expect(try hub.catchUpStep(history: behind) == false)
        #expect(hub.drainOutput().count == 1)
        #expect(hub.slowWatcherCount == 1)
        #expect(hub.needsCatchUp)
        #expect(try hub.catchUpStep(history: DamagedHistory(entries: [])) == false)
        #expect(hub.slowWatcherCount == 0)
    }
}
