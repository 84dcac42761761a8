/// The source of every choice of a simulation: the SplitMix64 sequence from a seed.
struct SimulationRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A generator of its own, so that what one part draws does not move what the others get.
    mutating func fork() -> SimulationRandom { SimulationRandom(seed: next()) }

    /// A number from 0 to `bound` - 1.
    mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() % UInt64(max(1, bound))) }

    /// True once in `count` times on average.
    mutating func one(in count: Int) -> Bool { below(count) == 0 }

    /// A number of the range.
    mutating func within(_ range: ClosedRange<Int64>) -> Int64 {
        range.lowerBound + Int64(below(Int(range.upperBound - range.lowerBound) + 1))
    }

    /// A time that is mostly near `usual` and now and then many times as long, as delays in the world are.
    mutating func delay(around usual: Int64) -> Int64 {
        let factor: Int64 = one(in: 40) ? 12 : 2
        return within(usual / 2...max(1, usual * factor))
    }

    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}
