import Testing

@testable import JSONMapping

/// Whatever comes is read or refused; nothing traps, and what was read can be written.
@Suite struct FuzzTests {
    /// SplitMix64, from a seed that a failure can be repeated with.
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private static let seeds = [
        #"{"compare":[{"result":"EQUAL","target":2,"key":"Zm9v","mod_revision":"5"}],"success":[{"request_put":"#
            + #"{"key":"Zg==","value":"YmFy","lease":7}}],"failure":[{"request_txn":{}},{"requestRange":{"limit":-1}}]}"#,
        #"{"create_request":{"key":"Zm9v","range_end":"AA==","filters":["NOPUT",1],"watch_id":"9"}}"#,
        #"{"name":"a\u00e9\ud83d\ude00\\\"","password":"\t","options":{"no_password":true},"x":[1.5e-3,null,{}]}"#,
    ]
    private static let types = [
        "etcdserverpb.TxnRequest", "etcdserverpb.WatchRequest", "etcdserverpb.AuthUserAddRequest",
        "etcdserverpb.RangeRequest", "etcdserverpb.MemberAddRequest", "v3electionpb.ProclaimRequest",
    ]
    private static let pieces = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "-1", "1e9", "\"key\":", "\\u0000", "\u{0}", "\u{FF}",
        "\"1\"", "{}", "[]", " ", "=", "\\ud800", "\n",
    ].map { Array($0.utf8) }

    private func mutated(_ random: inout Generator) -> [UInt8] {
        var bytes = Array(Self.seeds.randomElement(using: &random)!.utf8)
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let place = Int.random(in: 0...bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes.insert(contentsOf: Self.pieces.randomElement(using: &random)!, at: place)
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 0...5, using: &random)))
            case 2 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
            default:
                let end = min(bytes.count, place + Int.random(in: 0...40, using: &random))
                bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0...bytes.count, using: &random))
            }
        }
        return bytes
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>) func requests(seed: UInt64) throws {
        var random = Generator(state: seed)
        var taken = 0
        for _ in 0..<5000 {
            let bytes = mutated(&random)
            guard (try? JSONScanner.check(bytes[...])) != nil else { continue }
            for name in Self.types {
                let type = try #require(Schema.etcd.type(name))
                guard let message = try? type.message(bytes[...]) else { continue }
                taken += 1
                let json = try type.json(message)
                try JSONScanner.check(json[...])
                #expect(
                    try type.message(json[...]) == message, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
            }
        }
        #expect(taken > 100, "the fuzzer must find requests that are taken")
    }

    /// Bytes that may or may not be a message.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func responses(seed: UInt64) throws {
        var random = Generator(state: seed)
        for _ in 0..<3000 {
            let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random) & [0x7F, 0x1F, 0xFF].randomElement(using: &random)!
            }
            for name in ["etcdserverpb.TxnResponse", "etcdserverpb.WatchResponse", "etcdserverpb.WatchCreateRequest"] {
                guard let json = try? #require(Schema.etcd.type(name)).json(bytes) else { continue }
                try JSONScanner.check(json[...])
            }
        }
    }
}
