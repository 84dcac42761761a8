import Foundation
import Testing

@Suite("Random schedules keep the Raft paper's properties")
struct ModelTests {
    /// Seeds of a run; RAFT_MODEL_SEEDS asks for more of them by hand.
    static let seeds: Range<UInt64> = {
        let asked = ProcessInfo.processInfo.environment["RAFT_MODEL_SEEDS"].flatMap(UInt64.init)
        return 0..<(asked ?? 60)
    }()

    static let steps = 4_000

    private func run(_ seed: UInt64, _ options: ModelOptions) throws {
        let cluster = try ModelCluster(seed: seed, options: options)
        do {
            for _ in 0..<ModelTests.steps { try cluster.step() }
            #expect(try cluster.recovers(), "seed \(seed): what is proposed after all faults end reaches no one")
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
        #expect(cluster.progress > 2, "seed \(seed): nothing was applied")
    }

    @Test("Loss, duplication, reordering, partitions, crashes and configuration changes", arguments: seeds)
    func everything(seed: UInt64) throws { try run(seed, ModelOptions()) }

    @Test("The same with asynchronous storage writes", arguments: seeds)
    func asynchronous(seed: UInt64) throws { try run(seed, ModelOptions(asynchronous: true)) }

    @Test("The same without trial votes and quorum checks", arguments: seeds)
    func plainElections(seed: UInt64) throws {
        try run(seed, ModelOptions(preVote: false, checkQuorum: false))
    }

    @Test("The same with elections at every turn", arguments: seeds)
    func elections(seed: UInt64) throws {
        let plain = ModelOptions(asynchronous: seed % 2 == 0, preVote: false, checkQuorum: false, elections: true)
        try run(seed, plain)
    }

    @Test("A calm network, on which schedules get far", arguments: seeds)
    func calm(seed: UInt64) throws {
        try run(seed, ModelOptions(asynchronous: seed % 2 == 0, changes: false, crashes: false, loss: false))
    }

    @Test("Equal seeds run equally")
    func deterministic() throws {
        var progress: [UInt64] = []
        for _ in 0..<2 {
            let cluster = try ModelCluster(seed: 5, options: ModelOptions())
            for _ in 0..<1_000 { try cluster.step() }
            progress += [cluster.progress, cluster.members.reduce(0) { $0 ^ $1.digest.value }]
        }
        #expect(Array(progress.prefix(2)) == Array(progress.suffix(2)))
    }
}
