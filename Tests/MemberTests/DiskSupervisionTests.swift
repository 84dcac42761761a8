import Applier
import Disk
import Glibc
import Testing

@testable import Member

/// What becomes of a leader whose disk stalls or fails.
@Suite struct DiskSupervisionTests {
    private func id(_ member: SimulatedMember) -> UInt64 { member.core.settings.memberID }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func aLeaderWhoseDiskStallsHandsOverWithinAnElectionTimeout(seed: UInt64) throws {
        let trio = try Trio(seed: seed)
        let first = try trio.elect()
        first.diskStalls = true
        let request = first.put("a", "1")
        try trio.settle()
        let start = first.now
        while first.core.isLeader && first.now - start < 2_000 { try trio.tick() }
        #expect(first.now - start <= first.core.settings.electionMilliseconds)
        let second = try trio.elect()
        #expect(first.diskNotices == [.stalled(milliseconds: 800), .handingOver(to: id(second))])
        // The others have what it could not write; it has acknowledged nothing.
        #expect(try second.contents() == ["a": "1"])
        #expect(first.takeReply(request) == nil)
        let next = second.put("b", "1")
        try trio.settle()
        #expect(second.takeReply(next) != nil)

        // It neither votes for itself nor leads again until its disk answers; then it goes on as a follower.
        for _ in 0..<50 { try trio.tick() }
        #expect(first.core.leader == id(second))
        first.diskStalls = false
        for _ in 0..<3 { try trio.tick() }
        #expect(first.diskNotices.last == .answering)
        #expect(try first.contents() == ["a": "1", "b": "1"])
        #expect(first.takeReply(request) != nil)
        #expect(!first.core.isLeader)
    }

    @Test func aLeaderThatNobodyReplacesStepsDown() throws {
        var trio = try Trio(seed: 7)
        let first = try trio.elect()
        // The others are heard of until shortly before, so that the quorum check does not come first.
        first.diskStalls = true
        let request = first.put("a", "1")
        for _ in 0..<7 { try trio.tick() }
        trio.cut = Set(trio.members.map { id($0) }).subtracting([id(first)])
        for _ in 0..<4 { try trio.tick() }
        #expect(!first.core.isLeader)
        #expect(first.core.leader == 0)
        #expect(first.diskNotices.last == .resigned)
        #expect(first.takeReply(request) == nil)
        // It does not stand for election while it cannot write its vote.
        let term = first.core.term
        first.messages = []
        for _ in 0..<50 {
            first.tick()
            try first.settle()
        }
        #expect(first.core.term == term)
        #expect(first.messages.isEmpty)
    }

    @Test func theOnlyMemberWaitsForItsDisk() throws {
        let member = try SimulatedMember()
        try member.elect()
        member.diskStalls = true
        let request = member.put("a", "1")
        for _ in 0..<30 {
            member.tick()
            try member.settle()
        }
        #expect(member.core.isLeader)
        #expect(member.diskNotices == [.stalled(milliseconds: 800)])
        #expect(member.takeReply(request) == nil)
        member.diskStalls = false
        try member.settle()
        #expect(member.takeReply(request) != nil)
        #expect(member.diskNotices == [.stalled(milliseconds: 800), .answering])
    }

    @Test(arguments: [EIO, ENOSPC])
    func aLeaderWhoseDiskFailsHandsOverAtOnce(code: CInt) throws {
        let trio = try Trio(seed: 9)
        let first = try trio.elect()
        let request = first.put("a", "1")
        first.turn()
        first.disk.faults.failing = (1, code)
        #expect(throws: (any Error).self) {
            try first.writeLog()
            try first.synchronizeLog()
        }
        first.diskStalls = true
        first.core.diskFailed(now: first.now)
        try trio.settle()
        #expect(!first.core.isLeader)
        #expect(first.takeReply(request) == nil)
        let second = try #require(trio.leader)
        #expect(first.diskNotices == [.handingOver(to: id(second))], "nobody waits for a disk that has failed")
        #expect(try second.contents() == ["a": "1"])
    }
}
