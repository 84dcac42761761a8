import EtcdAPI
import Foundation
import SwiftProtobuf
import Testing
import WireFormat

/// What the decoders make of bytes that no honest encoder would have written.
@Suite struct DecodingTests {
    @Test(arguments: [
        ([0x0a, 0x05, 0x01], WireError(.truncated, offset: 1)),
        ([0x0a], WireError(.truncated, offset: 1)),
        ([0x08, 0x01], WireError(.unexpectedWireType(field: 1), offset: 1)),
        ([0x1a, 0x00], WireError(.unexpectedWireType(field: 3), offset: 1)),
        ([0x00], WireError(.badFieldNumber, offset: 0)),
        ([0x0b], WireError(.badWireType(3), offset: 0)),
        ([0x18] + [UInt8](repeating: 0x80, count: 10), WireError(.overlongVarint, offset: 1)),
    ])
    func damageIsNamedWithItsPlace(bytes: [UInt8], error: WireError) {
        #expect(throws: error) { try PutRequest(bytes: bytes) }
    }

    @Test func unknownFieldsAreSkipped() throws {
        let bytes: [UInt8] = [
            0xf8, 0x01, 0x07,  // field 31, varint
            0x0a, 0x01, 0x61,  // key "a"
            0xfa, 0x01, 0x02, 0x01, 0x02,  // field 31, bytes
            0xfd, 0x01, 0, 0, 0, 0,  // field 31, fixed32
            0xf9, 0x01, 0, 0, 0, 0, 0, 0, 0, 0,  // field 31, fixed64
        ]
        #expect(try PutRequest(bytes: bytes) == PutRequest(key: [0x61]))
    }

    @Test func theLastOfTwoValuesWins() throws {
        #expect(try PutRequest(bytes: [0x0a, 0x01, 0x61, 0x0a, 0x01, 0x62]) == PutRequest(key: [0x62]))
        #expect(try CompactionRequest(bytes: [0x08, 0x05, 0x08, 0x00]) == CompactionRequest())
        let compare = try Compare(bytes: [0x20, 0x05, 0x3a, 0x01, 0x61])
        #expect(compare.operand == .value([0x61]))
    }

    @Test func twoRequestsOfOneOperationAreMergedWhenOfOneKind() throws {
        // A success operation with put{key:a}, then put{value:b}: protobuf merges messages that come twice.
        let merged = try TxnRequest(bytes: [0x12, 10, 0x12, 3, 0x0a, 1, 0x61, 0x12, 3, 0x12, 1, 0x62])
        #expect(merged.success == [.put(PutRequest(key: [0x61], value: [0x62]))])
        let replaced = try TxnRequest(bytes: [0x12, 10, 0x12, 3, 0x0a, 1, 0x61, 0x0a, 3, 0x12, 1, 0x62])
        #expect(replaced.success == [.range(RangeRequest(rangeEnd: [0x62]))])
    }

    private func nested(_ depth: Int) -> [UInt8] {
        var request = TxnRequest(success: [.put(PutRequest(key: [1]))])
        for _ in 0..<depth { request = TxnRequest(success: [.txn(request)]) }
        return request.encoded
    }

    @Test func nestingIsBounded() throws {
        let deepest = TxnDecodingLimits.defaultDepth
        #expect(try TxnRequest(bytes: nested(deepest)).encoded == nested(deepest))
        #expect { try TxnRequest(bytes: nested(deepest + 1)) } throws: {
            ($0 as? WireError)?.reason == .nestedTooDeep
        }
    }

    @Test func theLimitOfDepthIsPerPathAndNotPerMessage() throws {
        let inner = RequestOp.txn(TxnRequest(compare: [Compare(key: [1])]))
        let wide = TxnRequest(success: [inner, inner, inner], failure: [inner])
        let decoded = try wide.encoded.borrowed {
            try TxnRequest(decoding: $0, limits: TxnDecodingLimits(depth: 1))
        }
        #expect(decoded == wide)
    }

    @Test func elementsAreCountedThroughEveryLevel() throws {
        let inner = TxnRequest(compare: [Compare()], success: [.none, .none])
        let request = TxnRequest(compare: [Compare()], success: [.txn(inner)], failure: [.txn(inner)])
        let bytes = request.encoded
        let enough = try bytes.borrowed {
            try TxnRequest(decoding: $0, limits: TxnDecodingLimits(elements: 9))
        }
        #expect(enough == request)
        #expect {
            try bytes.borrowed { try TxnRequest(decoding: $0, limits: TxnDecodingLimits(elements: 8)) }
        } throws: {
            ($0 as? WireError)?.reason == .tooMany(field: 2)
        }
    }

    /// A body larger than any that a server accepts, made of nothing but empty operations, is refused early, and the
    /// elements built until then fit in the bound that ``TxnDecodingLimits/defaultElements`` states.
    @Test func aBodyOfEmptyOperationsIsRefusedWithinTheMemoryBound() {
        let body = [[UInt8]](repeating: [0x12, 0x00], count: 1 << 20).flatMap { $0 }
        #expect { try TxnRequest(bytes: body) } throws: {
            ($0 as? WireError)?.reason == .tooMany(field: 2)
        }
        let largest = max(MemoryLayout<RequestOp>.stride, MemoryLayout<Compare>.stride)
        #expect(largest * TxnDecodingLimits.defaultElements <= 8 << 20)
    }
}

/// Stored key-values are read in place.
@Suite struct KeyValueViewTests {
    @Test func fieldsAndRangesOfAStoredKeyValue() throws {
        let pair = KeyValue(
            key: [0x66, 0x6f, 0x6f], createRevision: 300, modRevision: 301, version: 2, value: [9, 8, 7, 6], lease: 77)
        try pair.encoded.borrowed { (bytes) throws in
            #expect(try KeyValueView.createRevision(in: bytes) == 300)
            #expect(try KeyValueView.modRevision(in: bytes) == 301)
            #expect(try KeyValueView.version(in: bytes) == 2)
            #expect(try KeyValueView.lease(in: bytes) == 77)
            #expect(try [UInt8](bytes[KeyValueView.keyRange(in: bytes)]) == pair.key)
            #expect(try [UInt8](bytes[KeyValueView.valueRange(in: bytes)]) == pair.value)
            #expect(try KeyValue(KeyValueView(bytes)) == pair)
        }
    }

    @Test func aTombstoneHasOnlyItsKey() throws {
        try KeyValue(key: [1, 2]).encoded.borrowed { (bytes) throws in
            let view = try KeyValueView(bytes)
            #expect([UInt8](view.key) == [1, 2])
            #expect(view.version == 0 && view.modRevision == 0 && view.createRevision == 0 && view.lease == 0)
            #expect(try KeyValueView.valueRange(in: bytes).isEmpty)
        }
    }

    @Test func damageThrows() {
        #expect(throws: WireError(.truncated, offset: 1)) {
            try [UInt8]([0x0a, 0x09, 0x01]).borrowed { _ = try KeyValueView($0) }
        }
    }
}

/// Log entries carry a request in its own bytes.
@Suite struct RaftRequestTests {
    private let header = RaftRequestHeader(id: 42, username: "root", authRevision: 3, requesterMemberID: 5)

    @Test func anEntryEqualsTheGeneratedMessage() throws {
        let put = PutRequest(key: [1], value: [2])
        var writer = WireWriter()
        put.encoded.withUnsafeBytes { RaftRequestView.encode(.put, request: $0, header: header, into: &writer) }
        var expected = Etcdserverpb_InternalRaftRequest()
        expected.header = header.generated
        expected.put = put.generated
        #expect(try writer.bytes == expected.serializedBytes())
        #expect(
            writer.bytes.count
                == RaftRequestView.encodedSize(.put, requestLength: put.encodedSize, header: header))

        try writer.bytes.borrowed {
            let view = try RaftRequestView($0)
            #expect(view.kind == .put)
            #expect(view.id == 42)
            #expect(view.header == header)
            #expect(try PutRequest(decoding: view.request) == put)
        }
    }

    @Test func everyKindIsAFieldOfTheGeneratedMessage() throws {
        for kind in RaftRequestView.Kind.allCases {
            var writer = WireWriter()
            RaftRequestView.encode(
                kind, request: UnsafeRawBufferPointer(start: nil, count: 0), header: header, into: &writer)
            let decoded = try Etcdserverpb_InternalRaftRequest(serializedBytes: writer.bytes)
            #expect(decoded.unknownFields.data.isEmpty, "\(kind)")
            #expect(try decoded.serializedBytes() == writer.bytes, "\(kind)")
            #expect(try writer.bytes.borrowed { try RaftRequestView($0).kind } == kind)
        }
    }

    @Test func theOldIDComesFirst() throws {
        var request = Etcdserverpb_InternalRaftRequest()
        request.id = 7
        request.header.id = 8
        let bytes: [UInt8] = try request.serializedBytes()
        try bytes.borrowed {
            let view = try RaftRequestView($0)
            #expect(view.id == 7)
            #expect(view.kind == nil)
        }
    }

    @Test func twoRequestsInOneEntryAreRefused() throws {
        var request = Etcdserverpb_InternalRaftRequest()
        request.put.key = Data([1])
        request.deleteRange.key = Data([1])
        let bytes: [UInt8] = try request.serializedBytes()
        #expect { try bytes.borrowed { _ = try RaftRequestView($0) } } throws: {
            ($0 as? WireError)?.reason == .badValue(field: 5)
        }
    }
}
