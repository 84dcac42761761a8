import Disk
import Glibc
import RaftMessages
import Testing
import WriteAheadLog

/// A log under a random load, and beside it what was appended and what was synchronised.
private struct LogUnderTest {
    /// What one record of the log does, apart from heads of segments.
    enum Step: Equatable {
        case entry(Entry)
        case state(HardState)
        case snapshot(WALSnapshot)
    }

    let disk = MemoryDisk()
    var random: SplitMix64
    var log: WriteAheadLog?
    /// All that was appended and may be on the disk.
    var steps: [Step] = []
    /// How many of `steps` were synchronised.
    var durable = 0
    var start = WALSnapshot()
    let options: WriteAheadLog.Options = {
        var options = WriteAheadLog.Options()
        options.segmentSize = 3000
        return options
    }()

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
    }

    mutating func open() throws {
        if WriteAheadLog.exists(disk: disk, directory: "wal") {
            let opened = try WriteAheadLog.openRepairing(disk: disk, directory: "wal", at: start, options: options)
            try accept(opened.contents)
            log = opened.log
        } else {
            #expect(durable == 0, "a log that was made durable is gone")
            steps = []
            log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [4, 2], options: options)
        }
    }

    /// Finds the prefix of the steps that `contents` is, which must hold all synchronised steps.
    mutating func accept(_ contents: LogContents) throws {
        var entries: [Entry] = []
        var state = HardState()
        var match: Int?
        for count in 0...steps.count {
            if count >= durable && entries == contents.entries && state == contents.hardState { match = count }
            guard count < steps.count else { break }
            switch steps[count] {
            case .entry(let entry) where entry.index > start.index:
                entries.removeSubrange(Int(entry.index - start.index - 1)...)
                entries.append(entry)
            case .state(let new): state = new
            default: break
            }
        }
        let prefix = try #require(match, "what was read is not what was appended up to some point")
        #expect(contents.metadata == [4, 2])
        steps.removeSubrange(prefix...)
        durable = prefix
    }

    /// One random action.
    mutating func act() throws {
        guard let log else { return try open() }
        switch Int.random(in: 0..<20, using: &random) {
        case 0:
            try log.prepareNextSegment()
        case 1:
            try log.close()
            durable = steps.count
            self.log = nil
            try open()
        case 2: try saveSnapshot(log)
        case 3:
            log.releaseLocks(below: start.index)
            try WriteAheadLog.purge(disk: disk, directory: "wal", keeping: 2)
        case 4..<9:
            // The steps counted before the call are those that it makes durable.
            try log.synchronize()
            durable = steps.count
        default: try append(to: log)
        }
    }

    private var lastIndex: UInt64 {
        for step in steps.reversed() { if case .entry(let entry) = step { return entry.index } }
        return 0
    }

    private var state: HardState {
        for step in steps.reversed() { if case .state(let state) = step { return state } }
        return HardState()
    }

    private mutating func append(to log: WriteAheadLog) throws {
        let old = state
        // Now and then a new leader replaces what is above the commit.
        let isNewTerm = Int.random(in: 0..<6, using: &random) == 0
        let term = max(1, isNewTerm ? old.term + 1 : old.term)
        let first = isNewTerm ? UInt64.random(in: max(old.commit, start.index)...lastIndex, using: &random) : lastIndex
        let entries = (0..<UInt64.random(in: 0...4, using: &random)).map { offset in
            let size = Int.random(in: 0..<900, using: &random)
            // Data of zeros looks like sectors that were never written.
            let fill: UInt8 = Bool.random(using: &random) ? 0 : UInt8.random(in: 1...255, using: &random)
            return Entry(term: term, index: first + 1 + offset, data: [UInt8](repeating: fill, count: size))
        }
        let last = entries.last?.index ?? lastIndex
        let commit = UInt64.random(in: old.commit...max(old.commit, last), using: &random)
        let new = HardState(term: term, vote: UInt64.random(in: 0...3, using: &random), commit: commit)
        steps += entries.map { .entry($0) } + [.state(new)]
        try log.append(entries, hardState: new)
    }

    private mutating func saveSnapshot(_ log: WriteAheadLog) throws {
        let commit = state.commit
        guard commit > start.index, durable == steps.count else { return }
        let term = steps.reversed().lazy.compactMap { step -> UInt64? in
            if case .entry(let entry) = step, entry.index == commit { entry.term } else { nil }
        }.first
        let snapshot = WALSnapshot(index: commit, term: try #require(term))
        steps.append(.snapshot(snapshot))
        try log.saveSnapshot(snapshot)
        durable = steps.count
        start = snapshot
    }

    /// Lets the power go at the `operation`-th operation from here, and opens what is left.
    mutating func run(actions: Int, powerLossAt operation: Int) throws {
        disk.faults.powerLoss = operation
        do {
            for _ in 0..<actions { try act() }
        } catch let error as WALError {
            guard case .disk(let reason) = error, reason.code == EIO else { throw error }
        }
        disk.crash(random: &random)
        log = nil
        try open()
    }
}

@Suite struct CrashTests {
    @Test(arguments: 0..<6)
    func aPowerLossAtAnyOperationLosesNothingSynchronised(seed: UInt64) throws {
        // The same load is run again and again, and each time the power goes one operation later.
        for operation in 1...150 {
            var test = LogUnderTest(seed: seed)
            try test.open()
            try test.run(actions: 60, powerLossAt: operation)
            try test.act()
        }
    }

    @Test(arguments: 100..<140)
    func aLogSurvivesManyPowerLosses(seed: UInt64) throws {
        var test = LogUnderTest(seed: seed)
        for _ in 0..<40 {
            let operation = Int.random(in: 1...80, using: &test.random)
            try test.run(actions: 40, powerLossAt: operation)
        }
        #expect(test.steps.count > 20)
    }

    @Test func aPowerLossDuringCreationLeavesAWholeLogOrNone() throws {
        for operation in 1...16 {
            for seed: UInt64 in 0..<10 {
                var test = LogUnderTest(seed: seed)
                try test.run(actions: 1, powerLossAt: operation)
                try test.run(actions: 10, powerLossAt: 1000)
            }
        }
    }

    @Test func aSecondPowerLossDoesNotMixWhatTheFirstLeftWithWhatWasAppendedSince() throws {
        for seed: UInt64 in 0..<400 {
            var random = SplitMix64(seed: seed)
            let disk = MemoryDisk()
            var options = WriteAheadLog.Options()
            options.segmentSize = 20000
            let log = try WriteAheadLog.create(disk: disk, directory: "wal", metadata: [], options: options)
            try log.save([Entry(term: 1, index: 1)])
            for size in [3000, 1500] {
                let (log, contents, _) = try {
                    disk.crash(random: &random)
                    return try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: options)
                }()
                #expect(contents.entries.first == Entry(term: 1, index: 1))
                let data = [UInt8](repeating: 7, count: size)
                try log.append([Entry(term: 1, index: UInt64(contents.entries.count) + 1, data: data)])
            }
            disk.crash(random: &random)
            _ = try WriteAheadLog.openRepairing(disk: disk, directory: "wal", options: options)
        }
    }

    @Test func aPowerLossDuringARepairLosesNothing() throws {
        for seed: UInt64 in 0..<300 {
            var test = LogUnderTest(seed: seed)
            try test.open()
            for _ in 0..<15 { try test.act() }
            test.disk.crash(random: &test.random)
            test.log = nil
            test.disk.faults.powerLoss = Int.random(in: 1...20, using: &test.random)
            do { try test.open() } catch is WALError {}
            test.disk.crash(random: &test.random)
            test.log = nil
            try test.open()
        }
    }
}
