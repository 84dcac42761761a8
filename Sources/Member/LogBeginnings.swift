import Configuration
import Disk
import Membership
import RaftMessages
import WriteAheadLog

/// How a member's log begins, and how the log of a member whose cluster is lost begins anew.
extension RestoredLog {
    /// A new log, with the entries that make the initial cluster: every member writes the same ones.
    static func create(
        _ configuration: MemberConfiguration, _ paths: MemberPaths, disk: any Disk, options: WriteAheadLog.Options
    ) throws(StartError) -> RestoredLog {
        let initial = try explaining("") { try configuration.initialCluster() }
        let members = initial.members(token: configuration.initialClusterToken)
        guard let own = members.first(where: { $0.name == configuration.name }) else {
            throw StartError("the initial cluster does not name the member \(configuration.name)")
        }
        let clusterID = Identity.cluster(memberIDs: members.map(\.id))
        let term: UInt64 = 1
        let entries = members.sorted { $0.id < $1.id }.enumerated().map { position, member in
            let change = ConfigurationChange(nodeID: member.id, context: MemberJSON.encode(member))
            return Entry(
                term: term, index: UInt64(position + 1), type: .configurationChange, data: change.encoded())
        }
        let hardState = HardState(term: term, commit: UInt64(entries.count))
        return try create(
            memberID: own.id, clusterID: clusterID, entries: entries, hardState: hardState, peers: members, paths,
            disk: disk, options: options)
    }

    /// A new log without entries: its member learns all from the cluster that it joins.
    static func join(
        _ cluster: RunningCluster, as own: Membership.Member, _ paths: MemberPaths, disk: any Disk,
        options: WriteAheadLog.Options
    ) throws(StartError) -> RestoredLog {
        try create(
            memberID: own.id, clusterID: cluster.id, entries: [], hardState: HardState(), peers: cluster.members, paths,
            disk: disk, options: options)
    }

    private static func create(
        memberID: UInt64, clusterID: UInt64, entries: [Entry], hardState: HardState, peers: [Membership.Member],
        _ paths: MemberPaths, disk: any Disk, options: WriteAheadLog.Options
    ) throws(StartError) -> RestoredLog {
        let log = try explaining("cannot create the write-ahead log \(paths.wal)") {
            try WriteAheadLog.create(
                disk: disk, directory: paths.wal, metadata: metadata(memberID: memberID, clusterID: clusterID),
                entries: entries, hardState: hardState, options: options)
        }
        return RestoredLog(
            log: log, snapshot: Snapshot(), hardState: hardState, entries: entries, memberID: memberID,
            clusterID: clusterID, firstPeers: peers)
    }

    /// Makes this member the only one of its cluster, as `--force-new-cluster` asks: what is not committed is dropped,
    /// and entries that remove the others (and add this one, should it be missing) are appended as committed.
    mutating func forceNewCluster() throws(StartError) {
        hardState.commit = max(hardState.commit, snapshot.metadata.index)
        if let first = entries.firstIndex(where: { $0.index > hardState.commit }) {
            notes.append(
                "discarding uncommitted entries from index \(entries[first].index) on: the log has committed up to "
                    + "\(hardState.commit)")
            entries.removeSubrange(first...)
        }
        // etcd's default, which the member's first restart with other URLs leaves to MemberUpdate.
        let own = Membership.Member(id: memberID, peerURLs: ["http://localhost:2380"])
        let ids = memberIDs()
        var changes =
            ids.contains(memberID)
            ? [] : [ConfigurationChange(nodeID: memberID, context: MemberJSON.encode(own))]
        // Raft must never be without a voter, so others go after this one has come.
        changes += ids.subtracting([memberID]).sorted().map { ConfigurationChange(type: .removeNode, nodeID: $0) }
        let added = changes.enumerated().map { position, change in
            Entry(
                term: hardState.term, index: hardState.commit + UInt64(position) + 1, type: .configurationChange,
                data: change.encoded())
        }
        hardState.commit += UInt64(added.count)
        entries += added
        let state = hardState
        try explaining("cannot force a new cluster") {
            try log.append(added, hardState: state)
            try log.synchronize()
        }
        notes.append(
            "forcing a new cluster of this member alone: \(ids.subtracting([memberID]).count) others are removed")
    }

    /// The members that the snapshot and the entries behind it leave.
    private func memberIDs() -> Set<UInt64> {
        let configuration = snapshot.metadata.confState
        var ids = Set(configuration.voters + configuration.learners)
        for entry in entries where entry.type == .configurationChange {
            guard let change = try? ConfigurationChange(decoding: entry.data), change.nodeID != 0 else { continue }
            switch change.type {
            case .addNode, .addLearnerNode: ids.insert(change.nodeID)
            case .removeNode: ids.remove(change.nodeID)
            case .updateNode: break
            }
        }
        return ids
    }
}
