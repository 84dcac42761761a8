import EtcdAPI
import Foundation
import Testing

/// The services as the `.proto` files state them, read with just enough of a parser for our own files.
struct ProtoService {
    struct Method: Hashable {
        var path: String
        var request: String
        var clientStreams: Bool
        var serverStreams: Bool
    }

    static func methods(file: StaticString = #filePath) throws -> [Method] {
        let protos = URL(fileURLWithPath: "\(file)").deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Protos/etcd")
        let rpc = /rpc (\w+)\((stream )?(\w+)\) returns \((stream )?\w+\)/
        var methods: [Method] = []
        for file in [
            "api/etcdserverpb/rpc.proto", "server/v3lockpb/v3lock.proto", "server/v3electionpb/v3election.proto",
        ] {
            let text = try String(contentsOf: protos.appendingPathComponent(file), encoding: .utf8)
            let package = try #require(text.firstMatch(of: /package (\w+);/)).1
            var service = ""
            for line in text.split(separator: "\n") {
                if let match = line.firstMatch(of: /^service (\w+)/) { service = String(match.1) }
                guard let match = line.firstMatch(of: rpc) else { continue }
                methods.append(
                    Method(
                        path: "/\(package).\(service)/\(match.1)", request: "\(package).\(match.3)",
                        clientStreams: match.2 != nil, serverStreams: match.4 != nil))
            }
        }
        return methods
    }
}

@Suite struct EtcdMethodTests {
    @Test func theTableEqualsTheProtocolDefinitions() throws {
        let methods = try ProtoService.methods()
        #expect(Set(methods.map(\.path)) == Set(EtcdMethod.allCases.map(\.path)))
        for method in methods {
            let kind: EtcdMethod.Kind =
                switch (method.clientStreams, method.serverStreams) {
                case (false, false): .unary
                case (false, true): .serverStream
                case (true, false): .clientStream
                case (true, true): .bidirectional
                }
            #expect(EtcdMethod(path: method.path)?.kind == kind, "\(method.path)")
        }
    }

    @Test func pathsAreFound() {
        #expect(EtcdMethod(path: "/etcdserverpb.KV/Put") == .put)
        #expect(EtcdMethod(path: "/etcdserverpb.KV/RangeStream") == .rangeStream)
        #expect(EtcdMethod(path: "/v3electionpb.Election/Observe") == .observe)
        #expect(EtcdMethod(path: "/etcdserverpb.KV/put") == nil)
        #expect(EtcdMethod(path: "") == nil)
    }
}
