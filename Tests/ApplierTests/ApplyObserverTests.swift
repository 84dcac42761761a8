import Backend
import Disk
import EtcdAPI
import Lease
import MVCC
import Membership
import RaftMessages
import StoreV2
import Testing
import WireFormat

@testable import Applier

/// How entries are timed as they are applied.
@Suite struct ApplyObserverTests {
    /// A clock that each reading moves on by one.
    private final class Clock: ApplyObserver {
        var readings: Int64 = 0
        var times: [[Int64]] = []

        var now: Int64 {
            readings += 1
            return readings
        }

        func applied(
            _ kind: RaftRequestView.Kind, _ request: RaftRequestView, _ reply: Applier.Reply, from start: Int64,
            to end: Int64
        ) {
            times.append([start, end])
        }
    }

    private final class NoLeases: LeaseStorage {
        func put(id: Int64, record: [UInt8]) {}
        func delete(id: Int64) {}
    }

    @Test func theEndOfOneEntryIsTheBeginningOfTheNext() throws {
        let disk = MemoryDisk()
        try disk.createDirectory("d")
        let backend = try Backend(disk: disk, path: "d/db")
        let cluster = Cluster(id: 1, members: [Member(id: 2, name: "m", peerURLs: ["http://127.0.0.1:1"])])
        let applier = try Applier(
            backend: backend, store: try Store(backend: backend),
            lessor: Lessor(configuration: LeaseConfiguration(), storage: NoLeases()), cluster: cluster,
            keyTree: KeyTree(), memberID: 2)
        let clock = Clock()
        applier.observer = clock
        var index: UInt64 = 0
        func apply(_ count: Int) {
            applier.beginObserving()
            for _ in 0..<count {
                index += 1
                var put = WireWriter()
                put.string(1, "k")
                var request = WireWriter()
                request.alwaysVarint(1, index)
                request.alwaysBytes(4, put.bytes)
                _ = applier.apply(Entry(term: 1, index: index, data: request.bytes), now: 0)
            }
        }
        apply(3)
        // What passes between two batches belongs to no entry.
        clock.readings += 1000
        apply(2)
        #expect(clock.times == [[1, 2], [2, 3], [3, 4], [1005, 1006], [1006, 1007]])
    }
}
