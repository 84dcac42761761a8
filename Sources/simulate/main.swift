import Foundation
import Simulation

/// Runs simulated clusters, one for each seed, and tells what they violated.
let usage = """
    usage: simulate [--seeds N] [--first SEED] [--jobs N] [--members N] [--seconds N] [--repeat]
           simulate --seed SEED [--trace] [--members N] [--seconds N]

    --seeds N     run this many seeds, from --first on (100, from 1)
    --jobs N      as many at once (the number of processors)
    --members N   members of the cluster (3)
    --seconds N   simulated seconds of trouble (12)
    --sabotage W  let the members do something wrong, which is to be found: see SimulationSettings.Sabotage
    --repeat      run each seed twice and compare the digests
    --seed SEED   run one seed; with --trace say all that happens

    """

func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data(text.utf8))
    exit(2)
}

var settings = SimulationSettings()
var seeds: UInt64 = 100
var first: UInt64 = 1
var jobs = ProcessInfo.processInfo.activeProcessorCount
var single: UInt64?
var trace = false
var repeats = false
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    func number<Value: FixedWidthInteger>() -> Value {
        guard let text = arguments.popFirst(), let value = Value(text) else { fail(usage) }
        return value
    }
    switch argument {
    case "--seeds": seeds = number()
    case "--first": first = number()
    case "--jobs": jobs = number()
    case "--members": settings.members = number()
    case "--seconds": settings.duration = number() * 1_000_000
    case "--sabotage":
        guard let name = arguments.popFirst(), let sabotage = SimulationSettings.Sabotage(rawValue: name) else {
            fail(usage)
        }
        settings.sabotage = sabotage
    case "--seed": single = number()
    case "--trace": trace = true
    case "--repeat": repeats = true
    default: fail(usage)
    }
}

func show(_ report: SimulationReport, _ settings: SimulationSettings, withLast: Bool) {
    print("seed \(report.seed): digest \(String(report.digest, radix: 16))")
    guard let violation = report.violation else { return }
    for line in withLast ? report.last : [] { print("    \(line)") }
    print("VIOLATION \(violation)")
    let seconds = settings.duration / 1_000_000
    print("replay: simulate --seed \(report.seed) --members \(settings.members) --seconds \(seconds) --trace")
}

/// The seeds that run at the moment, for the case that one of them ends the process: a broken precondition is a find too.
let runningSeeds = RunningSeeds()
runningSeeds.tellOnTrap()

@Sendable func run(_ seed: UInt64, _ settings: SimulationSettings, trace: Bool = false) -> SimulationReport {
    runningSeeds.note(seed)
    defer { runningSeeds.forget(seed) }
    do {
        return try Simulation(seed: seed, settings: settings, trace: trace ? { print($0) } : nil).run()
    } catch {
        fail("simulate: seed \(seed): \(error)\n")
    }
}

if let single {
    let report = run(single, settings, trace: trace)
    show(report, settings, withLast: !trace)
    exit(report.violation == nil ? 0 : 1)
}

var total = Totals()
let began = Date()
await withTaskGroup(of: [SimulationReport].self) { group in
    let last = first + seeds
    var next = first
    let (settings, repeats) = (settings, repeats)
    func addOne() {
        guard next < last else { return }
        let seed = next
        next += 1
        group.addTask { (0..<(repeats ? 2 : 1)).map { _ in run(seed, settings) } }
    }
    for _ in 0..<max(1, jobs) { addOne() }
    for await reports in group {
        total.add(reports)
        if reports.contains(where: { $0.violation != nil }) { show(reports[0], settings, withLast: false) }
        if Set(reports.map(\.digest)).count > 1 {
            print("seed \(reports[0].seed): two runs differ: \(reports.map { String($0.digest, radix: 16) })")
        }
        addOne()
    }
}
total.show(seconds: Date().timeIntervalSince(began))
exit(total.isGood ? 0 : 1)

/// What many runs add up to.
struct Totals {
    private var runs = 0
    private var violations: [UInt64] = []
    private var different: [UInt64] = []
    private var operations = 0
    private var slowElections = 0
    private var undecided = 0
    private var slowestElection: Int64 = 0
    private var faults: [String: Int] = [:]
    private var happenings: [String: Int] = [:]
    /// Of all digests, whatever the order in which the runs ended.
    private var digest: UInt64 = 0

    var isGood: Bool { violations.isEmpty && different.isEmpty }

    mutating func add(_ reports: [SimulationReport]) {
        let report = reports[0]
        runs += 1
        if report.violation != nil { violations.append(report.seed) }
        if Set(reports.map(\.digest)).count > 1 { different.append(report.seed) }
        operations += report.operations
        if report.slowElection { slowElections += 1 }
        slowestElection = max(slowestElection, report.electionMilliseconds)
        undecided += report.undecidedHistories
        faults.merge(report.faults) { $0 + $1 }
        happenings.merge(report.happenings) { $0 + $1 }
        digest &+= report.digest &* (2 &* report.seed &+ 1)
    }

    func show(seconds: Double) {
        print("faults: \(Self.list(faults))")
        print("happenings: \(Self.list(happenings))")
        print(
            "elections after healing slower than two election timeouts: \(slowElections), "
                + "the slowest \(slowestElection) ms")
        print("histories that the linearizability checker gave up on: \(undecided)")
        print(
            "simulate: \(runs) seeds, \(faults.values.reduce(0, +)) faults, \(operations) operations, "
                + "\(violations.count) violations, \(different.count) not repeatable, "
                + "digest \(String(digest, radix: 16)), \(Int(seconds)) s")
        if !violations.isEmpty { print("seeds with violations: \(violations.sorted())") }
        if !different.isEmpty { print("seeds that differ from run to run: \(different.sorted())") }
    }

    private static func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
}
