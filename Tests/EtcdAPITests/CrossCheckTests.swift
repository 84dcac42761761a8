import EtcdAPI
import Foundation
import SwiftProtobuf
import Testing
import WireFormat

/// The hand-coded messages and the generated ones are two implementations of one format: on random messages each
/// reads what the other writes, and both write the same bytes.
@Suite struct CrossCheckTests {
    private static let rounds = 400

    private func check<M: HandCodedMessage>(seed: UInt64, _ make: (inout SplitMix64) -> M) throws {
        var random = SplitMix64(seed: seed)
        for round in 0..<Self.rounds {
            let message = make(&random)
            let ours = message.encoded
            let theirs: [UInt8] = try message.generated.serializedBytes()
            #expect(ours == theirs, "round \(round)")
            #expect(ours.count == message.encodedSize, "round \(round)")
            #expect(try M(bytes: theirs) == message, "round \(round)")
            #expect(try M.Generated(serializedBytes: ours) == message.generated, "round \(round)")
        }
    }

    @Test func rangeRequest() throws { try check(seed: 1) { $0.rangeRequest() } }
    @Test func putRequest() throws { try check(seed: 2) { $0.putRequest() } }
    @Test func deleteRangeRequest() throws { try check(seed: 3) { $0.deleteRangeRequest() } }
    @Test func compactionRequest() throws { try check(seed: 4) { $0.compactionRequest() } }
    @Test func compare() throws { try check(seed: 5) { $0.compare() } }
    @Test func txnRequest() throws { try check(seed: 6) { $0.txnRequest() } }
    @Test func keyValue() throws { try check(seed: 7) { $0.keyValue() } }
    @Test func responseHeader() throws { try check(seed: 8) { $0.responseHeader() } }
    @Test func raftRequestHeader() throws {
        try check(seed: 9) { random in
            RaftRequestHeader(
                id: random.uint64(), username: ["", "root", "ünïcode"].randomElement(using: &random) ?? "",
                authRevision: random.uint64(), requesterMemberID: random.uint64())
        }
    }
}

/// What the response writers put together is what a client's generated code reads.
@Suite struct ResponseWriterTests {
    private let header = ResponseHeader(
        clusterID: 14_841_639_068_965_178_418, memberID: 10_276_657_743_932_975_437, revision: 7, raftTerm: 2)

    @Test func rangeResponse() throws {
        var random = SplitMix64(seed: 21)
        for round in 0..<100 {
            let pairs = (0..<Int.random(in: 0...4, using: &random)).map { _ in random.keyValue() }
            let more = Bool.random(using: &random)
            let count = Int64(pairs.count) + (more ? 3 : 0)
            var stored = RangeResponseWriter(header: header)
            var decoded = RangeResponseWriter(header: header)
            for pair in pairs {
                pair.encoded.withUnsafeBytes { stored.append(stored: $0) }
                decoded.append(pair)
            }
            var expected = Etcdserverpb_RangeResponse()
            expected.header = header.generated
            expected.kvs = pairs.map(\.generated)
            expected.more = more
            expected.count = count
            let bytes = stored.finish(more: more, count: count).bytes
            #expect(bytes == decoded.finish(more: more, count: count).bytes, "round \(round)")
            #expect(try bytes == expected.serializedBytes(), "round \(round)")
        }
    }

    @Test func keysOnlyLeavesOnlyTheValueOut() throws {
        var random = SplitMix64(seed: 22)
        for _ in 0..<100 {
            let pair = random.keyValue()
            var response = RangeResponseWriter(header: nil)
            try pair.encoded.withUnsafeBytes { try response.appendWithoutValue(KeyValueView($0)) }
            var expected = Etcdserverpb_RangeResponse()
            expected.kvs = [pair.generated]
            expected.kvs[0].value = Data()
            #expect(try response.finish(count: 0).bytes == expected.serializedBytes())
        }
    }

    @Test func responseBehindAFramePrefix() throws {
        let prefix: [UInt8] = [0, 0, 0, 0, 0]
        let response = RangeResponseWriter(header: header, into: WireWriter(appendingTo: prefix))
        let bytes = response.finish(count: 5).bytes
        var expected = Etcdserverpb_RangeResponse()
        expected.header = header.generated
        expected.count = 5
        #expect(try bytes == prefix + expected.serializedBytes())
    }

    @Test func putAndDeleteAndCompactionResponses() throws {
        let pair = KeyValue(key: [1], createRevision: 2, modRevision: 3, version: 2, value: [4], lease: 5)

        var put = WireWriter()
        pair.encoded.withUnsafeBytes { KeyValueResponse.encodePut(header: header, previous: $0, into: &put) }
        var expectedPut = Etcdserverpb_PutResponse()
        expectedPut.header = header.generated
        expectedPut.prevKv = pair.generated
        #expect(try put.bytes == expectedPut.serializedBytes())

        var delete = DeleteRangeResponseWriter(header: header, deleted: 2)
        for _ in 0..<2 { pair.encoded.withUnsafeBytes { delete.append(previous: $0) } }
        var expectedDelete = Etcdserverpb_DeleteRangeResponse()
        expectedDelete.header = header.generated
        expectedDelete.deleted = 2
        expectedDelete.prevKvs = [pair.generated, pair.generated]
        #expect(try delete.finish().bytes == expectedDelete.serializedBytes())

        var compaction = WireWriter()
        KeyValueResponse.encodeHeaderOnly(header, into: &compaction)
        var expectedCompaction = Etcdserverpb_CompactionResponse()
        expectedCompaction.header = header.generated
        #expect(try compaction.bytes == expectedCompaction.serializedBytes())

        let piece = KeyValueResponse.streamPieceHead(length: compaction.bytes.count) + compaction.bytes
        var expectedPiece = Etcdserverpb_RangeStreamResponse()
        expectedPiece.rangeResponse.header = header.generated
        #expect(try piece == expectedPiece.serializedBytes())
    }

    @Test func txnResponseHoldsOneResponseForEachOperation() throws {
        var put = WireWriter()
        KeyValueResponse.encodePut(header: ResponseHeader(revision: 7), into: &put)
        let range = RangeResponseWriter(header: nil).finish(count: 3).bytes
        let delete = DeleteRangeResponseWriter(header: nil, deleted: 0).finish().bytes
        let inner = TxnResponseWriter(header: nil, succeeded: false).finish().bytes
        var response = TxnResponseWriter(header: header, succeeded: true)
        response.append(.put, response: put.bytes)
        response.append(.range, response: range)
        response.append(.deleteRange, response: delete)
        response.append(.txn, response: inner)

        let decoded = try Etcdserverpb_TxnResponse(serializedBytes: response.finish().bytes)
        #expect(decoded.header == header.generated)
        #expect(decoded.succeeded)
        #expect(decoded.responses.count == 4)
        #expect(decoded.responses[0].responsePut.header.revision == 7)
        #expect(decoded.responses[1].responseRange.count == 3)
        #expect(decoded.responses[2].response == .responseDeleteRange(Etcdserverpb_DeleteRangeResponse()))
        #expect(decoded.responses[3].response == .responseTxn(Etcdserverpb_TxnResponse()))
    }

    @Test func watchResponseIsAPrefixAndSharedEvents() throws {
        let pair = KeyValue(key: [1], createRevision: 2, modRevision: 3, version: 2, value: [4])
        let gone = KeyValue(key: [1], modRevision: 4)
        var events = WireWriter()
        pair.encoded.withUnsafeBytes { put in
            WatchEvent.encodeField(isDelete: false, stored: put, into: &events)
            gone.encoded.withUnsafeBytes {
                WatchEvent.encodeField(isDelete: true, stored: $0, previous: put, into: &events)
            }
        }
        var prefix = WatchResponsePrefix(header: header, watchID: 9)
        prefix.created = true
        prefix.canceled = true
        prefix.compactRevision = 6
        prefix.cancelReason = WatchCancelReason.emptyRange
        prefix.fragment = true
        var response = WireWriter()
        prefix.encode(into: &response)
        #expect(response.bytes.count == prefix.encodedSize)

        var expected = Etcdserverpb_WatchResponse()
        expected.header = header.generated
        expected.watchID = 9
        expected.created = true
        expected.canceled = true
        expected.compactRevision = 6
        expected.cancelReason = "mvcc: watcher range is empty"
        expected.fragment = true
        var put = Mvccpb_Event()
        put.kv = pair.generated
        var delete = Mvccpb_Event()
        delete.type = .delete
        delete.kv = gone.generated
        delete.prevKv = pair.generated
        expected.events = [put, delete]
        #expect(try response.bytes + events.bytes == expected.serializedBytes())
    }
}
