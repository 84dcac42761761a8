import Testing

@testable import Checksum

/// The processor's instructions and the tables give the same CRC; machines with and without them share data.
@Suite struct CRC32CPathTests {
    @Test(
        arguments: [
            (Array("123456789".utf8), 0xE306_9283),
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 0xff, count: 32), 0x62A8_AB43),
            ((0..<32).map { UInt8($0) }, 0x46DD_794E),
            ([], 0),
        ] as [([UInt8], UInt32)])
    func tablesGiveKnownCRCs(bytes: [UInt8], expected: UInt32) {
        #expect(bytes.withUnsafeBytes { CRC32C.updateByTables(0, $0) } == expected)
    }

    @Test func bothWaysAgreeAtEveryLengthAndAlignment() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* $0 &+ 31) }
        bytes.withUnsafeBytes { whole in
            for start in 0..<9 {
                for end in start..<whole.count {
                    let part = UnsafeRawBufferPointer(rebasing: whole[start..<end])
                    #expect(CRC32C.update(0xdead_beef, part) == CRC32C.updateByTables(0xdead_beef, part))
                }
            }
        }
    }
}
