import Checksum
import Testing

@Suite struct ChecksumTests {
    /// The check values of RFC 3720 appendix B.4 and of the common nine-digit string.
    @Test(
        arguments: [
            (Array("123456789".utf8), 0xE306_9283),
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 0xff, count: 32), 0x62A8_AB43),
            ((0..<32).map { UInt8($0) }, 0x46DD_794E),
            ([], 0),
        ] as [([UInt8], UInt32)])
    func knownCRC(bytes: [UInt8], expected: UInt32) {
        #expect(CRC32C.update(0, bytes) == expected)
    }

    @Test func crcOfPartsIsCRCOfWhole() {
        let whole = (0..<100).map { UInt8($0) }
        for cut in 0...whole.count {
            let first = CRC32C.update(0, Array(whole[..<cut]))
            #expect(CRC32C.update(first, Array(whole[cut...])) == CRC32C.update(0, whole))
        }
    }

    @Test(
        arguments: [
            ("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8),
        ] as [(String, UInt64)])
    func knownFNV(text: String, expected: UInt64) {
        #expect(Array(text.utf8).withUnsafeBytes(FNV1a.hash64) == expected)
    }
}
