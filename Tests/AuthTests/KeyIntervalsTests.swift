import Testing

@testable import Auth

/// Merged intervals against a naive check of every key, and the ranges of etcd's documentation.
@Suite struct KeyIntervalsTests {
    private func key(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func neighboursCoverARangeTogether() {
        let keys = KeyIntervals([
            Permission(.read, key: key("a"), rangeEnd: key("c")), Permission(.read, key: key("c"), rangeEnd: key("e")),
            Permission(.read, key: key("x")), Permission(.read, key: key("z"), rangeEnd: [0]),
        ])
        #expect(keys.merged.count == 3)
        #expect(keys.covers(key("a"), key("e")))
        #expect(keys.covers(key("b"), key("d")))
        #expect(!keys.covers(key("a"), key("f")))
        #expect(!keys.covers(key("d"), key("y")))
        #expect(keys.contains(key("x")))
        #expect(!keys.contains(key("xx")))
        // One key is no range of all keys from it on.
        #expect(!keys.covers(key("x"), nil))
        #expect(keys.covers(key("z"), nil))
        #expect(keys.covers(key("zz"), key("zzz")))
    }

    @Test func rangesWithoutKeysCoverNothing() {
        let keys = KeyIntervals([
            Permission(.read, key: key("b"), rangeEnd: key("a")), Permission(.read, key: key("b"), rangeEnd: key("b")),
            Permission(.read, key: []), Permission(.read, key: [], rangeEnd: [0]),
        ])
        #expect(keys.merged.isEmpty)
    }

    /// Keys of one letter: a range is covered when every key in it is, and an open range when there is an open interval.
    @Test func modelOfSingleLetters() {
        var random = SplitMix64(seed: 20_261_121)
        for _ in 0..<2_000 {
            var permissions: [Permission] = []
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let start = UInt8.random(in: 97...110, using: &random)
                switch Int.random(in: 0...3, using: &random) {
                case 0: permissions.append(Permission(.read, key: [start]))
                case 1 where Int.random(in: 0...5, using: &random) == 0:
                    permissions.append(Permission(.read, key: [start], rangeEnd: [0]))
                default:
                    let end = UInt8.random(in: 97...112, using: &random)
                    permissions.append(Permission(.read, key: [start], rangeEnd: [end]))
                }
            }
            let keys = KeyIntervals(permissions)
            for probe in probes {
                #expect(keys.contains(probe) == isCovered(probe, permissions), "\(probe) in \(permissions)")
            }
            for start in UInt8(97)...112 {
                for end in (start + 1)...113 {
                    // Between two letters there are keys that a point does not cover.
                    let inside = probes.filter {
                        !$0.lexicographicallyPrecedes([start]) && $0.lexicographicallyPrecedes([end])
                    }
                    let expected = inside.allSatisfy { isCovered($0, permissions) }
                    #expect(keys.covers([start], [end]) == expected, "[\(start), \(end)) in \(permissions)")
                }
                let behind = probes.filter { !$0.lexicographicallyPrecedes([start]) }
                #expect(keys.covers([start], nil) == behind.allSatisfy { isCovered($0, permissions) })
            }
        }
    }

    /// Every letter, the key right behind it, and one behind all.
    private let probes: [[UInt8]] = (UInt8(97)...113).flatMap { [[$0], [$0, 0]] } + [[255, 255]]

    private func isCovered(_ key: [UInt8], _ permissions: [Permission]) -> Bool {
        permissions.contains { permission in
            if permission.rangeEnd.isEmpty { return key == permission.key }
            if key.lexicographicallyPrecedes(permission.key) { return false }
            return permission.rangeEnd == [0] || key.lexicographicallyPrecedes(permission.rangeEnd)
        }
    }
}

/// A small generator, so that a failure names the same choices again.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
