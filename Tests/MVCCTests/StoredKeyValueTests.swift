import MVCC
import Testing

@Suite("Stored key-values")
struct StoredKeyValueTests {
    @Test("have mvccpb.KeyValue's fields in order, zero ones left out")
    func bytes() throws {
        let bytes = encode("k", "value", create: 2, mod: 300, version: 3, lease: 0)
        #expect(bytes == [0x0a, 1, 0x6b, 0x10, 2, 0x18, 0xac, 2, 0x20, 3, 0x2a, 5] + Array("value".utf8))
        try bytes.withUnsafeBytes { raw in
            let fields = try StoredKeyValue.fields(raw)
            #expect(fields.key.elementsEqual("k".utf8))
            #expect(fields.value.elementsEqual("value".utf8))
            #expect(
                [fields.createRevision, fields.modRevision, fields.version, fields.lease] == [2, 300, 3, 0])
        }
    }

    @Test("keep a negative lease in ten bytes, and an empty value in none")
    func extremes() throws {
        let bytes = encode("", "", create: 0, mod: 0, version: 0, lease: -1)
        #expect(bytes == [0x30] + Array(repeating: 0xff, count: 9) + [1])
        #expect(try bytes.withUnsafeBytes { try StoredKeyValue.fields($0).lease } == -1)
    }

    @Test("that are cut short are refused")
    func truncated() {
        let bytes = encode("key", "value", create: 2, mod: 3, version: 4, lease: 5)
        for count in [1, 2, 4, 8, bytes.count - 1] {
            #expect(throws: (any Error).self) {
                _ = try bytes[..<count].withUnsafeBytes { try StoredKeyValue.fields($0) }
            }
        }
    }

    private func encode(
        _ key: String, _ value: String, create: Int64, mod: Int64, version: Int64, lease: Int64
    ) -> [UInt8] {
        Array(key.utf8).withUnsafeBytes { key in
            Array(value.utf8).withUnsafeBytes { value in
                StoredKeyValue.encode(
                    key: key, value: value, createRevision: create, modRevision: mod, version: version, lease: lease)
            }
        }
    }
}
