import Applier
import Bolt
import Disk
import EtcdAPI
import Lease
import MVCC
import Membership
import Raft
import RaftMessages
import StoreV2
import Testing
import WireFormat

@testable import Backend
@testable import Member

/// One member under a random load whose power goes at random moments, and beside it what must hold.
///
/// Two things know what should be there: a list of the writes that were acknowledged, and a twin, a state machine that
/// never crashes and is fed the same entries.
struct CrashRun {
    private let member: SimulatedMember
    private var twin: Twin
    private var random: SplitMix64
    private let seed: UInt64
    private let log = EntryRecord()

    /// What a request that was proposed in this run would write.
    private enum Request {
        case put(key: String, value: String)
        case delete(key: String)
        case other
    }

    private struct Acknowledged {
        var revision: Int64
        var key: String
        /// Nil when the key was deleted.
        var value: String?
    }

    private var waiting: [UInt64: Request] = [:]
    private var acknowledged: [Acknowledged] = []
    private var reads: [UInt64: Int64] = [:]
    private var newestAcknowledged: Int64 = 1
    private var lastToken: UInt64 = 0
    private var lastValue = 0
    private(set) var crashes = 0
    private(set) var digest: UInt64 = 0xcbf2_9ce4_8422_2325

    init(seed: UInt64) throws {
        self.seed = seed
        random = SplitMix64(seed: seed)
        member = try SimulatedMember(disk: MemoryDisk(seed: seed), seed: seed)
        twin = try Twin(memberID: member.opened.memberID, clusterID: member.opened.clusterID)
        log.entries = try Self.entries(of: member)
        member.ordered = { [log] message in log.note(message.entries) }
        try member.elect()
    }

    /// The entries that the member was ordered to append, by index from 1 on.
    private final class EntryRecord {
        var entries: [Entry] = []

        func note(_ new: [Entry]) {
            guard let first = new.first else { return }
            entries.removeSubrange(Int(first.index - 1)...)
            entries += new
        }
    }

    private static func entries(of member: SimulatedMember) throws -> [Entry] {
        let log = member.core.log
        return try log.entries(log.firstIndex..<log.lastIndex + 1, maximumSize: .max)
    }

    // MARK: The run

    mutating func run(actions: Int) throws {
        for _ in 0..<actions { try survive { run throws in try run.act() } }
        try survive { run throws in
            run.crashes += 1; run.member.crash(random: &run.random); try run.recover()
        }
        try settleAndVerify()
        try compareFiles()
    }

    /// Runs `body`; when the power goes in it, or in what follows, the member starts again.
    private mutating func survive(_ body: (inout CrashRun) throws -> Void) throws {
        do { try body(&self) } catch {
            guard powerIsLost else { throw error }
            while true {
                crashes += 1
                member.crash(random: &random)
                if chance(8) { member.disk.faults.powerLoss = number(below: 40) + 1 }
                do {
                    try recover()
                    return
                } catch  where powerIsLost {}
            }
        }
    }

    private var powerIsLost: Bool {
        // The one operation that cannot fail otherwise.
        do { _ = try member.disk.list("") } catch { return true }
        return false
    }

    private mutating func recover() throws {
        waiting = [:]
        reads = [:]
        try member.reopen()
        try checkLog()
        let findings = try Check.findings(in: member.core.applier.backend.database)
        #expect(findings == [], "seed \(seed): the database is damaged")
        try checkLeases()
        mix(UInt64(bitPattern: member.store.currentRevision), member.core.log.lastIndex)
        if chance(2) {
            member.disk.faults.powerLoss = nil
            try settleAndVerify()
        } else if chance(2) {
            member.turn()
            member.core.campaign()
        }
    }

    private mutating func act() throws {
        if chance(50) { member.disk.faults.powerLoss = number(below: 25) + 1 }
        switch number(below: 100) {
        case 0..<40: for _ in 0...number(below: 3) { propose() }
        case 40..<46:
            lastToken += 1
            reads[lastToken] = newestAcknowledged
            member.core.read(lastToken)
        case 46..<52: member.tick()
        case 52..<62: try member.writeLog()
        case 62..<74: try member.synchronizeLog()
        case 74..<79: member.beginCommit(withSnapshot: chance(2))
        case 79..<84: try member.runCommit()
        case 84..<90: try member.finishCommit()
        case 90..<93: _ = member.store.compactionStep(limit: 1 + number(below: 5))
        case 93: member.core.revokeExpiredLeases(limit: 3, now: member.now)
        case 94: try purge()
        case 95: try member.settle()
        case 97: try member.commitNow(withSnapshot: chance(2))
        case 96 where chance(3):
            crashes += 1
            member.crash(random: &random)
            try recover()
        default: break
        }
        // Seldom enough that an election can end before the next begins.
        if !member.core.isLeader && chance(12) {
            member.turn()
            member.core.campaign()
        }
        member.turn()
        try follow()
    }

    private mutating func purge() throws {
        try WriteAheadLogPurge.run(member, keeping: 1 + number(below: 3))
    }

    // MARK: Requests

    private mutating func propose() {
        let key = "k\(number(below: 12))"
        let lease = Int64(1 + number(below: 5))
        switch number(below: 20) {
        case 0..<8:
            let value = newValue()
            let lease = chance(3) && member.core.applier.lessor.contains(lease) ? lease : 0
            waiting[member.put(key, value, lease: lease)] = .put(key: key, value: value)
        case 8..<11: waiting[member.propose(.deleteRange, Requests.delete(key))] = .delete(key: key)
        case 11: waiting[member.propose(.deleteRange, Requests.delete("k1", end: "k3"))] = .other
        case 12..<14: waiting[member.propose(.txn, Requests.txn(transaction(key)))] = .other
        case 14..<16: waiting[member.propose(.leaseGrant, Requests.grant(lease, ttl: 2 + lease))] = .other
        case 16: waiting[member.propose(.leaseRevoke, Requests.revoke(lease))] = .other
        default:
            let revision = max(1, member.store.currentRevision - Int64(number(below: 20)))
            waiting[member.propose(.compaction, Requests.compaction(revision, physical: chance(2)))] = .other
        }
    }

    private mutating func transaction(_ key: String) -> TxnRequest {
        let other = RequestOp.put(PutRequest(key: Array("t".utf8), value: Array(newValue().utf8)))
        let put = RequestOp.put(PutRequest(key: Array(key.utf8), value: Array(newValue().utf8)))
        let comparison = Compare(
            key: Array(key.utf8), target: .version, result: chance(2) ? .greater : .less, operand: .version(2))
        return TxnRequest(
            compare: [comparison], success: [put, other],
            failure: [.deleteRange(DeleteRangeRequest(key: Array(key.utf8))), other])
    }

    private mutating func newValue() -> String {
        lastValue += 1
        return "\(lastValue)"
    }

    // MARK: What must hold

    /// Takes in what the member gave out in its last turn.
    private mutating func follow() throws {
        let replies = try feedTwin()
        for outcome in member.outcomes {
            guard let request = waiting.removeValue(forKey: outcome.requestID) else { continue }
            guard case .message(let message) = outcome.reply else { continue }
            if let expected = replies[outcome.requestID] {
                #expect(message == expected, "seed \(seed): the twin answers otherwise")
            }
            let revision = try Etcdserverpb_PutResponse(serializedBytes: message).header.revision
            newestAcknowledged = max(newestAcknowledged, revision)
            mix(outcome.requestID, UInt64(bitPattern: revision))
            switch request {
            case .put(let key, let value):
                acknowledged.append(Acknowledged(revision: revision, key: key, value: value))
            case .delete(let key):
                acknowledged.append(Acknowledged(revision: revision, key: key, value: nil))
            case .other: break
            }
        }
        member.outcomes = []
        let view = member.store.publisher.latest()
        for token in member.readyReads {
            guard let newest = reads.removeValue(forKey: token) else { continue }
            #expect(view.currentRevision >= newest, "seed \(seed): a read misses what was acknowledged before it")
        }
        member.readyReads = []
    }

    /// Gives the twin the entries that the member has applied; returns the answers.
    private mutating func feedTwin() throws -> [UInt64: [UInt8]] {
        var replies: [UInt64: [UInt8]] = [:]
        twin.applier.raftTerm = member.core.term
        while twin.applied < member.core.appliedIndex {
            let position = Int(twin.applied)
            let entry = try #require(position < log.entries.count ? log.entries[position] : nil)
            switch twin.apply(entry, now: member.now) {
            case (let id, .message(let message))?, (let id, .whenCompacted(_, let message))?: replies[id] = message
            default: break
            }
        }
        return replies
    }

    /// After a start: what is in the log was ordered, and what was applied is there.
    private func checkLog() throws {
        let found = try Self.entries(of: member)
        #expect(member.core.log.lastIndex >= twin.applied, "seed \(seed): an applied entry is gone")
        for entry in found {
            let position = Int(entry.index - 1)
            let ordered = log.entries.indices.contains(position) ? log.entries[position] : nil
            #expect(entry == ordered, "seed \(seed): an entry that nobody proposed")
        }
        log.entries.removeSubrange(Int(min(UInt64(log.entries.count), member.core.log.lastIndex))...)
    }

    private func checkLeases() throws {
        var attached: [Int64: Set<[UInt8]>] = [:]
        _ = try member.store.range(key: [0], end: [0]) { pair in
            guard let view = try? KeyValueView(pair.encoded), view.lease != 0 else { return }
            attached[view.lease, default: []].insert([UInt8](view.key))
        }
        let lessor = member.core.applier.lessor
        for lease in lessor.leases() {
            let keys = try lessor.timeToLive(id: lease, now: member.now, keys: true).keys
            #expect(Set(keys) == attached.removeValue(forKey: lease) ?? [], "seed \(seed): lease \(lease)")
        }
        #expect(attached.isEmpty, "seed \(seed): keys hang on leases that do not exist")
    }

    private mutating func settleAndVerify() throws {
        try member.elect()
        lastToken += 1
        reads[lastToken] = newestAcknowledged
        member.core.read(lastToken)
        try member.settle()
        #expect(member.readyReads.contains(lastToken), "seed \(seed): a read is not answered")
        try follow()
        let store = member.store
        #expect(store.currentRevision >= newestAcknowledged, "seed \(seed): the revision went back")
        for write in acknowledged where write.revision >= store.compactedRevision {
            var value: String?
            _ = try store.range(key: Array(write.key.utf8), end: nil, revision: write.revision) { pair in
                value = (try? KeyValueView(pair.encoded)).map { String(decoding: $0.value, as: UTF8.self) }
            }
            #expect(value == write.value, "seed \(seed): \(write.key) at revision \(write.revision)")
        }
        try checkLeases()
        let lessor = member.core.applier.lessor
        #expect(lessor.leases().sorted() == twin.applier.lessor.leases().sorted(), "seed \(seed)")
        let own = try store.view().hashByRevision(0)
        let expected = try twin.applier.store.view().hashByRevision(0)
        #expect(own == expected, "seed \(seed): the twin has other contents")
        mix(UInt64(own.hash), UInt64(bitPattern: own.currentRevision))
    }

    /// When both have done all their work the files hold the same.
    private mutating func compareFiles() throws {
        member.finishCompaction()
        try member.commitNow()
        let applier = twin.applier
        // The twin has no Raft to know it from.
        applier.save(member.core.confState)
        while applier.store.compactionStep() {}
        try applier.backend.commitNow()
        let own = try member.core.applier.backend.snapshot().hash()
        let expected = try applier.backend.snapshot().hash()
        #expect(own == expected, "seed \(seed): the files differ")
        mix(UInt64(own), UInt64(crashes))
    }

    // MARK: Chance

    private mutating func number(below bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

    private mutating func chance(_ one: Int) -> Bool { number(below: one) == 0 }

    private mutating func mix(_ numbers: UInt64...) {
        for number in numbers { digest = (digest ^ number) &* 0x0000_0100_0000_01b3 }
    }
}

/// A state machine on a disk that never fails.
struct Twin {
    let applier: Applier
    private(set) var applied: UInt64 = 0

    init(memberID: UInt64, clusterID: UInt64) throws {
        let disk = MemoryDisk()
        try disk.createDirectory("twin")
        let backend = try Backend(disk: disk, path: "twin/db")
        applier = try Applier(
            backend: backend, store: try Store(backend: backend),
            lessor: Lessor(configuration: LeaseConfiguration(), storage: TwinLeases(backend)),
            cluster: Cluster(id: clusterID), keyTree: KeyTree(), memberID: memberID)
    }

    mutating func apply(_ entry: Entry, now: Int64) -> (UInt64, Applier.Reply)? {
        applied = entry.index
        guard entry.type == .normal else {
            if let change = try? ConfigurationChange(decoding: entry.data) {
                _ = applier.applyConfigurationChange(change, entry: entry)
            }
            return nil
        }
        return applier.apply(entry, now: now).map { ($0.requestID, $0.reply) }
    }
}

private final class TwinLeases: LeaseStorage {
    private let backend: Backend

    init(_ backend: Backend) { self.backend = backend }

    func put(id: Int64, record: [UInt8]) { backend.put(.lease, LeaseRecord.key(of: id), record) }

    func delete(id: Int64) { backend.delete(.lease, LeaseRecord.key(of: id)) }
}
