/// The buckets of etcd's database file.
public enum BackendBucket: Int, CaseIterable, Sendable {
    case alarm, auth, authRoles, authUsers, cluster, key, lease, members, membersRemoved, meta

    /// The bucket's name in the file.
    public var name: [UInt8] { Self.names[rawValue] }

    private static let names: [[UInt8]] = allCases.map { bucket in
        bucket == .membersRemoved ? Array("members_removed".utf8) : Array("\(bucket)".utf8)
    }
}

/// The keys that etcd keeps in the `meta` bucket.
public enum MetaKey {
    /// The index of the newest Raft entry whose effects the file holds: 8 bytes, big-endian.
    public static let consistentIndex = Array("consistent_index".utf8)
    /// The term of that entry: 8 bytes, big-endian. Known to etcd from 3.5 on; 3.4 passes over it.
    public static let term = Array("term".utf8)
    /// The revision of the newest accepted compaction, as a 17-byte revision key.
    public static let scheduledCompactRevision = Array("scheduledCompactRev".utf8)
    /// The revision of the newest completed compaction, as a 17-byte revision key.
    public static let finishedCompactRevision = Array("finishedCompactRev".utf8)
    /// The Raft configuration, as JSON.
    public static let confState = Array("confState".utf8)
    /// The version of the file's layout, from 3.6 on.
    public static let storageVersion = Array("storageVersion".utf8)
}
