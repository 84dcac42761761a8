import Backend
import Testing

@Suite("Revision keys")
struct RevisionKeyTests {
    static let table: [(RevisionKey, [UInt8])] = [
        (RevisionKey(main: 1, sub: 0), [0, 0, 0, 0, 0, 0, 0, 1, 0x5f, 0, 0, 0, 0, 0, 0, 0, 0]),
        (
            RevisionKey(main: 0x0102_0304_0506_0708, sub: 0x1112_1314_1516_1718),
            [1, 2, 3, 4, 5, 6, 7, 8, 0x5f, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]
        ),
        (
            RevisionKey(main: 300, sub: 2, isTombstone: true),
            [0, 0, 0, 0, 0, 0, 1, 44, 0x5f, 0, 0, 0, 0, 0, 0, 0, 2, 0x74]
        ),
    ]

    @Test("are 17 bytes, and 18 with a `t` for a deletion", arguments: table)
    func bytes(key: RevisionKey, bytes: [UInt8]) {
        #expect(key.bytes == bytes)
        #expect(key.withBytes { [UInt8]($0) } == bytes)
        #expect(bytes.withUnsafeBytes { RevisionKey($0) } == key)
    }

    @Test(
        "of another form are refused",
        arguments: [
            [], [1], Array(repeating: 0, count: 17), Array(repeating: 0x5f, count: 16),
            [0, 0, 0, 0, 0, 0, 0, 1, 0x5f, 0, 0, 0, 0, 0, 0, 0, 0, 0x75],
            [0, 0, 0, 0, 0, 0, 0, 1, 0x5f, 0, 0, 0, 0, 0, 0, 0, 0, 0x74, 0],
            [0x80, 0, 0, 0, 0, 0, 0, 1, 0x5f, 0, 0, 0, 0, 0, 0, 0, 0],
        ] as [[UInt8]])
    func refused(bytes: [UInt8]) {
        #expect(bytes.withUnsafeBytes { RevisionKey($0) } == nil)
    }

    @Test("sort as their bytes do")
    func order() {
        let keys = [(1, 0), (1, 1), (1, 256), (2, 0), (256, 0)].flatMap { main, sub in
            [RevisionKey(main: main, sub: sub), RevisionKey(main: main, sub: sub, isTombstone: true)]
        }
        for (left, right) in zip(keys, keys.dropFirst()) {
            #expect(left < right)
            #expect(left.bytes.lexicographicallyPrecedes(right.bytes))
        }
    }
}
