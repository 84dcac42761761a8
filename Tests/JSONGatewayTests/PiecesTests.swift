import EtcdAPI
import Foundation
import SwiftProtobuf
import Testing

@testable import JSONMapping

/// A message whose bytes come in pieces gives the JSON that it gives whole.
@Suite struct PiecesTests {
    private func range(_ random: inout FuzzTests.Generator, _ pairs: Int) -> Etcdserverpb_RangeResponse {
        var response = Etcdserverpb_RangeResponse()
        response.header.revision = .random(in: 0...5, using: &random)
        for _ in 0..<pairs {
            var pair = Mvccpb_KeyValue()
            pair.key = Data(
                (0..<Int.random(in: 0...9, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
            pair.value = Data(count: Int.random(in: 0...800, using: &random))
            pair.lease = .random(in: -1...1, using: &random)
            response.kvs.append(pair)
        }
        response.more = .random(using: &random)
        response.count = .random(in: 0...5, using: &random)
        return response
    }

    private func transaction(_ random: inout FuzzTests.Generator, depth: Int) -> Etcdserverpb_TxnResponse {
        var response = Etcdserverpb_TxnResponse()
        if depth == 0 { response.header.revision = 7 }
        response.succeeded = .random(using: &random)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            var operation = Etcdserverpb_ResponseOp()
            if depth < 2, Int.random(in: 0..<3, using: &random) == 0 {
                operation.responseTxn = transaction(&random, depth: depth + 1)
            } else {
                operation.responseRange = range(&random, .random(in: 0...4, using: &random))
            }
            response.responses.append(operation)
        }
        return response
    }

    private func written(
        _ message: [UInt8], _ name: String, wholeBytes: Int, _ random: inout FuzzTests.Generator
    ) throws -> String {
        let type = try #require(Schema.etcd.type(name))
        var pieces = JSONPieces(type.schema, type: type.type, wholeBytes: wholeBytes)
        var json: [UInt8] = []
        var rest = message[...]
        while !rest.isEmpty {
            let piece = rest.prefix(.random(in: 1...500, using: &random))
            rest = rest.dropFirst(piece.count)
            json += try pieces.append(Array(piece))
        }
        return String(decoding: try json + pieces.finish(), as: UTF8.self)
    }

    /// With a limit of a few bytes every message inside is written as it comes, with a large one none.
    @Test(arguments: [0, 40, 1_000, 1 << 20]) func anyMessageInAnyPieces(wholeBytes: Int) throws {
        var random = FuzzTests.Generator(state: UInt64(wholeBytes))
        for _ in 0..<60 {
            let messages: [(String, [UInt8])] = [
                (
                    "etcdserverpb.RangeResponse",
                    try range(&random, .random(in: 0...6, using: &random)).serializedBytes()
                ),
                ("etcdserverpb.TxnResponse", try transaction(&random, depth: 0).serializedBytes()),
            ]
            for (name, message) in messages {
                let whole = String(decoding: try #require(Schema.etcd.type(name)).json(message), as: UTF8.self)
                #expect(try written(message, name, wholeBytes: wholeBytes, &random) == whole)
            }
        }
    }

    /// JSON leaves as soon as it is certain: what waits is a field at most.
    @Test func nothingIsHeldBack() throws {
        var response = Etcdserverpb_RangeResponse()
        response.kvs = (0..<100).map { _ in Mvccpb_KeyValue.with { $0.value = Data(count: 1_000) } }
        let message: [UInt8] = try response.serializedBytes()
        var pieces = try #require(Schema.etcd.type("etcdserverpb.RangeResponse")).pieces()
        var json = 0
        for start in stride(from: 0, to: message.count, by: 500) {
            json += try pieces.append(Array(message[start..<min(start + 500, message.count)])).count
            #expect(json >= (start - 1_100) / 3 * 4)
        }
    }

    @Test(arguments: [
        // An end within a field, a field twice, two in the wrong order, a pair longer than its message.
        [0x12], [0x12, 5, 0x0A], [0x20, 1, 0x20, 2], [0x20, 1, 0x12, 0], [0x12, 50, 0x0A, 60],
    ])
    func whatIsNoMessageIsRefused(bytes: [UInt8]) throws {
        let type = try #require(Schema.etcd.type("etcdserverpb.RangeResponse"))
        #expect(throws: JSONMappingError.self) {
            var pieces = JSONPieces(type.schema, type: type.type, wholeBytes: 10)
            for byte in bytes { _ = try pieces.append([byte]) }
            _ = try pieces.finish()
        }
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>) func anyBytes(seed: UInt64) throws {
        var random = FuzzTests.Generator(state: seed)
        for _ in 0..<2_000 {
            let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random) & [0x7F, 0x1F, 0xFF].randomElement(using: &random)!
            }
            guard let text = try? written(bytes, "etcdserverpb.TxnResponse", wholeBytes: 5, &random) else { continue }
            try JSONScanner.check(Array(text.utf8)[...])
        }
    }

    /// The member of one name, as Go's decoder finds it.
    @Test(
        arguments: [
            (#"{"level":"a"}"#, "a"), (#"{"LEVEL":"a","x":5}"#, "a"), (#"{"level":"a","Level":"b"} trailing"#, "b"),
            ("null", ""), ("{}", ""), (#"{"level":null}"#, ""), (#"  {"x":{"level":"y"},"level":"a"}{"#, "a"),
            (#"{"level":5}"#, nil), ("[]", nil), (#""x""#, nil), ("5", nil), ("", nil), ("{", nil),
            (#"{"level":"a",}"#, nil),
        ] as [(String, String?)])
    func textOfAMember(json: String, text: String?) {
        #expect(JSONObject.text(of: "level", in: Array(json.utf8)) == text)
    }
}
