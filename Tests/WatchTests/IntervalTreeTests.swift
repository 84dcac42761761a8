import Testing

@testable import Watch

@Suite struct IntervalTreeTests {
    /// A range of the naive model: every range is compared with every key.
    private struct Range {
        var start: [UInt8]
        var end: [UInt8]?
        var value: Int32

        func contains(_ key: [UInt8]) -> Bool {
            guard !key.lexicographicallyPrecedes(start) else { return false }
            return end.map { key.lexicographicallyPrecedes($0) } ?? true
        }
    }

    /// Short keys over few letters, so that ranges touch, nest and repeat; some longer than a machine word.
    private static func randomKey(_ random: inout SplitMix64) -> [UInt8] {
        let prefix: [UInt8] = Int.random(in: 0..<4, using: &random) == 0 ? Array("a-long-prefix/".utf8) : []
        return prefix
            + (0..<Int.random(in: 0...3, using: &random)).map { _ in
                [0, 97, 98, 255].randomElement(using: &random) ?? 0
            }
    }

    @Test(arguments: 1...20) func findsWhatComparingWithEveryRangeFinds(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var tree = IntervalTree()
        var ranges: [Range] = []
        for step in 0..<600 {
            if ranges.count > 60 || (!ranges.isEmpty && Int.random(in: 0..<3, using: &random) == 0) {
                let gone = ranges.remove(at: Int.random(in: 0..<ranges.count, using: &random))
                tree.remove(start: gone.start, end: gone.end)
            } else {
                let start = Self.randomKey(&random)
                let end = Int.random(in: 0..<5, using: &random) == 0 ? nil : Self.randomKey(&random)
                if let end, !start.lexicographicallyPrecedes(end) { continue }
                let node = tree.insert(start: start, end: end, value: Int32(step))
                if let known = ranges.first(where: { $0.start == start && $0.end == end }) {
                    #expect(tree[node] == known.value, "a range that is there keeps its value")
                } else {
                    #expect(tree[node] == Int32(step))
                    ranges.append(Range(start: start, end: end, value: Int32(step)))
                }
            }
            let key = Self.randomKey(&random)
            var found: [Int32] = []
            tree.appendValues(containing: key, to: &found)
            #expect(found.sorted() == ranges.filter { $0.contains(key) }.map(\.value).sorted(), "seed \(seed)")
        }
        for range in ranges { tree.remove(start: range.start, end: range.end) }
        #expect(tree.isEmpty)
    }

    @Test func keysCompareAsUnsignedBytesAndShorterFirst() {
        let ordered: [[UInt8]] = [
            [], [0], [0, 0], [1], [127], [128], [255], [255, 0], Array("aaaaaaaa".utf8), Array("aaaaaaaab".utf8),
            Array("aaaaaaab".utf8), Array("aaaaaaab\u{0}".utf8), Array("b".utf8),
        ].sorted { $0.lexicographicallyPrecedes($1) }
        for (i, left) in ordered.enumerated() {
            for (j, right) in ordered.enumerated() {
                #expect(compareBytes(left, right).signum() == (i - j).signum())
            }
        }
    }
}
