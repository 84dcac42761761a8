import Backend
import Disk
import EtcdAPI
import MVCC
import Testing
import WireFormat

@testable import Applier

/// Answers in pieces are those that are made at once, for ranges that take many steps.
@Suite struct PiecesTests {
    private static let header = ResponseHeader(clusterID: 1, memberID: 2, raftTerm: 3)

    /// Keys enough for several steps of measuring; some were deleted, some have values of a hundred kilobytes.
    private func store() throws -> Store {
        let backend = try Backend(disk: MemoryDisk(), path: "db")
        let store = try Store(backend: backend)
        for number in 0..<20_000 {
            let size = number % 4_000 == 7 ? 100_000 : number % 50
            put(store, number, [UInt8](repeating: UInt8(number * 7 % 251), count: size))
            if number == 9_000 { try backend.commitNow() }
        }
        for number in stride(from: 0, to: 20_000, by: 37) { delete(store, number) }
        store.publish()
        return store
    }

    private func key(_ number: Int) -> [UInt8] { Array("k\(100_000 + number)".utf8) }

    private func put(_ store: Store, _ number: Int, _ value: [UInt8]) {
        store.begin()
        _ = store.put(key: key(number), value: value, lease: 0)
        _ = store.end()
    }

    private func delete(_ store: Store, _ number: Int) {
        store.begin()
        _ = store.deleteRange(key: key(number), end: nil)
        _ = store.end()
    }

    private func requests(_ revision: Int64) -> [RangeRequest] {
        var all = RangeRequest(key: [0], rangeEnd: [0])
        var requests = [all]
        all.revision = revision / 2
        requests.append(all)
        all.revision = 0
        all.limit = 17_000
        requests.append(all)
        all.keysOnly = true
        requests.append(all)
        all.limit = 0
        all.keysOnly = false
        for target in [SortTarget.key, .version, .createRevision, .modRevision, .value] {
            for order in [SortOrder.none, .ascend, .descend] {
                var sorted = all
                sorted.sortTarget = target
                sorted.sortOrder = order
                sorted.limit = order == .descend ? 12_345 : 0
                requests.append(sorted)
            }
        }
        var filtered = all
        filtered.minModRevision = revision / 3
        filtered.maxCreateRevision = revision / 2
        requests.append(filtered)
        requests.append(RangeRequest(key: key(5)))
        requests.append(RangeRequest(key: key(37)))
        requests.append(RangeRequest(key: key(900), rangeEnd: key(900)))
        return requests
    }

    @Test func rangesAreTheSame() throws {
        let store = try store()
        let view = store.view()
        for request in requests(view.currentRevision) {
            let whole = try RangeQuery.run(request, on: view, header: Self.header)
            for (head, size) in [(0, 50_000), (200_000, 700_000)] {
                let answer = try ReadAnswer(request, on: view, header: Self.header, head: head)
                #expect(try Pieces.joined(answer, size) == whole, "\(request)")
            }
            let limited = try RangeQuery.run(request, on: view, header: Self.header, upTo: 150_000)
            #expect(limited == nil || limited == whole)
            #expect(limited != nil || whole.count > 150_000)
        }
    }

    @Test func aTransactionIsTheSame() throws {
        let view = try store().view()
        var nested = TxnRequest()
        nested.success = requests(view.currentRevision).prefix(3).map { .range($0) }
        var request = TxnRequest()
        request.failure = [.range(RangeRequest(key: [1]))]
        request.success = [.range(RangeRequest(key: [0], rangeEnd: [0])), .txn(nested), .txn(TxnRequest())]
        request.success += requests(view.currentRevision).map { .range($0) }
        var counts = OperationCounts()
        let whole = try TxnQuery.run(request, on: view, header: Self.header, counts: &counts)
        #expect(whole.count > 10_000_000)
        for (head, size) in [(0, 100_000), (3_000_000, 500_000)] {
            let answer = try ReadAnswer(request, on: view, header: Self.header, head: head)
            #expect(try Pieces.joined(answer, size) == whole)
        }
    }

    @Test func aPieceIsNoLongerThanAskedForAndAPair() throws {
        let view = try store().view()
        let answer = try ReadAnswer(
            RangeRequest(key: [0], rangeEnd: [0]), on: view, header: Self.header, head: 10_000)
        while try !answer.prepare() {}
        #expect(answer.heldBytes < 111_000)
        while answer.unwritten > 0 { #expect(try answer.nextPiece(20_000).count < 121_000) }
    }

    @Test func refusalsAreThoseOfTheStore() throws {
        let store = try store()
        var request = RangeRequest(key: [0], rangeEnd: [0])
        request.revision = 1_000_000
        #expect(throws: EtcdError.futureRevision) {
            _ = try ReadAnswer(request, on: store.view(), header: Self.header, head: 0)
        }
    }
}
