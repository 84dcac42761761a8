import Testing

@testable import GRPC

@Suite struct EncodingTests {
    @Test(arguments: [
        ("", ""), ("plain text", "plain text"), ("100%", "100%25"), ("a\nb", "a%0Ab"), ("käse", "k%C3%A4se"),
        ("\u{7F}~ ", "%7F~ "), ("😀", "%F0%9F%98%80"),
    ])
    func messagesArePercentEncoded(text: String, wire: String) {
        #expect(String(decoding: PercentEncoding.encode(text), as: UTF8.self) == wire)
        #expect(Array(wire.utf8).withUnsafeBytes { PercentEncoding.decode($0) } == text)
    }

    @Test(arguments: [
        ("%", "%"), ("%2", "%2"), ("%zz", "%zz"), ("a%41", "aA"), ("%c3%a4", "ä"), ("%FF", "\u{FFFD}"), ("%%41", "%A"),
    ])
    func decodingIsLenient(wire: String, text: String) {
        #expect(Array(wire.utf8).withUnsafeBytes { PercentEncoding.decode($0) } == text)
    }

    @Test(arguments: [
        ("1H", 3_600_000_000_000), ("2M", 120_000_000_000), ("3S", 3_000_000_000), ("4m", 4_000_000), ("5u", 5000),
        ("6n", 6), ("00000001S", 1_000_000_000), ("99999999n", 99_999_999), ("99999999H", Int64.max), ("0S", 0),
    ])
    func timeoutsAreRead(wire: String, nanoseconds: Int64) throws {
        #expect(try Array(wire.utf8).withUnsafeBytes { try Timeout.decode($0) } == nanoseconds)
    }

    @Test(arguments: [
        ("", "transport: timeout string is too short: \"\""), ("S", "transport: timeout string is too short: \"S\""),
        ("123456789S", "transport: timeout string is too long: \"123456789S\""),
        ("1x", "transport: timeout unit is not recognized: \"1x\""),
        ("-1S", "transport: timeout value is not a number: \"-1S\""),
        ("1.5S", "transport: timeout value is not a number: \"1.5S\""),
    ])
    func malformedTimeoutsAreRefused(wire: String, reason: String) {
        #expect(throws: Timeout.Malformed(reason: reason)) {
            try Array(wire.utf8).withUnsafeBytes { try Timeout.decode($0) }
        }
    }

    @Test(arguments: [
        (0, "0n"), (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (100_000_001, "100001u"),
        (5_000_000_000, "5000000u"), (100_000_000_001, "100001m"), (Int64.max, "2562048H"), (-5, "0n"),
    ])
    func timeoutsAreWrittenInTheFinestUnitThatFits(nanoseconds: Int64, wire: String) {
        #expect(Timeout.encode(nanoseconds: nanoseconds) == wire)
    }

    @Test(arguments: [
        ([], ""), ([0], "AA"), ([0, 255], "AP8"), ([0, 255, 1], "AP8B"), ([251, 255, 191], "+/+/"),
    ])
    func base64IsWrittenWithoutPadding(bytes: [UInt8], text: String) {
        #expect(String(decoding: Base64.encode(bytes), as: UTF8.self) == text)
        #expect(Base64.decode(text.utf8) == bytes)
    }

    @Test(arguments: [("AA==", [0]), ("AP8=", [0, 255])] as [(String, [UInt8])])
    func base64IsReadWithPadding(text: String, bytes: [UInt8]) {
        #expect(Base64.decode(text.utf8) == bytes)
    }

    @Test(arguments: ["A", "AA=A", "AA=", "AA===", "A-_A", "AAAAA"])
    func textThatIsNotBase64IsRefused(text: String) {
        #expect(Base64.decode(text.utf8) == nil)
    }

    @Test func gzipRoundTripAndBounds() throws {
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let packed = Gzip.compress(bytes)
        #expect(try Gzip.decompress(packed, maximum: bytes.count) == bytes)
        #expect(throws: Gzip.Failure.tooLarge) { try Gzip.decompress(packed, maximum: bytes.count - 1) }
        #expect(throws: Gzip.Failure.corrupt) { try Gzip.decompress(Array(packed.dropLast()), maximum: bytes.count) }
        #expect(throws: Gzip.Failure.corrupt) { try Gzip.decompress(packed + [0], maximum: bytes.count) }
        #expect(throws: Gzip.Failure.corrupt) { try Gzip.decompress([1, 2, 3], maximum: 10) }
        #expect(throws: Gzip.Failure.corrupt) { try Gzip.decompress([], maximum: 10) }
        #expect(try Gzip.decompress(Gzip.compress([]), maximum: 0) == [])
    }
}

@Suite struct MetadataTests {
    @Test func theFirstOfANameIsFoundWithoutACopy() {
        let metadata: Metadata = [
            "a": "1", "client-api-version": "3.5", "client-api": "2", "client-api-version": "3.6",
        ]
        func text(_ name: StaticString) -> String? {
            metadata.withFirst(name) { $0.map { String(decoding: $0, as: UTF8.self) } }
        }
        #expect(text("client-api-version") == "3.5")
        #expect(text("client-api") == "2")
        #expect(text("client") == nil)
        #expect(Metadata().withFirst("a") { $0 == nil })
    }

    @Test func fieldsKeepTheirOrderAndMayRepeat() {
        var metadata: Metadata = ["token": "a"]
        metadata.add("Token", "b")
        metadata.add("other", "c")
        #expect(metadata.count == 3)
        #expect(metadata.first("token") == "a")
        #expect(metadata.all("token") == [Array("a".utf8), Array("b".utf8)])
        #expect(metadata.fields.map(\.name) == ["token", "token", "other"])
        #expect(metadata.first("missing") == nil)
    }

    @Test func binaryValuesAreBytesHereAndBase64OnTheWire() {
        var metadata = Metadata()
        metadata.add("trace-bin", [0, 255, 1])
        var wire = ""
        metadata.forEachField { _, value in wire = String(decoding: value, as: UTF8.self) }
        #expect(wire == "AP8B")
        #expect(metadata.firstBytes("trace-bin") == [0, 255, 1])
        #expect(metadata.all("trace-bin") == [[0, 255, 1]])
    }

    @Test func valuesThatNoHeaderCarriesAreMadeHarmless() {
        var metadata = Metadata()
        metadata.add("text", "a\r\nb: cä")
        #expect(metadata.first("text") == "a??b: c??")
    }
}

@Suite struct MethodTableTests {
    @Test func methodsAreFoundByTheirPath() {
        let names = ["Range", "Put", "DeleteRange", "Txn", "Compact"]
        let paths = names.map { "/etcdserverpb.KV/" + $0 } + names.map { "/other.KV/" + $0 }
        let table = MethodTable(Dictionary(uniqueKeysWithValues: paths.map { ($0, .unary { _, _ in }) }))
        for path in paths { #expect(Array(path.utf8).withUnsafeBytes { table.find($0)?.path } == path) }
        #expect(Array("/etcdserverpb.KV/Pu".utf8).withUnsafeBytes { table.find($0) == nil })
    }

    @Test(arguments: [
        ("/a.B/D", "unknown method D for service a.B"), ("/a.C/D", "unknown service a.C"),
        ("/x", "malformed method name: \"/x\""), ("", "malformed method name: \"\""),
        ("a.B/D", "unknown method D for service a.B"),
    ])
    func pathsThatNoMethodHas(path: String, text: String) {
        let table = MethodTable(["/a.B/C": .unary { _, _ in }])
        #expect(table.refusal(of: Array(path.utf8)) == Status(.unimplemented, text))
    }
}
