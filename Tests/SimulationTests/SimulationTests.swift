import Testing

@testable import Simulation

/// Whole clusters in one thread.
@Suite struct SimulationTests {
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func nothingIsViolated(seed: UInt64) throws {
        let report = try Simulation(seed: seed).run()
        #expect(report.violation == nil, "seed \(seed): \(report.last.joined(separator: "\n"))")
        #expect(report.operations > 100)
    }

    @Test(arguments: [3, 14, 15] as [UInt64])
    func theSameSeedGivesTheSameRun(seed: UInt64) throws {
        let first = try Simulation(seed: seed).run()
        let second = try Simulation(seed: seed).run()
        #expect(first.digest == second.digest)
        #expect(first.digest != (try Simulation(seed: seed + 1).run().digest))
    }
}
