import Applier
import Backend
import Disk
import EtcdAPI
import MVCC
import Membership
import RaftMessages
import Testing
import WriteAheadLog

@testable import Member

/// Snapshots from a leader to a member that the log no longer reaches.
@Suite struct SnapshotTests {
    /// A cluster whose member `late` has missed what the leader has forgotten.
    struct Scene {
        var trio: Trio
        let leader: SimulatedMember
        let late: SimulatedMember
        /// What every member holds in the end.
        var contents: [String: String] = [:]

        var lateID: UInt64 { late.core.settings.memberID }

        init(seed: UInt64 = 1, catchUp: Int = 0) throws {
            trio = try Trio(seed: seed, arguments: ["--snapshot-catchup-entries", "\(catchUp)"])
            leader = try trio.elect()
            late = try #require(trio.follower)
            leader.propose(.leaseGrant, Requests.grant(7, ttl: 600))
            try put("old", "1")
            leader.put("gone", "1")
            try trio.settle()
            // The late member has a file of its own, a pending write and a commit that has not ended.
            try late.commitNow()
            try put("old", "2")
            try trio.settle()
            late.beginCommit()
            trio.cut = [late.core.settings.memberID]
            for number in 0..<30 { try put("k\(number % 7)", "\(number)", lease: number % 3 == 0 ? 7 : 0) }
            leader.propose(.leaseGrant, Requests.grant(8, ttl: 600))
            leader.propose(.deleteRange, Requests.delete("gone"))
            try trio.settle()
            leader.propose(.compaction, Requests.compaction(leader.store.currentRevision - 5, physical: false))
            try trio.settle()
            leader.finishCompaction()
            try saveSnapshot()
        }

        mutating func put(_ key: String, _ value: String, lease: Int64 = 0) throws {
            leader.put(key, value, lease: lease)
            contents[key] = value
        }

        /// All that can be reached save a snapshot, and forget the log before it.
        func saveSnapshot() throws {
            for member in trio.members where !trio.cut.contains(member.core.settings.memberID) {
                try member.settle()
                try member.commitNow(withSnapshot: true)
            }
        }

        /// The late member is back, and time passes.
        mutating func heal(ticks: Int = 5) throws {
            trio.cut = []
            for _ in 0..<ticks { try trio.tick() }
        }

        func check() throws {
            let expected = try leader.store.view().hashByRevision(0)
            for member in trio.members {
                let core = member.core
                #expect(core.appliedIndex == leader.core.appliedIndex)
                #expect(try member.store.view().hashByRevision(0) == expected)
                #expect(try member.contents() == contents)
                #expect(core.applier.lessor.leases().sorted() == leader.core.applier.lessor.leases().sorted())
                #expect(core.applier.lessor.isPrimary == core.isLeader)
                #expect(core.applier.cluster == leader.core.applier.cluster)
                #expect(core.confState == leader.core.confState)
                let keys = try core.applier.lessor.timeToLive(id: 7, now: member.now, keys: true).keys
                #expect(keys == (try leader.core.applier.lessor.timeToLive(id: 7, now: leader.now, keys: true).keys))
            }
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func aLateFollowerTakesTheStateAndGoesOnFromTheLog(seed: UInt64) throws {
        var scene = try Scene(seed: seed)
        let late = scene.late
        let publisher = late.store.publisher
        let before = publisher.latest()
        let lost = late.put("lost", "1")
        late.core.read(1)
        late.turn()
        late.messages = []
        #expect(late.core.log.lastIndex < scene.leader.core.log.firstIndex)
        try scene.heal()
        #expect(scene.trio.carried == [scene.lateID: 1])
        #expect(late.restorations == 1)
        try scene.check()
        // Readers that came before see what they saw, those that come now the new state, through the same publisher.
        #expect(late.store.publisher === publisher)
        #expect(publisher.latest().currentRevision == scene.leader.store.currentRevision)
        var old: [String] = []
        _ = try before.range(key: [0], end: [0]) { pair in
            if let view = try? KeyValueView(pair.encoded) { old.append(String(decoding: view.key, as: UTF8.self)) }
        }
        #expect(old == ["gone", "old"])
        // The read is asked of the leader again; the request was lost with its message.
        #expect(late.readyReads == [1])
        #expect(late.takeReply(lost) == nil)
        // From here on the log is enough, and what is written to the new file stays.
        for number in 0..<5 { try scene.put("new", "\(number)") }
        try scene.trio.settle()
        try scene.check()
        try late.commitNow()
        try late.restart()
        try scene.heal()
        #expect(scene.trio.carried == [scene.lateID: 1])
        try scene.check()
        #expect(try late.disk.list("data/member/snap").filter { $0.hasSuffix(".db") } == [])
    }

    /// So a member that stops since a leader's snapshot cannot be installed has no leadership to hand over.
    @Test func aMemberThatInstallsASnapshotIsNotElected() throws {
        var scene = try Scene()
        let late = scene.late
        scene.trio.carriesSnapshots = false
        try scene.heal()
        let (message, database) = try #require(scene.leader.snapshots.first)
        try late.receiveSnapshot(message, database)
        late.turn()
        #expect(late.orders.contains { $0.snapshot?.isEmpty == false })
        try late.writeLog()
        // The log has it; the state machine is not exchanged yet. Neither the end of the leader nor its wish makes it lead.
        let term = late.core.term
        late.core.campaign()
        late.core.leaderIsGone(scene.leader.core.settings.memberID)
        for _ in 0..<50 { late.tick() }
        late.turn()
        #expect(late.core.term == term)
        #expect(!late.messages.contains { $0.type == .preVote || $0.type == .vote })
        try late.synchronizeLog()
        late.core.campaign()
        late.turn()
        #expect(late.messages.contains { $0.type == .preVote }, "now it stands for election")
    }

    @Test func theLeaderWritesOnWhileASnapshotIsUnderWay() throws {
        var scene = try Scene()
        scene.trio.carriesSnapshots = false
        try scene.heal()
        #expect(scene.leader.snapshots.count == 1)
        let (message, database) = try #require(scene.leader.snapshots.first)
        let place = try #require(message.snapshot?.metadata)
        #expect(place.index == scene.leader.core.appliedIndex)
        #expect(place.confState == scene.leader.core.confState)
        // Two more snapshots are saved meanwhile, and the log keeps what the late member will need.
        for round in 0..<2 {
            for number in 0..<20 { try scene.put("m\(number)", "\(round)") }
            try scene.trio.settle()
            try scene.saveSnapshot()
        }
        #expect(scene.leader.core.log.firstIndex <= place.index + 1)
        scene.trio.carriesSnapshots = true
        scene.trio.cut = [scene.lateID]
        try scene.trio.tick()
        try scene.late.receiveSnapshot(message, database)
        scene.leader.snapshots = []
        scene.leader.core.reportSnapshot(to: scene.lateID, succeeded: true)
        try scene.trio.settle()
        try scene.saveSnapshot()
        try scene.heal()
        try scene.check()
        #expect(scene.trio.carried == [:], "entries were enough")
        // Half a minute later the log is let go.
        for _ in 0..<300 { try scene.trio.tick() }
        try scene.put("m", "1")
        try scene.trio.settle()
        try scene.saveSnapshot()
        #expect(scene.leader.core.log.firstIndex == scene.leader.core.snapshotIndex + 1)
    }

    @Test func aSnapshotThatWasLostIsSentAgain() throws {
        var scene = try Scene()
        scene.trio.carriesSnapshots = false
        try scene.heal()
        #expect(scene.leader.snapshots.count == 1)
        // Until its fate is known there is no other.
        for _ in 0..<10 { try scene.trio.tick() }
        #expect(scene.leader.snapshots.count == 1)
        scene.leader.snapshots = []
        scene.leader.core.reportSnapshot(to: scene.lateID, succeeded: false)
        scene.trio.carriesSnapshots = true
        for _ in 0..<5 { try scene.trio.tick() }
        #expect(scene.trio.carried == [scene.lateID: 1])
        try scene.check()
    }

    @Test func aLeaderThatLostItsOfficeSendsNothing() throws {
        var scene = try Scene()
        scene.leader.core.hold(
            Message(
                type: .snapshot, to: scene.lateID, from: scene.leader.core.settings.memberID,
                term: scene.leader.core.term - 1, snapshot: Snapshot(metadata: .init(index: 5, term: 1))))
        try scene.put("a", "1")
        try scene.trio.settle()
        #expect(scene.leader.snapshots.isEmpty)
        #expect(scene.leader.core.transfers.underWay.isEmpty)
    }

    @Test func fewSnapshotsAreUnderWayAtATime() throws {
        let trio = try Scene().trio
        let leader = try #require(trio.leader)
        let term = leader.core.term
        for member in 1...40 as ClosedRange<UInt64> {
            leader.core.hold(
                Message(type: .snapshot, to: member, term: term, snapshot: Snapshot(metadata: .init(index: 5))))
        }
        #expect(leader.core.transfers.underWay.count == 16)
    }

    /// The power goes at each operation in turn, from the arrival of the database on.
    @Test func aCrashAtAnyOperationOfTheInstallationIsSurvived() throws {
        var operation = 0
        var survived = false
        var takenUp = 0
        while !survived {
            operation += 1
            var scene = try Scene(seed: UInt64(operation))
            var random = SplitMix64(seed: UInt64(operation))
            scene.late.disk.faults.powerLoss = operation
            do {
                try scene.heal()
                #expect(scene.trio.carried == [scene.lateID: 1])
                survived = true
            } catch {
                #expect("\(error)".contains("Input/output error"), "operation \(operation): \(error)")
            }
            scene.late.crash(random: &random)
            try scene.late.reopen()
            if scene.late.opened.notes.contains(where: { $0.contains("put the database of the leader's") }) {
                takenUp += 1
            }
            #expect(scene.late.core.appliedIndex <= scene.late.core.applier.backend.consistentIndex)
            // The report of a snapshot whose receiver went is lost too, or says that it failed.
            scene.leader.core.reportSnapshot(to: scene.lateID, succeeded: operation % 2 == 0)
            try scene.heal(ticks: 40)
            let leader = try scene.trio.elect()
            #expect(leader === scene.leader)
            try scene.put("after", "\(operation)")
            try scene.trio.settle()
            try scene.check()
            let left = try scene.late.disk.list("data/member/snap").filter { $0.hasSuffix(".tmp") }
            #expect(left == [], "operation \(operation)")
        }
        #expect(operation > 15)
        #expect(takenUp > 0, "no crash fell between the log's record and the new name of the database")
    }

    @Test func aDatabaseThatIsNotThereOrTooOldStopsTheMember() throws {
        for isMissing in [true, false] {
            var scene = try Scene()
            scene.trio.carriesSnapshots = false
            try scene.heal()
            let (message, _) = try #require(scene.leader.snapshots.first)
            let index = try #require(message.snapshot?.metadata.index)
            let late = scene.late
            let path = late.opened.snapshots.databasePath(index: index)
            if isMissing {
                late.core.step(message)
            } else {
                try late.receiveSnapshot(message, late.core.applier.backend.snapshot())
            }
            late.turn()
            try late.writeLog()
            let error = #expect(throws: SnapshotInstallationError.self) { try late.synchronizeLog() }
            let description = try #require(error).description
            #expect(description.contains("the leader's snapshot at index \(index) cannot be installed"))
            #expect(description.contains(isMissing ? "No such file" : "has applied entries up to index"))
            // A start finds the same; the database of before is still there for whoever looks into it.
            var random = SplitMix64(seed: 1)
            late.crash(random: &random)
            let refusal = #expect(throws: StartError.self) { try late.reopen() }
            #expect(try #require(refusal).description.contains(isMissing ? "is not there" : path))
            #expect(late.disk.exists("data/member/snap/db"))
        }
    }
}
