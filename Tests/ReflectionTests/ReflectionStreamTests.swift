import EtcdAPI
import Testing
import WireFormat

@testable import Reflection

/// What a tool is told that asks a server for its services.
@Suite struct ReflectionStreamTests {
    private static let services = Set(
        EtcdMethod.allCases.compactMap { $0.path.split(separator: "/").first.map(String.init) })

    private func stream() -> ReflectionStream { ReflectionStream(index: .services, services: ["b.B", "a.A"]) }

    /// A request with one text field.
    private func ask(_ field: Int, _ text: String, host: String = "") -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, host)
        writer.alwaysBytes(field, Array(text.utf8))
        return writer.bytes
    }

    private func askExtension(_ type: String, _ number: Int64) -> [UInt8] {
        var inner = WireWriter()
        inner.string(1, type)
        inner.int64(2, number)
        var writer = WireWriter()
        writer.alwaysBytes(5, inner.bytes)
        return writer.bytes
    }

    /// The last of each field of a message, and all of field `repeated`.
    private func fields(_ bytes: [UInt8]) throws -> [Int: [[UInt8]]] {
        try bytes.withUnsafeBytes { bytes in
            var found: [Int: [[UInt8]]] = [:]
            var reader = WireReader(bytes)
            while let tag = try reader.next() {
                if tag.type == .bytes {
                    found[tag.field, default: []].append(try reader.byteArray(tag))
                } else {
                    found[tag.field, default: []].append([UInt8(truncatingIfNeeded: try reader.varint(tag))])
                }
            }
            return found
        }
    }

    private func names(ofFilesIn answer: [UInt8]) throws -> [String] {
        let response = try #require(try fields(answer)[4]?.first, "no file_descriptor_response")
        return try (fields(response)[1] ?? []).map { file in
            String(decoding: try #require(try fields(file)[1]?.first), as: UTF8.self)
        }
    }

    private func error(in answer: [UInt8]) throws -> (code: UInt8, message: String) {
        let response = try fields(try #require(try fields(answer)[7]?.first, "no error_response"))
        return (
            try #require(response[1]?.first?.first), String(decoding: try #require(response[2]?.first), as: UTF8.self)
        )
    }

    @Test func everyServiceOfEtcdIsDescribedWithAllItsMethods() {
        for method in EtcdMethod.allCases {
            let symbol = String(method.path.dropFirst().map { $0 == "/" ? "." : $0 })
            #expect(DescriptorIndex.services.file(defining: symbol) != nil, "\(symbol)")
        }
        for service in ReflectionStreamTests.services {
            #expect(DescriptorIndex.services.file(defining: service) != nil, "\(service)")
        }
    }

    @Test func servicesAreListedInOrder() throws {
        var stream = stream()
        let answer = try fields(try stream.answer(ask(7, "*", host: "here")))
        #expect(answer[1] == [Array("here".utf8)])
        #expect(answer[2] == [ask(7, "*", host: "here")], "the request comes back with its answer")
        let list = try fields(try #require(answer[6]?.first))
        let names = try (list[1] ?? []).map { String(decoding: try #require(try fields($0)[1]?.first), as: UTF8.self) }
        #expect(names == ["a.A", "b.B"])
    }

    @Test func aFileComesWithWhatItImportsAndIsNotToldTwice() throws {
        var stream = stream()
        let lock = try names(ofFilesIn: try stream.answer(ask(4, "v3lockpb.Lock")))
        #expect(lock.first == "etcd/server/v3lockpb/v3lock.proto")
        #expect(
            Set(lock.dropFirst()) == [
                "etcd/api/etcdserverpb/rpc.proto", "etcd/api/authpb/auth.proto", "etcd/api/mvccpb/kv.proto",
            ])
        // What was told already is told again only when it is what is asked for.
        let again = try names(ofFilesIn: try stream.answer(ask(4, "v3lockpb.Lock.Unlock")))
        #expect(again == ["etcd/server/v3lockpb/v3lock.proto"])
        let imported = try names(ofFilesIn: try stream.answer(ask(3, "etcd/api/mvccpb/kv.proto")))
        #expect(imported == ["etcd/api/mvccpb/kv.proto"])
    }

    @Test(arguments: [
        ("etcdserverpb.KV", "rpc"), ("etcdserverpb.KV.Range", "rpc"), ("etcdserverpb.RangeRequest", "rpc"),
        ("etcdserverpb.RangeRequest.SortOrder", "rpc"), ("etcdserverpb.RangeRequest.limit", "rpc"),
        // A value stands beside its enum.
        ("etcdserverpb.RangeRequest.DESCEND", "rpc"), ("etcdserverpb.AlarmType", "rpc"),
        ("etcdserverpb.CORRUPT", "rpc"),
        ("mvccpb.KeyValue", "kv"), ("v3electionpb.LeaderKey.rev", "v3election"), ("grpc.health.v1.Health", "health"),
        ("grpc.reflection.v1alpha.ServerReflectionRequest.message_request", "reflection"),
    ])
    func symbolsOfEveryKindAreFound(symbol: String, file: String) throws {
        var stream = stream()
        let found = try #require(try names(ofFilesIn: try stream.answer(ask(4, symbol))).first)
        #expect(found.hasSuffix("/\(file).proto"))
    }

    @Test(arguments: [(3, "no/such.proto"), (4, "etcdserverpb.Nothing"), (4, ""), (6, "no.Type")])
    func whatIsNotThereIsAnAnswerAndNotTheEndOfTheStream(field: Int, name: String) throws {
        var stream = stream()
        let refusal = try error(in: try stream.answer(ask(field, name)))
        #expect(refusal.code == 5)
        #expect(refusal.message.hasSuffix("not found: \(name)"))
        #expect(try !names(ofFilesIn: try stream.answer(ask(4, "etcdserverpb.KV"))).isEmpty)
    }

    @Test func etcdHasNoExtensions() throws {
        var stream = stream()
        let numbers = try fields(try stream.answer(ask(6, "etcdserverpb.PutRequest")))[5]?.first
        #expect(try fields(try #require(numbers)) == [1: [Array("etcdserverpb.PutRequest".utf8)]])
        #expect(try error(in: try stream.answer(askExtension("etcdserverpb.PutRequest", 100))).code == 5)
    }

    @Test func extensionsOfOtherFilesAreFound() throws {
        // message M { extensions 100; }  extend M { string e = 100; }
        func message(_ fields: [(Int, [UInt8])]) -> [UInt8] {
            var writer = WireWriter()
            for (field, bytes) in fields { writer.alwaysBytes(field, bytes) }
            return writer.bytes
        }
        var number = WireWriter()
        number.varint(3, 100)
        let extending = message([(1, Array("e".utf8)), (2, Array(".p.M".utf8))]) + number.bytes
        let file = message([
            (1, Array("p.proto".utf8)), (2, Array("p".utf8)), (4, message([(1, Array("M".utf8))])), (7, extending),
        ])
        var stream = ReflectionStream(index: try DescriptorIndex(decoding: message([(1, file)])), services: [])
        #expect(try names(ofFilesIn: try stream.answer(askExtension("p.M", 100))) == ["p.proto"])
        #expect(try names(ofFilesIn: try stream.answer(ask(4, "p.e"))) == ["p.proto"])
        let numbers = try fields(try #require(try fields(try stream.answer(ask(6, "p.M")))[5]?.first))
        #expect(numbers[2] == [[100]])
    }

    @Test func whatIsNoQuestionEndsTheStream() {
        var stream = stream()
        #expect(throws: ReflectionStream.Failure.noQuestion) { try stream.answer([]) }
        #expect(throws: ReflectionStream.Failure.undecodable) { try stream.answer([0xff, 0xff]) }
        #expect(throws: ReflectionStream.Failure.undecodable) { try stream.answer([0x22, 0x7f, 0x41]) }
    }
}
