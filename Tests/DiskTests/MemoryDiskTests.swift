import Disk
import Glibc
import Testing

/// The SplitMix64 generator: the same seed, the same numbers.
private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Suite struct MemoryDiskTests {
    private let disk = MemoryDisk()

    private func crash(seed: UInt64) {
        var random = SplitMix64(state: seed)
        disk.crash(random: &random)
    }

    @Test func writesAreReadBackAndLengthenTheFile() throws {
        let file = try disk.open("a", .create)
        try file.write([1, 2, 3], at: 5)
        #expect(try file.size() == 8)
        #expect(try file.read(at: 4, count: 10) == [0, 1, 2, 3])
        try file.truncate(to: 6)
        #expect(try file.read(at: 0, count: 10) == [0, 0, 0, 0, 0, 1])
        try file.allocate(100)
        #expect(try file.read(at: 0, count: 200) == [0, 0, 0, 0, 0, 1] + [UInt8](repeating: 0, count: 94))
        try file.allocate(50)
        #expect(try file.size() == 100)
    }

    @Test func aTruncatedPartReadsAsZerosWhenTheFileGrowsAgain() throws {
        let file = try disk.open("a", .create)
        try file.write([UInt8](repeating: 7, count: 20000), at: 0)
        try file.truncate(to: 5000)
        try file.truncate(to: 20000)
        let expected = [UInt8](repeating: 7, count: 5000) + [UInt8](repeating: 0, count: 15000)
        #expect(try file.read(at: 0, count: 20000) == expected)
    }

    @Test func aMappingShowsLaterWritesAndOutlivesItsFile() throws {
        let file = try disk.open("a", .create)
        let mapping = try file.map(length: 10 << 30)
        #expect(mapping.bytes.count == 10 << 30)
        try file.write([9], at: 100)
        file.close()
        #expect(mapping.bytes[100] == 9)
        #expect(throws: DiskError.self) { try file.size() }
    }

    @Test func theSecondOpeningOfALockedFileIsRefused() throws {
        let first = try disk.open("a", .create)
        var second: (any DiskFile)? = try disk.open("a", .write)
        #expect(try first.lock(wait: false))
        #expect(try second?.lock(wait: false) == false)
        first.close()
        #expect(try second?.lock(wait: false) == true)
        second = nil
        #expect(try disk.open("a", .write).lock(wait: true))
    }

    @Test func errorsAreTheSystemsOwn() throws {
        try disk.createDirectory("d/e")
        _ = try disk.open("f", .create)
        func text(_ call: () throws -> Void) -> String {
            do { try call() } catch { return "\(error)" }
            return ""
        }
        #expect(text { _ = try disk.open("x/absent", .create) } == "open x/absent: No such file or directory")
        #expect(text { _ = try disk.open("absent", .write) } == "open absent: No such file or directory")
        #expect(text { _ = try disk.open("d", .read) } == "open d: Is a directory")
        #expect(text { _ = try disk.list("f") } == "open f: Not a directory")
        #expect(text { try disk.createDirectory("f/g") } == "mkdir f/g: not a directory")
        #expect(text { try disk.rename("f", to: "d") } == "rename f: Is a directory")
        #expect(text { try disk.remove("absent") } == "remove absent: No such file or directory")
        #expect(text { try disk.open("f", .read).write([1], at: 0) } == "write f: Bad file descriptor")
    }

    @Test func namesAreListedRenamedAndRemoved() throws {
        try disk.createDirectory("/x/y/z")
        try disk.createDirectory("/x/y/z")
        for name in ["b", "a"] { _ = try disk.open("/x/y/\(name)", .create) }
        #expect(try disk.list("/x/y") == ["a", "b", "z"])
        try disk.rename("/x/y/a", to: "/x/y/c")
        #expect(try disk.list("x/y") == ["b", "c", "z"])
        try disk.rename("/x/y", to: "/x/w")
        #expect(disk.exists("/x/w/c"))
        try disk.remove("/x")
        #expect(!disk.exists("/x"))
    }

    @Test func whatIsSynchronisedSurvivesEveryCrash() throws {
        for seed: UInt64 in 0..<20 {
            let file = try disk.open("a", .create)
            try disk.synchronizeDirectory("/")
            try file.write([1, 2, 3], at: 1000)
            try file.truncate(to: 1002)
            try file.synchronize()
            crash(seed: seed)
            #expect(throws: DiskError.self) { try file.size() }
            let reopened = try disk.open("a", .write)
            #expect(try reopened.size() == 1002)
            #expect(try reopened.read(at: 1000, count: 10) == [1, 2])
            try disk.remove("a")
            try disk.synchronizeDirectory("/")
            crash(seed: seed)
            #expect(!disk.exists("a"))
        }
    }

    @Test func anUnsynchronisedWriteIsKeptDroppedOrTornBySectors() throws {
        var kept = 0
        var dropped = 0
        var torn = 0
        for seed: UInt64 in 0..<60 {
            let file = try disk.open("a", .create)
            try file.allocate(4096)
            try file.synchronize()
            try disk.synchronizeDirectory("/")
            try file.write([UInt8](repeating: 1, count: 2000), at: 100)
            crash(seed: seed)
            let after = try disk.open("a", .read).read(at: 0, count: 4096)
            #expect(after.count == 4096)
            // Each sector is either as before or as written.
            var sectors: Set<Bool> = []
            for start in stride(from: 0, to: 2100, by: 512) {
                let range = max(100, start)..<min(2100, start + 512)
                let written = after[range.lowerBound] == 1
                sectors.insert(written)
                #expect(after[range].allSatisfy { $0 == (written ? 1 : 0) })
            }
            if sectors.count == 2 { torn += 1 } else if sectors == [true] { kept += 1 } else { dropped += 1 }
            try disk.remove("a")
        }
        #expect(kept > 5 && dropped > 5 && torn > 5)
    }

    @Test func onlyAPrefixOfUnsynchronisedNamesSurvives() throws {
        var lengths: Set<Int> = []
        for seed: UInt64 in 0..<40 {
            for name in ["a", "b", "c"] { _ = try disk.open(name, .create) }
            crash(seed: seed)
            let names = try disk.list("/")
            #expect(names == Array(["a", "b", "c"].prefix(names.count)))
            lengths.insert(names.count)
            for name in names { try disk.remove(name) }
            try disk.synchronizeDirectory("/")
        }
        #expect(lengths == [0, 1, 2, 3])
    }

    @Test func aRenameIsAtomicInACrash() throws {
        for seed: UInt64 in 0..<20 {
            let old = try disk.open("old", .create)
            try old.write([1], at: 0)
            try old.synchronize()
            let new = try disk.open("new", .create)
            try new.write([2], at: 0)
            try new.synchronize()
            try disk.synchronizeDirectory("/")
            try disk.rename("new", to: "old")
            crash(seed: seed)
            let content = try disk.open("old", .read).read(at: 0, count: 1)
            #expect(content == (disk.exists("new") ? [1] : [2]))
        }
    }

    @Test func theSameSeedGivesTheSameCrash() throws {
        func outcome() throws -> [[UInt8]] {
            let disk = MemoryDisk()
            var random = SplitMix64(state: 7)
            for name in ["a", "b", "c", "d"] {
                let file = try disk.open(name, .create)
                for part in 0..<10 { try file.write([UInt8](repeating: UInt8(part), count: 900), at: part * 700) }
            }
            disk.crash(random: &random)
            return try disk.list("/").map { try disk.open($0, .read).read(at: 0, count: 10000) }
        }
        #expect(try outcome() == outcome())
    }

    @Test func theChosenOperationFailsAndOthersDoNot() throws {
        let file = try disk.open("a", .create)
        disk.faults.failing = (2, EIO)
        try file.write([1], at: 0)
        #expect {
            try file.synchronize()
        } throws: {
            "\($0)" == "fdatasync a: Input/output error"
        }
        try file.synchronize()
        #expect(disk.operations == 4)
    }

    @Test func powerLossLastsUntilTheCrash() throws {
        let file = try disk.open("a", .create)
        try disk.synchronizeDirectory("/")
        disk.faults.powerLoss = 1
        #expect(throws: DiskError.self) { try file.synchronize() }
        #expect(throws: DiskError.self) { try disk.open("a", .read) }
        crash(seed: 1)
        #expect(try disk.open("a", .read).size() == 0)
    }

    @Test func aFullDiskRefusesToGrowAndStillOverwrites() throws {
        let file = try disk.open("a", .create)
        disk.faults.spaceLimit = 1000
        try file.write([UInt8](repeating: 1, count: 900), at: 0)
        #expect {
            try file.write([UInt8](repeating: 1, count: 900), at: 101)
        } throws: {
            ($0 as? DiskError)?.code == ENOSPC
        }
        #expect(try file.size() == 900)
        try file.write([UInt8](repeating: 2, count: 900), at: 100)
        #expect(disk.bytesUsed == 1000)
        let other = try disk.open("b", .create)
        #expect(throws: DiskError.self) { try other.allocate(1) }
        try disk.remove("a")
        try other.allocate(1000)
    }

    @Test func stallsAreReportedTheSameWayForTheSameSeed() throws {
        final class Log: @unchecked Sendable { var stalls: [MemoryDisk.Stall] = [] }
        func stalls(seed: UInt64) throws -> [MemoryDisk.Stall] {
            let log = Log()
            let disk = MemoryDisk(seed: seed) { log.stalls.append($0) }
            disk.faults.stallsPerThousand = 300
            disk.faults.longestStall = 1000
            let file = try disk.open("a", .create)
            for _ in 0..<100 { try file.synchronize() }
            return log.stalls
        }
        let first = try stalls(seed: 1)
        #expect(first.count > 10 && first.count < 60)
        #expect(first.allSatisfy { $0.nanoseconds >= 1 && $0.nanoseconds <= 1000 })
        #expect(try first == stalls(seed: 1))
        #expect(try first != stalls(seed: 2))
    }
}
