import Disk
import Testing

@testable import Simulation

/// Whole clusters in one thread.
@Suite struct SimulationTests {
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func nothingIsViolated(seed: UInt64) throws {
        let report = try Simulation(seed: seed).run()
        #expect(report.violation == nil, "seed \(seed): \(report.last.joined(separator: "\n"))")
        #expect(report.operations > 100)
        #expect(report.entries > 20)
    }

    @Test func fiveMembers() throws {
        var settings = SimulationSettings()
        settings.members = 5
        let report = try Simulation(seed: 1, settings: settings).run()
        #expect(report.violation == nil, "\(report.last.joined(separator: "\n"))")
    }

    /// Power ends, disks fail and processes die in the middle of defragmentations, and others come to their end.
    @Test func defragmentationsGoOnInStepsAndBreak() throws {
        var happened: [String: Int] = [:]
        for seed in 1...12 as ClosedRange<UInt64> where (happened["databaseChecked"] ?? 0) == 0 {
            let report = try Simulation(seed: seed).run()
            #expect(report.violation == nil, "seed \(seed): \(report.last.joined(separator: "\n"))")
            happened.merge(report.happenings) { $0 + $1 }
        }
        #expect((happened["databaseChecked"] ?? 0) > 0, "a crash fell between two steps")
        #expect((happened["defragmentationStep"] ?? 0) > 2 * (happened["defragmented"] ?? 0))
    }

    @Test(arguments: [3, 14, 15] as [UInt64])
    func theSameSeedGivesTheSameRun(seed: UInt64) throws {
        let first = try Simulation(seed: seed).run()
        let second = try Simulation(seed: seed).run()
        #expect(first.digest == second.digest)
        #expect(first.digest != (try Simulation(seed: seed + 1).run().digest))
    }

    /// A simulator that finds nothing would be no use: each of these mistakes is found within a few seeds.
    @Test(
        arguments: [
            .acknowledgesBeforeSynchronizing, .forgetsHardState, .readsLocally, .losesWatchEvents, .renewsNothing,
        ] as [SimulationSettings.Sabotage])
    func whatMembersDoWrongIsFound(_ sabotage: SimulationSettings.Sabotage) throws {
        var settings = SimulationSettings()
        settings.sabotage = sabotage
        let isFound = try (1...60 as ClosedRange<UInt64>).contains { seed in
            try Simulation(seed: seed, settings: settings).run().violation != nil
        }
        #expect(isFound, "\(sabotage)")
    }

    /// A process that is killed while it defragments asks the disk for a few things more, and then the power goes.
    @Test func powerThatGoesAsAMemberEndsDamagesNothing() throws {
        let world = try World(seed: 1, settings: SimulationSettings(), trace: nil)
        for machine in world.members { machine.start() }
        world.simulator.run(until: 5_000_000)
        let machine = world.members[0]
        machine.process?.send(
            .perform { process in
                process.defragment {
                    world.simulator.after(0) {
                        machine.kill()
                        machine.disk.faults.powerLoss = 1
                        #expect(throws: DiskError.self) { try machine.disk.freeBytes("data") }
                    }
                }
            })
        world.simulator.run(until: 6_000_000)
        #expect(machine.powerIsLost && !machine.isRunning)
        machine.start()
        #expect(world.recorder.violation == nil)
        #expect(world.recorder.count(.databaseChecked) == 1)
        #expect(machine.isRunning)
        for machine in world.machines { machine.discard() }
        world.simulator.end()
    }
}
