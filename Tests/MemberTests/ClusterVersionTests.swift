import Applier
import Backend
import EtcdAPI
import Membership
import RaftMessages
import Testing

@testable import Member

/// How a member follows the cluster's version, and what it writes at which.
@Suite struct MemberVersionTests {
    private let own = PublishedAttributes(name: "default", clientURLs: ["http://localhost:2379"])

    private func member(_ version: ClusterVersion) throws -> SimulatedMember {
        let member = try SimulatedMember()
        try member.elect()
        member.core.decideClusterVersion([version], now: member.now)
        try member.settle()
        return member
    }

    /// The kinds of the entries behind the newest snapshot, `legacy` for requests of the version-2 API.
    private func kinds(_ member: SimulatedMember) throws -> [String] {
        let log = member.core.log
        let first = max(log.firstIndex, try log.snapshot().metadata.index + 1)
        let entries = try log.entries(first..<log.lastIndex + 1, maximumSize: .max)
        return entries.filter { $0.type == .normal && !$0.data.isEmpty }.map { entry in
            entry.data.withUnsafeBytes { bytes in
                guard let kind = (try? RaftRequestView(bytes))?.kind, kind != .v2 else { return "legacy" }
                return "\(kind)"
            }
        }
    }

    @Test(
        arguments: [
            (ClusterVersion(3, 0), "legacy"), (ClusterVersion(3, 4), "legacy"),
            (ClusterVersion(3, 5), "clusterMemberAttrSet"), (ClusterVersion(3, 7), "clusterMemberAttrSet"),
        ])
    func attributesArePublishedAsTheClusterReadsThem(version: ClusterVersion, expected: String) throws {
        let member = try member(version)
        member.core.publish(own, now: member.now)
        try member.settle()
        #expect(try kinds(member).last == expected)
        #expect(member.core.applier.cluster.sortedMembers.map(\.name) == ["default"])
    }

    private func stored(_ bucket: BackendBucket, _ key: [UInt8], _ member: SimulatedMember) throws -> String? {
        try member.core.applier.backend.get(bucket, key).map { String(decoding: $0, as: UTF8.self) }
    }

    private func downgrade(_ member: SimulatedMember, to target: ClusterVersion?) throws {
        let id = member.core.nextRequestID()
        member.core.propose([(id, member.core.downgradeEntry(target, id: id))], now: member.now)
        try member.settle()
        member.core.decideClusterVersion([.server], now: member.now)
        try member.settle()
    }

    @Test func theWayBackAndForth() throws {
        let member = try member(.server)
        #expect(try stored(.meta, MetaKey.storageVersion, member) == ClusterVersion.server.description)
        #expect(!member.core.needsSnapshot)
        #expect(try member.core.checkDowngrade(to: "3.4") == ClusterVersion(3, 4))
        try downgrade(member, to: ClusterVersion(3, 4))
        #expect(throws: EtcdError.invalidDowngradeTargetVersion) { try member.core.checkDowngrade(to: "3.4") }

        // The log has entries that 3.4 does not know until a snapshot lies behind them.
        #expect(member.core.clusterVersion == ClusterVersion(3, 4))
        #expect(member.core.needsSnapshot && member.core.isSnapshotDue(count: 1_000_000))
        #expect(try stored(.meta, MetaKey.storageVersion, member) != nil)
        // Even when the power goes now.
        try member.restart()
        try member.elect()
        #expect(member.core.needsSnapshot)
        try member.commitNow(withSnapshot: true)
        #expect(!member.core.needsSnapshot)
        #expect(try stored(.meta, MetaKey.storageVersion, member) == nil)
        #expect(try kinds(member).allSatisfy { $0 == "legacy" })

        // It stays there over restarts, until it is told otherwise.
        try member.restart()
        try member.elect()
        member.core.decideClusterVersion([.server], now: member.now)
        try member.settle()
        #expect(member.core.clusterVersion == ClusterVersion(3, 4))
        member.core.publish(own, now: member.now)
        try member.settle()
        let id = member.core.nextRequestID()
        member.core.propose([(id, member.core.downgradeEntry(nil, id: id))], now: member.now)
        try member.settle()
        #expect(try kinds(member).allSatisfy { $0 == "legacy" }, "3.4 has to read that the way back is given up")
        #expect(member.core.applier.cluster.downgradeTarget == nil)
        #expect(member.core.applier.cluster.sortedMembers.map(\.clientURLs) == [["http://localhost:2379"]])
        member.core.decideClusterVersion([.server], now: member.now)
        try member.settle()
        #expect(member.core.clusterVersion == .server)
    }

    @Test func aClusterAboveThisServerIsNotFollowed() throws {
        let member = try SimulatedMember()
        try member.elect()
        let next = ClusterVersion(ClusterVersion.server.major, ClusterVersion.server.minor + 1)
        let id = member.core.nextRequestID()
        member.core.propose([(id, ClusterRequest.version(next).entry(id: id, for: next))], now: member.now)
        try member.settle()
        #expect(member.refusal != nil)
        try member.commitNow()
        #expect(throws: StartError.self) { try member.restart() }
    }

    @Test func raftsConfigurationIsStoredAsEtcdsJSON() throws {
        let member = try member(ClusterVersion(3, 4))
        let id = member.core.settings.memberID
        #expect(try stored(.meta, MetaKey.confState, member) == "{\"voters\":[\(id)],\"auto_leave\":false}")
    }
}

/// How a member's log begins.
@Suite struct LogBeginningTests {
    private static let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"

    @Test func allMembersWriteTheSameFirstEntries() throws {
        var logs: [[Entry]] = []
        for name in ["a", "b", "c"] {
            let member = try SimulatedMember(name: name, cluster: Self.cluster)
            let log = member.core.log
            logs.append(try log.entries(1..<log.lastIndex + 1, maximumSize: .max))
        }
        #expect(logs[0].count == 3 && logs[0].allSatisfy { $0.term == 1 && $0.type == .configurationChange })
        #expect(logs[0] == logs[1] && logs[1] == logs[2])
        let ids = try logs[0].map { try ConfigurationChange(decoding: $0.data).nodeID }
        #expect(ids == ids.sorted())
    }

    @Test func aMemberThatJoinsBeginsWithNothing() throws {
        let initial = try InitialCluster(parsing: Self.cluster)
        let members = initial.members(token: "other")
        let running = RunningCluster(id: 77, members: members)
        let own = try #require(members.first { $0.name == "b" })
        let member = try SimulatedMember(
            name: "b", cluster: Self.cluster, arguments: ["--initial-cluster-state", "existing"],
            joining: (running, own))
        #expect(member.core.settings.memberID == own.id && member.opened.clusterID == 77)
        #expect(member.core.log.lastIndex == 0 && member.core.confState.voters.isEmpty)
        #expect(member.opened.firstPeers.map(\.id) == members.filter { $0.name != "b" }.map(\.id).sorted())
        for _ in 0..<100 { member.tick() }
        try member.settle()
        #expect(member.core.term == 0, "a member without a cluster starts no election")
        try member.restart()
        #expect(member.opened.memberID == own.id)
    }

    @Test(arguments: [false, true])
    func aForcedMemberIsAlone(withSnapshot: Bool) throws {
        let member = try SimulatedMember(name: "b", cluster: Self.cluster)
        try member.settle()
        if withSnapshot { try member.commitNow(withSnapshot: true) }
        // Uncommitted: nobody else answers.
        let log = member.core.log
        try member.opened.log.append([Entry(term: 1, index: log.lastIndex + 1, type: .normal, data: [])])
        try member.opened.log.synchronize()
        try member.stop()
        let forced = try SimulatedMember(
            name: "b", cluster: Self.cluster, disk: member.disk, arguments: ["--force-new-cluster"])
        try forced.elect()
        #expect(forced.core.isLeader)
        #expect(forced.core.confState.voters == [forced.core.settings.memberID])
        #expect(forced.core.applier.cluster.sortedMembers.map(\.name) == ["b"])
        #expect(forced.core.applier.cluster.removed.count == 2)
        let id = forced.put("a", "1")
        try forced.settle()
        #expect(forced.takeReply(id) != nil)
        try forced.restart()
        try forced.elect()
        #expect(try forced.contents() == ["a": "1"])
    }
}
